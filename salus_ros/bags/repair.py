"""Files of a bag as they may safely be read: unpacked within bounds, cut short or of hostile make.

Nothing that stands in a file is ever run: a database is only read where its tables are plain ones,
and what is copied from a damaged one goes, column by column, into tables of our own.
"""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import apsw
from backports import zstd
from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]
from rosbags.rosbag2 import storage_mcap

from salus_ros.core.errors import ObservationError

MIN_UNPACKED_BYTES, MAX_UNPACKED_RATIO = 4 << 30, 64
"""A packed file may become as large as the first, or so many times as large as it is."""

MAX_CHUNK_BYTES = 1 << 30
"""The most that one chunk of an MCAP file may unpack to."""

KEPT_FREE_BYTES = 1 << 30
"""Free space that is left on the disk where files are unpacked."""

MCAP_MAGIC = b"\x89MCAP0\r\n"
_BLOCK = 1 << 20
_LARGEST_ROW = 512 << 20

_SCHEMA = """
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
INSERT INTO schema VALUES (4, '');
CREATE TABLE topics(id INTEGER PRIMARY KEY, name, type, serialization_format,
    offered_qos_profiles NOT NULL DEFAULT '', type_description_hash NOT NULL DEFAULT '');
CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type, encoding,
    encoded_message_definition, type_description_hash NOT NULL DEFAULT '');
CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, timestamp, data);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
"""
"""That of a rosbag2 of version 4."""

_COPIED = ("topics", "message_definitions", "messages")
_READ = (*_COPIED, "schema", "metadata")


# What is packed


def _unpack_zstd(data: bytes, size: int) -> bytes:
    return zstd.ZstdDecompressor().decompress(data, max_length=_allowed(size))


def _unpack_lz4(data: bytes, size: int) -> bytes:
    unpacked: bytes = LZ4FrameDecompressor().decompress(data, max_length=_allowed(size))
    return unpacked


def _allowed(size: int) -> int:
    """Bytes that a chunk may unpack to: what it says, and one more to see that it lies."""
    if size > MAX_CHUNK_BYTES:
        raise ObservationError(
            f"a chunk unpacks to {size >> 20} MiB; at most {MAX_CHUNK_BYTES >> 20} MiB are read"
        )
    return size + 1


# The reader's own ones unpack whatever there is before they look at its size.
storage_mcap.DECOMPRESSORS.update(zstd=_unpack_zstd, lz4=_unpack_lz4)


def unpack(file: Path, target: Path) -> str:
    """Unpack a zstd file as far as it can be, and as far as there is room for it.

    Returns:
        Why it is not whole; empty where it is.
    """
    limit = max(MIN_UNPACKED_BYTES, MAX_UNPACKED_RATIO * file.stat().st_size)
    written = 0
    with zstd.open(file) as source, target.open("wb") as copy:
        try:
            while block := source.read(_BLOCK):
                written += len(block)
                if written > limit:
                    return (
                        f"it unpacks to more than {limit >> 20} MiB, {MAX_UNPACKED_RATIO} times "
                        "its size; unpack it yourself (zstd -d) if it is meant to be so large"
                    )
                if shutil.disk_usage(target.parent).free < KEPT_FREE_BYTES:
                    return (
                        f"there is too little room in {target.parent}; free some, or set TMPDIR "
                        "to a folder on a larger disk"
                    )
                copy.write(block)
        except (EOFError, zstd.ZstdError) as error:
            return str(error)
    return ""


# MCAP


def is_whole(file: Path) -> bool:
    """Whether an MCAP file ends as one does."""
    with file.open("rb") as source:
        source.seek(-min(len(MCAP_MAGIC), file.stat().st_size), 2)
        return source.read() == MCAP_MAGIC


def copy_whole_records(file: Path, target: Path) -> int:
    """Copy the whole records of an MCAP file and end them properly; returns the bytes lost.

    Raises:
        ObservationError: if it is no MCAP file.
    """
    size, end = file.stat().st_size, len(MCAP_MAGIC)
    with file.open("rb") as source, target.open("wb") as copy:
        if source.read(end) != MCAP_MAGIC:
            raise ObservationError("it is no MCAP file")
        while True:
            head = source.read(9)
            # Data end, and what follows it, is written anew below.
            if len(head) < 9 or head[0] in (0x02, 0x0F):
                break
            length = int.from_bytes(head[1:], "little")
            if end + 9 + length > size:
                break
            end += 9 + length
            source.seek(end)
        source.seek(0)
        _copy(source, copy, end)
        # A footer without a summary, so that the reader looks at the records themselves.
        copy.write(b"\x02" + (20).to_bytes(8, "little") + bytes(20) + MCAP_MAGIC)
    return size - end


# SQLite


def is_cut(database: Path) -> bool:
    """Whether an SQLite file is shorter than its header says."""
    with database.open("rb") as source:
        head = source.read(32)
    return len(head) < 32 or database.stat().st_size < _pages(head) * _page_bytes(head)


def journal(database: Path) -> Path:
    """Where a recorder that was killed left what it had not yet moved into the database."""
    return database.with_name(f"{database.name}-wal")


def check_tables(database: Path) -> None:
    """Refuse a database in which reading could do more than read.

    Raises:
        ObservationError: if what should be a table is a view, a virtual table, or has columns
            that are computed.
        apsw.Error: if its tables cannot be read.
    """
    with closing(_opened(database, immutable=True)) as opened:
        _plain_columns(opened)


def copy_rows(database: Path, target: Path) -> bool:
    """Copy the rows of a rosbag2 database that can be read; returns whether some cannot.

    Args:
        database: An SQLite file, beside it perhaps its journal; neither is changed.
        target: File of the copy, in a folder of ours.

    Raises:
        ObservationError: as `check_tables`, or if it has no messages at all.
        apsw.Error: if not even its tables can be read.
    """
    source = target.with_name(f"{target.name}.source")
    shutil.copyfile(database, source)
    if journal(database).exists():
        shutil.copyfile(journal(database), journal(source))
    elif is_cut(source):
        _shorten(source)
    damaged = False

    def rows(old: apsw.Connection, query: str) -> Iterator[tuple[Any, ...]]:
        nonlocal damaged
        try:
            yield from old.execute(query)
        except (apsw.Error, UnicodeDecodeError):
            damaged = True

    with closing(_opened(source)) as old, closing(apsw.Connection(str(target))) as new:
        new.execute(_SCHEMA)
        there, wanted = _plain_columns(old), _plain_columns(new)
        if not {"topics", "messages"} <= set(there):
            raise ObservationError("it has no tables of topics and messages")
        with new:
            for table in _COPIED:
                columns = [name for name in wanted[table] if name in there.get(table, ())]
                if columns:
                    names, places = ", ".join(columns), ", ".join("?" * len(columns))
                    copied = rows(old, f"SELECT {names} FROM {table}")
                    new.executemany(
                        f"INSERT OR IGNORE INTO {table}({names}) VALUES ({places})", copied
                    )
    return damaged


def _opened(database: Path, *, immutable: bool = False) -> apsw.Connection:
    """Open a database whose schema is not trusted; unless immutable, with its journal."""
    flags = apsw.SQLITE_OPEN_URI
    flags |= apsw.SQLITE_OPEN_READONLY if immutable else apsw.SQLITE_OPEN_READWRITE
    address = f"file:{quote(str(database))}" + ("?immutable=1" if immutable else "")
    opened = apsw.Connection(address, flags=flags)
    for setting, value in (
        (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
        (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
    ):
        opened.config(setting, value)
    opened.limit(apsw.SQLITE_LIMIT_LENGTH, _LARGEST_ROW)
    return opened


def _plain_columns(opened: apsw.Connection) -> dict[str, list[str]]:
    """Columns of each table that is read."""
    columns: dict[str, list[str]] = {}
    for schema, name, kind, *_ in list(opened.execute("PRAGMA table_list")):
        if schema != "main" or name.lower() not in _READ:
            continue
        found = list(opened.execute(f"PRAGMA table_xinfo({name})"))
        if kind != "table" or any(hidden for *_, hidden in found):
            raise ObservationError(
                f"its {name} is no plain table (a {kind}, or with computed columns), which no "
                "recorder writes; nothing of it is read"
            )
        columns[name.lower()] = [str(row[1]) for row in found]
    return columns


def _shorten(database: Path) -> None:
    """Make the header of a file that was cut say how many pages there are."""
    with database.open("r+b") as file:
        head = file.read(32)
        if len(head) < 32:
            return
        pages = database.stat().st_size // _page_bytes(head)
        file.truncate(pages * _page_bytes(head))
        file.seek(28)
        file.write(pages.to_bytes(4, "big"))


def _page_bytes(head: bytes) -> int:
    size = int.from_bytes(head[16:18], "big")
    return 65536 if size == 1 else max(size, 1)


def _pages(head: bytes) -> int:
    return int.from_bytes(head[28:32], "big")


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> None:
    while size > 0:
        block = source.read(min(size, _BLOCK))
        target.write(block)
        size -= len(block)
