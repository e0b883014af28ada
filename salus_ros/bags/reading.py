"""Messages of a rosbag2 recording, as much of it as can be read, without ROS."""

import hashlib
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from backports import zstd
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from salus_ros.bags.repair import (
    check_tables,
    copy_rows,
    copy_whole_records,
    is_cut,
    is_whole,
    journal,
    unpack,
)
from salus_ros.core.closing import Closing
from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.messages.complaints import Complaints

STORAGES = (".mcap", ".db3")
IDENTITY_BYTES = 1 << 16
MAX_MESSAGE_BYTES = 512 << 20
"""The most of one message that its recorder has packed: a colour image of 64 megapixels."""

MAX_DEFINITION = 1 << 20
"""Characters of the definition of a type."""

LONGEST_WORDS = 200
"""Characters of what another library says of an error."""

_ZSTD = b"\x28\xb5\x2f\xfd"  # no serialised message begins so: CDR begins with a zero
_IDL = "=" * 80 + "\n"


class Message(NamedTuple):
    """One recorded message: its topic, its type, when it was received, and its bytes (CDR)."""

    topic: str
    kind: str
    receive_ns: int
    data: bytes


class Bag(Closing):
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
        self._definitions: dict[str, MessageDefinition] = {}
        self._unread: dict[str, str] = {}
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

    def close(self) -> None:
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

        Two calls yield the same. A message that cannot be unpacked is left out; where a file
        cannot be read on, the next one follows. `problems` says so.
        """
        damaged = Complaints()
        for file, reader in self._readers:
            wanted = [one for one in reader.connections if one.topic in topics]
            if not wanted:
                continue
            try:
                for connection, receive_ns, data in reader.messages(wanted):
                    try:
                        raw = _unpacked(receive_ns, data)
                    except ObservationError as error:
                        damaged.add(f"{file.name}, {connection.topic}", error)
                    else:
                        kind = full_name(connection.msgtype)
                        yield Message(connection.topic, kind, receive_ns, raw)
            except Exception as error:  # noqa: BLE001 - as above
                self._problem(f"{file.name} cannot be read to its end: {_words(error)}")
        for line in damaged.lines():
            self._problem(line)

    def has_header(self, kind: str) -> bool:
        """Whether messages of a type begin with a header."""
        if not self.knows(kind):
            return False
        fields = self._typestore.fielddefs[kind][1]
        return bool(fields) and fields[0][1][1] == "std_msgs/msg/Header"

    def knows(self, kind: str) -> bool:
        """Whether the definition of a type is known: from the bag, or a part of ROS 2."""
        self._learn(kind)
        return kind in self._typestore.fielddefs

    def unknown(self, kind: str) -> str:
        """Why the definition of a type is not known, and what to do; empty where it is."""
        if self.knows(kind):
            return ""
        if why := self._unread.get(kind):
            return (
                f"the definition that the bag has of its type {kind} cannot be read: {why}; "
                "record the values in a message of a common type"
            )
        return (
            f"its type {kind} is unknown here and the bag has no definition of it; record as "
            "MCAP, or convert the bag to MCAP where the type is installed"
        )

    def decode(self, message: Message) -> Any:
        """Read a message.

        Raises:
            ObservationError: if it is damaged or its type is not known.
        """
        if why := self.unknown(message.kind):
            raise ObservationError(why)
        try:
            return self._typestore.deserialize_cdr(message.data, message.kind)
        except Exception as error:
            raise ObservationError(
                f"it is no {message.kind}: {_words(error)}", f"it is no {message.kind}"
            ) from error

    def _open(self, file: Path, folder: Path) -> None:
        place = folder / f"{len(self._readers)}_{file.name.removesuffix('.zstd')}"
        if file.suffix == ".zstd":
            if why := unpack(file, place):
                self._problem(f"{file.name} cannot be unpacked to its end: {_words(why)}")
        elif set(str(file)) & set("%?#"):
            place.symlink_to(file.resolve())  # the reader makes an address of its path
        else:
            place = file
        whole = folder / f"{len(self._readers)}_whole_{place.name}"
        if place.suffix == ".mcap" and not is_whole(place):
            lost = copy_whole_records(place, whole)
            self._problem(f"{file.name} is cut short: its last {lost} bytes are left out")
            place = whole
        elif place.suffix == ".db3" and (is_cut(place) or journal(place).exists()):
            if copy_rows(place, whole):
                self._problem(f"{file.name} is damaged: only its first messages can be read")
            place = whole
        elif place.suffix == ".db3":
            check_tables(place)
        reader = Reader(place)
        self._stack.enter_context(reader)
        self._readers.append((file, reader))
        for connection in reader.connections:
            self.types.setdefault(connection.topic, full_name(connection.msgtype))
            self._definitions.setdefault(full_name(connection.msgtype), connection.msgdef)

    def _learn(self, kind: str) -> None:
        """Take over the definition of a type that is no part of ROS 2, where it is asked for."""
        form, text = self._definitions.pop(kind, (MessageDefinitionFormat.NONE, ""))
        if kind in self._typestore.fielddefs or form == MessageDefinitionFormat.NONE or not text:
            return
        try:
            if len(text) > MAX_DEFINITION:
                raise ValueError(f"it has {len(text)} characters")
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
            self._unread[kind] = _words(error)

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


def _unpacked(receive_ns: Any, data: Any) -> bytes:
    """Bytes of a message, which its recorder may have packed.

    Raises:
        ObservationError: if it has no time or no bytes, or does not unpack within bounds.
    """
    if not isinstance(receive_ns, int) or not 0 <= receive_ns < 2**63:
        raise ObservationError(f"it was received at {receive_ns!r}, which is no time", "no time")
    if not isinstance(data, bytes):
        raise ObservationError(f"it is a {type(data).__name__}, not bytes")
    if data[:4] != _ZSTD:
        return data
    unpacking = zstd.ZstdDecompressor()
    try:
        raw = unpacking.decompress(data, max_length=MAX_MESSAGE_BYTES)
    except zstd.ZstdError as error:
        raise ObservationError(
            f"it cannot be unpacked: {error}", "it cannot be unpacked"
        ) from error
    if not unpacking.eof:
        raise ObservationError(
            f"its {len(data)} bytes unpack to more than {MAX_MESSAGE_BYTES >> 20} MiB, or are cut "
            "short",
            "it cannot be unpacked",
        )
    return raw


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


def _words(error: Exception | str) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= LONGEST_WORDS else f"{words[:LONGEST_WORDS]} ..."
