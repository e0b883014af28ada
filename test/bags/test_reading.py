"""Bags as they are found: packed, cut short, of unknown types, or of hostile make."""

import sqlite3
import struct
from contextlib import closing

import pytest
from backports import zstd
from rosbags.rosbag2 import StoragePlugin, Writer
from written_bags import JOINTS, START_NS, TYPES, joints, recording

from salus_ros.bags import reading, repair
from salus_ros.bags.reading import Bag, Message
from salus_ros.core.errors import ObservationError


def read(path, topics=("/cam", "/joints", "/act")):
    """Messages of a bag, and what it says of it."""
    with Bag(path) as bag:
        return list(bag.messages(topics)), bag.problems


def database(folder, steps=10):
    return recording(steps).write(folder / "bag", "sqlite3") / "bag.db3"


# Databases of hostile make


def with_schema(file, name, statement, kind="table"):
    """Write a statement into the schema of a database, as a hostile hand does."""
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("PRAGMA writable_schema=ON")
        changed = opened.execute(
            "UPDATE sqlite_master SET sql=?, type=? WHERE name=?", (statement, kind, name)
        )
        assert changed.rowcount == 1
        opened.commit()


@pytest.mark.parametrize("damage", ["cut", "journal"])
def test_no_statement_of_a_damaged_database_is_run(tmp_path, damage):
    file, victim = database(tmp_path, 200), tmp_path / "written_by_the_bag.db"
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("CREATE TABLE more(x)")
        opened.commit()
    with_schema(file, "more", f"VACUUM INTO '{victim}'")
    if damage == "cut":
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) * 2 // 3 + 5])
    else:
        file.with_name(f"{file.name}-wal").write_bytes(b"")
    _, problems = read(file)
    assert not victim.exists()
    assert problems


HOSTILE = {
    "view": [
        "ALTER TABLE messages RENAME TO kept",
        "CREATE VIEW messages AS SELECT id, topic_id, timestamp, zeroblob(9) AS data FROM kept",
    ],
    "endless view": [
        "DROP TABLE messages",
        "CREATE VIEW messages AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
        " SELECT id, 1 AS topic_id, id AS timestamp, x'00' AS data FROM n",
    ],
    "computed column": [
        "DROP TABLE messages",
        "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, timestamp, "
        "data BLOB AS (zeroblob(400000000)))",
    ],
    "virtual table": [
        "DROP TABLE messages",
        "CREATE VIRTUAL TABLE messages USING fts5(id, topic_id, timestamp, data)",
    ],
    "view of topics": [
        "ALTER TABLE topics RENAME TO kept",
        "CREATE VIEW topics AS SELECT * FROM kept",
    ],
    "upper case": [
        "ALTER TABLE topics RENAME TO kept",
        "CREATE VIEW TOPICS AS SELECT * FROM kept",
    ],
}


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("how", HOSTILE)
def test_a_database_in_which_reading_would_compute_is_not_read(tmp_path, how, damaged):
    file = database(tmp_path)
    with closing(sqlite3.connect(file)) as opened:
        for statement in HOSTILE[how]:
            opened.execute(statement)
        opened.commit()
    if damaged:
        file.with_name(f"{file.name}-wal").write_bytes(b"")
    messages, (problem,) = read(file)
    assert messages == []
    assert "bag.db3 cannot be opened: its " in problem
    assert "is no plain table" in problem


def test_a_view_that_calls_itself_a_table_is_not_read(tmp_path):
    file = database(tmp_path)
    with_schema(file, "messages", "CREATE VIEW messages AS SELECT 1 AS id, x'00' AS data")
    messages, problems = read(file)
    assert messages == []
    assert len(problems) == 1


def test_a_trigger_and_a_table_beside_those_of_a_recorder_do_not_matter(tmp_path):
    file, bystander = database(tmp_path), tmp_path / "other"
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("CREATE TABLE notes(text)")
        opened.execute("CREATE VIEW seen AS SELECT count(*) FROM messages")
        opened.execute(
            "CREATE TRIGGER t AFTER INSERT ON messages BEGIN INSERT INTO notes VALUES ('x'); END"
        )
        opened.commit()
    messages, problems = read(file)
    assert (len(messages), problems) == (30, [])
    assert not bystander.exists()


def test_values_of_other_kinds_than_a_recorder_writes_are_left_out_and_counted(tmp_path):
    file = database(tmp_path)
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("UPDATE messages SET data='text' WHERE id IN (1, 2)")
        opened.execute("UPDATE messages SET timestamp='yesterday' WHERE id = 3")
        opened.execute("UPDATE messages SET timestamp=-5 WHERE id = 4")
        opened.commit()
    messages, problems = read(file)
    assert len(messages) == 26
    assert sum("cannot be used" in problem for problem in problems) >= 3
    assert "it is a str, not bytes" in str(problems)


def test_the_bag_is_not_changed_by_reading_it(tmp_path):
    file = database(tmp_path)
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("DELETE FROM messages WHERE id > 15")
        opened.commit()
        before = {one.name: one.read_bytes() for one in file.parent.iterdir()}
        messages, problems = read(file)
        assert {one.name: one.read_bytes() for one in file.parent.iterdir()} == before
    assert (len(messages), problems) == (15, [])


def test_a_damaged_database_of_an_older_recorder_is_read_too(tmp_path):
    file = database(tmp_path, 200)
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("DROP TABLE schema")
        opened.execute("DROP TABLE message_definitions")
        opened.execute("ALTER TABLE topics DROP COLUMN type_description_hash")
        opened.execute("ALTER TABLE topics DROP COLUMN offered_qos_profiles")
        opened.commit()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 2 // 3 + 5])
    messages, problems = read(file)
    assert 300 < len(messages) < 600
    assert problems == ["bag.db3 is damaged: only its first messages can be read"]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("name", ["run#1", "50%20done", "what?", "a b"])
def test_any_name_of_a_folder_can_be_read(tmp_path, name, storage):
    bag = recording().write(tmp_path / "bag", storage).rename(tmp_path / name)
    messages, problems = read(bag)
    assert (len(messages), problems) == (30, [])


# What is packed


def test_a_file_that_unpacks_to_far_more_than_its_size_is_not_unpacked_to_its_end(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(repair, "MIN_UNPACKED_BYTES", 1 << 20)
    file = tmp_path / "bag.mcap.zstd"
    file.write_bytes(zstd.compress(bytes(64 << 20)))
    messages, problems = read(file)
    assert messages == []
    assert "unpacks to more than 1 MiB, 64 times its size; unpack it yourself" in problems[0]


def test_a_file_is_not_unpacked_where_there_is_no_room(tmp_path, monkeypatch):
    folder = recording().write(tmp_path / "bag", "sqlite3", "file")
    assert len(read(folder)[0]) == 30
    monkeypatch.setattr(repair, "KEPT_FREE_BYTES", 1 << 62)
    messages, problems = read(folder)
    assert messages == []
    assert "too little room" in problems[0]
    assert "TMPDIR" in problems[0]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_message_that_unpacks_to_too_much_is_left_out_and_the_others_read(
    tmp_path, monkeypatch, storage
):
    made = recording()
    for place in (4, 7):
        topic, kind, receive_ns, _ = made.messages[place]
        made.messages[place] = (topic, kind, receive_ns, zstd.compress(bytes(9 << 20)))
    monkeypatch.setattr(reading, "MAX_MESSAGE_BYTES", 1 << 20)
    messages, problems = read(made.write(tmp_path / "bag", storage))
    assert len(messages) == 28
    assert "/joints: 2 messages cannot be used: it cannot be unpacked" in problems[0]
    assert len(problems) == 1


@pytest.mark.parametrize("data", [b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd" + bytes(20)])
def test_a_message_whose_packing_is_damaged_is_left_out(tmp_path, data):
    made = recording()
    made.messages[4] = (*made.messages[4][:3], data)
    messages, problems = read(made.write(tmp_path / "bag"))
    assert len(messages) == 29
    assert "/joints: 1 message cannot be used" in problems[0]


@pytest.mark.parametrize("says", [None, 2 << 30])
def test_a_chunk_that_unpacks_to_more_than_it_says_or_may_is_refused(tmp_path, says):
    file = recording().write(tmp_path / "bag", "mcap", "storage") / "bag.mcap"
    whole = bytearray(file.read_bytes())
    place = whole.index(b"zstd") - 4 - 4 - 8  # before it: its length, a checksum, the size
    (size,) = struct.unpack_from("<Q", whole, place)
    lie = says or size - 1
    for at in _all(bytes(whole), struct.pack("<Q", size)):
        struct.pack_into("<Q", whole, at, lie)
    file.write_bytes(bytes(whole))
    messages, problems = read(file)
    assert messages == []
    said = "a chunk unpacks to 2048 MiB" if says else "size mismatch"
    assert said in problems[0]


def _all(text, part):
    place = text.find(part)
    while place >= 0:
        yield place
        place = text.find(part, place + 1)


# Types


def with_definition(folder, kind, text):
    """A bag with one topic more, of a type of its own, that has a message."""
    made = recording()
    with Writer(folder / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(topic, kind_of, typestore=TYPES)
            for topic, kind_of in (("/joints", JOINTS),)
        }
        odd = writer.add_connection("/odd", kind, msgdef=text, rihs01=f"RIHS01_{'0' * 64}")
        for topic, kind_of, receive_ns, message in made.messages:
            if topic in connections:
                data = TYPES.serialize_cdr(message, kind_of)
                writer.write(connections[topic], receive_ns, data)
        writer.write(odd, START_NS, b"\0\1\0\0" + bytes(8))
    return folder / "bag"


def test_a_definition_that_cannot_be_read_is_no_problem_until_it_is_asked_for(tmp_path):
    kind = "demo_msgs/srv/Add_Event"
    bag = with_definition(tmp_path, kind, "int64 a\n---\nint64 sum\n")
    messages, problems = read(bag)
    assert (len(messages), problems) == (10, [])
    with Bag(bag) as opened:
        assert opened.types["/odd"] == kind
        assert not opened.knows(kind)
        assert opened.unknown(JOINTS) == ""
        why = opened.unknown(kind)
        assert why.startswith(f"the definition that the bag has of its type {kind} cannot be read")
        assert len(why) < 500
        (message,) = opened.messages({"/odd"})
        with pytest.raises(ObservationError, match="cannot be read"):
            opened.decode(message)
        assert opened.problems == []


def test_a_definition_that_is_too_long_is_not_looked_at(tmp_path, monkeypatch):
    bag = with_definition(tmp_path, "mine/msg/Odd", "int64 a\n")
    with Bag(bag) as opened:
        assert opened.knows("mine/msg/Odd")
    monkeypatch.setattr(reading, "MAX_DEFINITION", 5)
    with Bag(bag) as opened:
        assert "it has 8 characters" in opened.unknown("mine/msg/Odd")


def test_a_type_without_definition_says_what_to_do(tmp_path):
    with Bag(recording().write(tmp_path / "bag")) as bag:
        assert "mine/msg/Gone is unknown here and the bag has no definition" in bag.unknown(
            "mine/msg/Gone"
        )


def test_damaged_messages_of_a_type_have_one_cause(tmp_path):
    whole = bytes(TYPES.serialize_cdr(joints(START_NS, 1, 2), JOINTS))
    causes = set()
    with Bag(recording().write(tmp_path / "bag")) as bag:
        for data in (b"", b"\0\1\0\0", whole[:20], whole[:-9], whole + bytes(9), b"\xff" * 60):
            with pytest.raises(ObservationError) as error:
                bag.decode(Message("/joints", JOINTS, 0, data))
            causes.add(error.value.cause)
    assert causes == {f"it is no {JOINTS}"}
