"""Messages of a rosbag2 recording, as much of it as can be read, without ROS."""

import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import yaml
from backports import zstd
from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from salus_ros.core.errors import ConfigError, ObservationError

STORAGES = (".mcap", ".db3")
IDENTITY_BYTES = 1 << 16
NANO = 1_000_000_000
_ZSTD = b"\x28\xb5\x2f\xfd"  # no serialised message begins so: CDR begins with a zero
_MCAP = b"\x89MCAP0\r\n"
_IDL = "=" * 80 + "\n"


class Message(NamedTuple):
    """One recorded message: its topic, its type, when it was received, and its bytes (CDR)."""

    topic: str
    kind: str
    receive_ns: int
    data: bytes


class Bag:
    """A rosbag2 folder, or one .mcap or .db3 file of it; a context manager.

    Every file is opened by itself, so that one that is damaged or missing does not take the
    others with it; `problems` names it. Of a file that was cut short, the whole records of an
    MCAP and the rows of an SQLite that are there are read.

    Attributes:
        name: Name of the folder or file, without suffixes.
        problems: What could not be read, in words.
        types: Type of each topic, "package/msg/Name"; also of a topic without messages.
    """

    def __init__(self, path: Path) -> None:
        """Prepare to read.

        Raises:
            ConfigError: if there is no such bag.
        """
        self.name = path.resolve().name.split(".")[0]
        self.problems: list[str] = []
        self.types: dict[str, str] = {}
        self._readers: list[tuple[Path, Reader]] = []
        self._stack = ExitStack()
        self._typestore = get_typestore(Stores.ROS2_JAZZY)
        self._path = path
        self._files = _files(path)

    def __enter__(self) -> Self:
        """Open every file that can be opened."""
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="salus-bag-")))
        for file in self._files:
            try:
                self._open(file, folder)
            except Exception as error:  # noqa: BLE001 - apsw, zstd and struct raise theirs
                self._problem(f"{file.name} cannot be opened: {_words(error)}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the files."""
        self._stack.close()

    @cached_property
    def identity(self) -> str:
        """What a bag is known by wherever it lies: a hash of its files' sizes, heads and ends."""
        digest = hashlib.sha256()
        for file in self._files:
            with suppress(OSError), file.open("rb") as source:
                size = file.stat().st_size
                digest.update(size.to_bytes(8, "little") + source.read(IDENTITY_BYTES))
                source.seek(max(0, size - IDENTITY_BYTES))
                digest.update(source.read(IDENTITY_BYTES))
        return digest.hexdigest()[:16]

    def count(self, topics: Collection[str]) -> int:
        """Number of messages of some topics, as the files say."""
        connections = [one for _, reader in self._readers for one in reader.connections]
        return sum(one.msgcount for one in connections if one.topic in topics)

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield the messages of some topics, file by file, in the order they were received.

        Two calls yield the same. Where a file cannot be read on, the next one follows, and
        `problems` says so.
        """
        for file, reader in self._readers:
            wanted = [one for one in reader.connections if one.topic in topics]
            if not wanted:
                continue
            try:
                for connection, receive_ns, data in reader.messages(wanted):
                    raw = zstd.decompress(data) if data[:4] == _ZSTD else data
                    yield Message(
                        connection.topic, full_name(connection.msgtype), receive_ns, bytes(raw)
                    )
            except Exception as error:  # noqa: BLE001 - as above
                self._problem(f"{file.name} cannot be read to its end: {_words(error)}")

    def has_header(self, kind: str) -> bool:
        """Whether messages of a type begin with a header."""
        if not self.knows(kind):
            return False
        fields = self._typestore.fielddefs[kind][1]
        return bool(fields) and fields[0][1][1] == "std_msgs/msg/Header"

    def knows(self, kind: str) -> bool:
        """Whether the definition of a type is known: from the bag, or a part of ROS 2."""
        return kind in self._typestore.fielddefs

    def decode(self, message: Message) -> Any:
        """Read a message.

        Raises:
            ObservationError: if it is damaged or its type is not known.
        """
        if not self.knows(message.kind):
            raise ObservationError(
                f"the type {message.kind} is not known and the bag has no definition of it; "
                "record as MCAP, which keeps definitions"
            )
        try:
            return self._typestore.deserialize_cdr(message.data, message.kind)
        except Exception as error:
            raise ObservationError(f"it is no {message.kind}: {_words(error)}") from error

    def _open(self, file: Path, folder: Path) -> None:
        if file.suffix == ".zstd":
            unpacked = folder / f"{len(self._readers)}_{file.stem}"
            with zstd.open(file) as source, unpacked.open("wb") as target:
                try:
                    shutil.copyfileobj(source, target)
                except (EOFError, zstd.ZstdError) as error:
                    self._problem(f"{file.name} cannot be unpacked to its end: {_words(error)}")
            place = unpacked
        else:
            place = file
        if place.suffix == ".mcap" and not _is_whole(place):
            whole = folder / f"{len(self._readers)}_whole_{place.name}"
            lost = _copy_whole_records(place, whole)
            self._problem(f"{file.name} is cut short: its last {lost} bytes are left out")
            place = whole
        elif place.suffix == ".db3" and (_is_cut(place) or _journal(place).exists()):
            whole = folder / f"{len(self._readers)}_whole_{place.name}"
            if _copy_rows(place, whole):
                self._problem(f"{file.name} is damaged: only its first messages can be read")
            place = whole
        reader = Reader(place)
        self._stack.enter_context(reader)
        self._readers.append((file, reader))
        for connection in reader.connections:
            self.types.setdefault(connection.topic, full_name(connection.msgtype))
            self._learn(connection)

    def _learn(self, connection: Connection) -> None:
        """Take over the definition of a type that is no part of ROS 2."""
        kind, (form, text) = full_name(connection.msgtype), connection.msgdef
        if self.knows(kind) or form == MessageDefinitionFormat.NONE or not text:
            return
        try:
            if form == MessageDefinitionFormat.MSG:
                found = get_types_from_msg(text, kind)
            else:
                parts = text.split(_IDL)[1:] if text.startswith(f"{_IDL}IDL: ") else [f"\n{text}"]
                found = {}
                for part in parts:
                    found |= get_types_from_idl(part.split("\n", 1)[1])
            known = self._typestore.fielddefs
            self._typestore.register({k: v for k, v in found.items() if k not in known})
        except Exception as error:  # noqa: BLE001 - whatever its parser raises
            self._problem(f"the definition of {kind} cannot be read: {_words(error)}")

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


def full_name(kind: str) -> str:
    """Type name with its folder: "sensor_msgs/Image" was written by older recorders."""
    package, _, name = kind.partition("/")
    return kind if not name or "/" in name else f"{package}/msg/{name}"


def _files(path: Path) -> list[Path]:
    """Files of a bag, in the order of its metadata, or else of their numbers."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError(f"'{path}' does not exist; give the folder of a rosbag2, or its file")
    listed: list[Path] = []
    try:
        about = yaml.safe_load((path / "metadata.yaml").read_text())
        names = about["rosbag2_bagfile_information"]["relative_file_paths"]
        listed = [path / Path(name).name for name in names]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        pass  # a recorder that was killed wrote none; the files speak for themselves
    found = [file for file in path.iterdir() if _suffix(file) in STORAGES]
    found.sort(key=lambda file: (len(file.name), file.name))
    files = listed + [file for file in found if file not in listed]
    if not files:
        raise ConfigError(
            f"'{path}' holds no {' or '.join(STORAGES)} file; give the folder of a rosbag2"
        )
    return files


def _suffix(file: Path) -> str:
    return Path(file.stem).suffix if file.suffix == ".zstd" else file.suffix


def _is_whole(file: Path) -> bool:
    with file.open("rb") as source:
        source.seek(-min(len(_MCAP), file.stat().st_size), 2)
        return source.read() == _MCAP


def _copy_whole_records(file: Path, target: Path) -> int:
    """Copy the whole records of an MCAP file and end them properly; returns the bytes lost."""
    size, end = file.stat().st_size, len(_MCAP)
    with file.open("rb") as source, target.open("wb") as copy:
        if source.read(end) != _MCAP:
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
        copy.write(b"\x02" + (20).to_bytes(8, "little") + bytes(20) + _MCAP)
    return size - end


def _is_cut(database: Path) -> bool:
    """Whether an SQLite file is shorter than its header says."""
    with database.open("rb") as source:
        head = source.read(32)
    if len(head) < 32:
        return True
    page_bytes = int.from_bytes(head[16:18], "big")
    pages = int.from_bytes(head[28:32], "big")
    return database.stat().st_size < pages * (65536 if page_bytes == 1 else page_bytes)


def _journal(database: Path) -> Path:
    """Where a recorder that was killed left what it had not yet moved into the database."""
    return database.with_name(f"{database.name}-wal")


def _copy_rows(database: Path, target: Path) -> bool:
    """Copy the rows of an SQLite file that can be read; returns whether some cannot.

    Raises:
        sqlite3.Error: if not even its tables can be read.
    """
    source = target.with_name(f"{target.name}.source")  # opening it must not change the bag
    for file in (database, _journal(database)):
        if file.exists():
            shutil.copyfile(file, source.with_name(file.name.replace(database.name, source.name)))
    damaged = False
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.execute("PRAGMA writable_schema = ON")  # else it refuses a file that is too short
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
        tables = [row for row in old.execute(query) if not row[0].startswith("sqlite_")]
        for name, statement in tables:
            new.execute(statement)
            try:
                for row in old.execute(f'SELECT * FROM "{name}"'):
                    places = ", ".join("?" * len(row))
                    new.execute(f'INSERT INTO "{name}" VALUES ({places})', row)
            except sqlite3.DatabaseError:
                damaged = True
        new.commit()
    return damaged


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> None:
    while size > 0:
        block = source.read(min(size, 1 << 20))
        target.write(block)
        size -= len(block)


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
