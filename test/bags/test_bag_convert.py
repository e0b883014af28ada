import itertools
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from written_bags import (
    ARRAY,
    IMAGE,
    JOINTS,
    PERIOD_NS,
    POLICY_ACTION,
    START_NS,
    STATUS,
    Recording,
    array,
    check_steps,
    image,
    joints,
    make,
    picture,
    policy_action,
    recording,
    status,
)

from salus_ros.bags.mapping import Values
from salus_ros.bags.proposal import propose
from salus_ros.bags.reading import Bag
from salus_ros.bags.scan import scan
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.messages.kinds import BOOL


@pytest.mark.parametrize(
    ("storage", "compression"),
    [*itertools.product(("mcap", "sqlite3"), (None, "message", "file")), ("mcap", "storage")],
)
def test_converts_what_was_recorded(convert, tmp_path, storage, compression):
    report, reader = convert(recording().write(tmp_path / "bag", storage, compression))
    assert (report["episodes"], report["steps"], report["problems"]) == (1, 10, [])
    check_steps(reader)
    meta = reader.meta(0)
    assert (meta.id, meta.task, meta.outcome) == ("bag/0", "lift", Outcome.UNKNOWN)
    assert meta.rate_hz == pytest.approx(10)
    np.testing.assert_array_equal(reader.episode(0).age_ms, np.zeros((10, 3)))
    assert report["streams"]["front"]["missing_ticks"] == 0


def test_reads_files_of_a_split_bag_without_their_metadata(convert, tmp_path):
    folder = tmp_path / "split"
    folder.mkdir()
    for part in range(2):
        made = recording(5, START_NS + 5 * part * PERIOD_NS, 5 * part)
        written = made.write(tmp_path / f"part{part}")
        (written / f"part{part}.mcap").rename(folder / f"split_{part}.mcap")
    report, reader = convert(folder)
    assert report["problems"] == []
    check_steps(reader)


def test_a_file_that_is_gone_does_not_take_the_others_with_it(convert, tmp_path):
    bag = recording().write(tmp_path / "bag")
    text = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(text.replace("- bag.mcap", "- gone.mcap\n  - bag.mcap"))
    report, reader = convert(bag)
    assert "gone.mcap cannot be opened" in report["problems"][0]
    check_steps(reader)


def test_accepts_type_names_without_msg(convert, tmp_path):
    bag = recording().write(tmp_path / "bag", names={IMAGE: "sensor_msgs/Image"})
    report, reader = convert(bag)
    assert report["problems"] == []
    check_steps(reader)


def test_a_step_takes_the_last_sample_and_never_the_future(convert, tmp_path):
    made = recording()
    late = [m for m in made.messages if m[0] == "/cam"]
    made.messages = [m for m in made.messages if m[0] != "/cam"]
    for topic, kind, receive_ns, message in late:
        made.add(topic, kind, receive_ns + 30_000_000, message)  # 30 ms after the tick
    report, reader = convert(made.write(tmp_path / "bag"), clock_topic="/joints")
    # The first tick is the first one after the camera was heard.
    episode = reader.episode(0)
    np.testing.assert_array_equal(episode.images["front"][:, 0, 0, 0], np.arange(9))
    np.testing.assert_array_equal(episode.state[:, 1], np.arange(1, 10))
    np.testing.assert_allclose(episode.age_ms, [[70, 0, 0]] * 9)
    assert report["streams"]["front"]["age_p95_ms"] == pytest.approx(70)


def test_a_rate_whose_period_is_no_whole_number_loses_no_step(convert, tmp_path):
    made = Recording()
    for step in range(10):
        stamp = START_NS + round(step * 1e9 / 30) - (step == 9)
        made.messages += recording(1, stamp, step, delay_ns=0).messages
    _, reader = convert(made.write(tmp_path / "bag"), rate_hz=30.0)
    check_steps(reader)


def test_what_is_too_old_is_a_marked_gap(convert, tmp_path):
    made = recording()
    made.messages = [m for i, m in enumerate(made.messages) if not 9 <= i < 18 or m[0] == "/act"]
    report, reader = convert(made.write(tmp_path / "bag"), max_age_ms=150.0)
    episode = reader.episode(0)
    gaps = np.isin(np.arange(10), (4, 5))  # 3 may still use what came at 2
    np.testing.assert_array_equal(
        np.isnan(episode.age_ms), np.stack([gaps, gaps, gaps & False], 1)
    )
    np.testing.assert_array_equal(np.isnan(episode.state).all(1), gaps)
    assert episode.age_ms[3, 0] == 100
    assert report["streams"]["front"]["missing_ticks"] == 2
    assert report["streams"]["front"]["gaps"] == 1
    assert report["streams"]["front"]["largest_gap_s"] == pytest.approx(0.4)


def test_each_stream_has_its_own_age(convert, tmp_path):
    made = recording()
    made.messages = [m for i, m in enumerate(made.messages) if not 9 <= i < 18 or m[0] == "/act"]
    _, reader = convert(made.write(tmp_path / "bag"), max_age_ms=0.0, max_age_of={"front": 150.0})
    missing = np.isnan(reader.episode(0).age_ms)
    np.testing.assert_array_equal(np.flatnonzero(missing[:, 0]), [4, 5])  # the camera
    np.testing.assert_array_equal(np.flatnonzero(missing[:, 1]), [3, 4, 5])  # the state
    assert not missing[:, 2].any()


def test_header_stamps_order_what_was_received_out_of_order(convert, tmp_path):
    made = recording()
    made.messages = [m for m in made.messages if m[0] != "/act"]
    swapped = []
    for topic, kind, receive_ns, message in made.messages:
        step = (receive_ns - START_NS) // PERIOD_NS
        other = {3: 4, 4: 3}.get(step, step)
        swapped.append((topic, kind, receive_ns + (other - step) * PERIOD_NS, message))
    again = next(m for m in swapped if m[0] == "/joints")
    made.messages = sorted([*swapped, (*again[:2], again[2] + 1, again[3])], key=lambda m: m[2])
    report, reader = convert(
        made.write(tmp_path / "bag"), time="header", action=Values("/joints", fields=("position",))
    )
    episode = reader.episode(0)
    np.testing.assert_array_equal(episode.images["front"][:, 0, 0, 0], np.arange(10))
    np.testing.assert_array_equal(episode.action[:, 0], np.arange(10))
    assert report["streams"]["front"]["out_of_order"] == 1
    assert report["streams"]["state"]["duplicates"] == 1


def test_a_topic_without_header_has_no_header_stamp(convert, tmp_path):
    with pytest.raises(ConfigError, match=r"/act .* no header; use time: receive"):
        convert(recording().write(tmp_path / "bag"), time="header")


def test_a_silence_ends_an_episode_and_one_that_is_there_is_not_converted_again(convert, tmp_path):
    made = recording(10)
    made.messages += recording(8, START_NS + 50 * PERIOD_NS, first=20).messages
    bag = made.write(tmp_path / "bag")
    report, reader = convert(bag, gap_s=1.0)
    assert [reader.meta(i).id for i in range(2)] == ["bag/0", "bag/1"]
    check_steps(reader, 0)
    check_steps(reader, 1, steps=8, first=20)
    report, reader = convert(bag, gap_s=1.0)
    assert (report["episodes"], report["known_episodes"], len(reader)) == (0, 2, 2)


def test_an_episode_topic_says_where_episodes_are_and_how_they_ended(convert, tmp_path):
    made = recording(12)
    for step in range(12):
        name, number = ("x", step) if step < 5 else ("y", step - 5)
        stamp = START_NS + step * PERIOD_NS
        made.add("/episode", STATUS, stamp + 10_000_000, status(stamp, name, number, 1))
    ended = {"phase": 2, "outcome": 2, "failure_type": 1, "failure_step": 3}
    stamp = START_NS + 5 * PERIOD_NS - 1
    made.add("/episode", STATUS, stamp + 10_000_000, status(stamp, "x", 5, **ended))
    made.messages.sort(key=lambda m: m[2])
    bag = made.write(tmp_path / "bag")
    report, reader = convert(bag, episode_topic="/episode", clock_topic="/episode", task="")
    assert report["problems"] == []
    meta = reader.meta(0)
    assert (meta.outcome, meta.failure_type) == (Outcome.FAILURE, FailureType.DROP)
    assert (meta.failure_step, meta.seed, meta.task) == (3, 7, "lift")
    assert reader.meta(1).outcome == Outcome.UNKNOWN  # it never ended
    check_steps(reader, 0, steps=5)
    check_steps(reader, 1, steps=7, first=5)


@pytest.mark.parametrize("clock_topic", ["/episode", ""])
@pytest.mark.parametrize("late_s", [0.01, 5.0])
@pytest.mark.parametrize("moment", [{"failure_step": 3}, {"failure_time": 0.29}])
def test_an_episode_that_is_judged_while_the_next_one_runs(
    convert, tmp_path, clock_topic, late_s, moment
):
    made = recording(100)
    for step in range(100):
        name, number = ("x", step) if step < 5 else ("y", step - 5)
        stamp = START_NS + step * PERIOD_NS
        made.add("/episode", STATUS, stamp + 10_000_000, status(stamp, name, number, 1))
    stamp = START_NS + 5 * PERIOD_NS - 1
    made.add("/episode", STATUS, stamp + 10_000_000, status(stamp, "x", 5, 2, outcome=1))
    stamp += int(late_s * 1e9)
    judged = status(stamp, "x", 5, 2, outcome=2, failure_type=3, **moment)
    made.add("/episode", STATUS, stamp + 10_000_000, judged)
    made.messages.sort(key=lambda m: m[2])
    bag = made.write(tmp_path / "bag")
    how = {"clock_topic": clock_topic} if clock_topic else {"rate_hz": 20.0}
    _, reader = convert(bag, episode_topic="/episode", task="", max_age_ms=150.0, **how)
    first = reader.meta(0)
    assert (first.outcome, first.failure_type) == (Outcome.FAILURE, FailureType.TIMEOUT)
    assert first.failure_step == (3 if clock_topic else 6)
    assert len(reader) == 2  # the one that ran goes on
    assert len(reader.episode(1)) == (95 if clock_topic else 189)


@pytest.mark.parametrize("clock_topic", ["/episode", ""])
@pytest.mark.parametrize("again", [False, True])
def test_a_failure_told_as_a_time_is_the_step_at_which_it_was(
    convert, tmp_path, clock_topic, again
):
    """At 10 Hz though the status says 30, as where a policy is slower than was promised."""
    made = recording(8)
    for step in range(8):
        stamp = START_NS + step * PERIOD_NS
        made.add("/episode", STATUS, stamp + 10_000_000, status(stamp, "x", step, 1, rate_hz=30.0))
    stamp = START_NS + 8 * PERIOD_NS - 1
    told = {"phase": 2, "outcome": 2, "failure_type": 1, "failure_time": 0.52, "rate_hz": 30.0}
    for moment, said in (
        (stamp, told | {"failure_time": 0.2} if again else told),
        (stamp + 5, told),
    ):
        made.add("/episode", STATUS, moment + 10_000_000, status(moment, "x", 8, **said))
    made.messages.sort(key=lambda m: m[2])
    bag = made.write(tmp_path / "bag")
    how = {"clock_topic": clock_topic} if clock_topic else {"rate_hz": 10.0}
    report, reader = convert(bag, episode_topic="/episode", task="", **how)
    assert report["problems"] == []
    assert (reader.meta(0).outcome, reader.meta(0).failure_step) == (Outcome.FAILURE, 5)


def graph_recording(steps=8):
    """What the graph says of an episode in which a person has the arm at the steps 3 to 5."""
    made = Recording([m for m in recording(steps).messages if m[0] != "/act"])
    for step in range(steps):
        stamp = START_NS + step * PERIOD_NS
        acts = "home@alarm drop" if step == 6 else ""
        said = policy_action(stamp, "x", step, [step, 1, 2], acts)
        made.add("/episode", STATUS, stamp + 10_000_000, status(stamp, "x", step, 1))
        made.add("/action", POLICY_ACTION, stamp + 30_000_000, said)
    for step, has in ((3, True), (6, False)):
        moment = START_NS + step * PERIOD_NS + 20_000_000
        made.add("/intervention", BOOL, moment, make(BOOL, data=has))
    stamp = START_NS + steps * PERIOD_NS
    made.add("/episode", STATUS, stamp + 10_000_000, status(stamp, "x", steps, 2, outcome=1))
    made.messages.sort(key=lambda m: m[2])
    return made


def test_where_a_person_had_the_arm_is_recorded_as_it_is_live(convert, tmp_path):
    bag = graph_recording().write(tmp_path / "bag")
    with Bag(bag) as opened:
        proposed = propose(scan(opened))
    assert proposed["takeover"] == "/intervention"
    how = {"episode_topic": "/episode", "clock_topic": "/episode", "time": "header", "task": ""}
    how |= {"action": Values("/action")}
    report, reader = convert(bag, takeover="/intervention", **how)
    assert report["problems"] == []
    assert reader.meta(0).interventions == "3-5 person@takeover; 6-6 home@alarm drop"
    acted = reader.intervention(0)
    assert (acted[:3] == 0).all()
    assert len(set(acted[3:6].tolist())) == 1
    assert acted[3] not in (0, acted[6])


def test_a_takeover_without_steps_of_its_own_is_refused(convert, tmp_path):
    bag = graph_recording().write(tmp_path / "bag")
    with pytest.raises(ConfigError, match="takeover is /intervention; it needs an action of type"):
        convert(bag, takeover="/intervention", action=Values("/action"), task="lift")


def test_a_takeover_of_another_type_is_named(convert, tmp_path):
    made = graph_recording()
    made.add("/pressed", ARRAY, START_NS, array([1.0]))
    made.messages.sort(key=lambda m: m[2])
    bag = made.write(tmp_path / "bag")
    how = {"episode_topic": "/episode", "clock_topic": "/episode", "task": "", "time": "header"}
    report, reader = convert(bag, takeover="/pressed", action=Values("/action"), **how)
    assert any("it is a std_msgs/msg/Float64MultiArray" in said for said in report["problems"])
    assert reader.meta(0).interventions == "6-6 home@alarm drop"


@pytest.mark.parametrize("max_age_ms", [0.0, 150.0])
def test_damaged_numbers_are_as_if_they_never_came_and_named(convert, tmp_path, max_age_ms):
    made = recording()
    topic, kind, receive_ns, _ = made.messages[4]
    made.messages[4] = (topic, kind, receive_ns, joints(receive_ns, np.nan, 0))
    topic, kind, receive_ns, _ = made.messages[7]
    made.messages[7] = (topic, kind, receive_ns, b"\0\1\0\0\7")
    made.messages[8] = (*made.messages[8][:3], array([1.0]))
    report, reader = convert(made.write(tmp_path / "bag"), max_age_ms=max_age_ms)
    ages = reader.episode(0).age_ms
    # One before them may be old enough, or not.
    of_state, of_action = ([1], [2]) if max_age_ms else ([], [])
    assert np.flatnonzero(ages[:, 1] == 100).tolist() == of_state
    assert np.flatnonzero(ages[:, 2] == 100).tolist() == of_action
    assert np.flatnonzero(np.isnan(ages[:, 1])).tolist() == ([2] if max_age_ms else [1, 2])
    assert np.flatnonzero(np.isnan(ages[:, 2])).tolist() == ([] if max_age_ms else [2])
    assert len(report["problems"]) == 3


def test_a_topic_that_is_empty_absent_or_of_unknown_type_is_named(convert, tmp_path):
    made = Recording([m for m in recording().messages if m[0] != "/cam"])
    report, reader = convert(made.write(tmp_path / "absent"))
    assert "topic /cam is not in the bag; it has /act, /joints" in report["problems"]
    assert "episode absent/0 is left out: no step has a sample of front" in report["problems"]
    assert reader is None
    bag = recording().write(tmp_path / "unknown", "mcap", names={JOINTS: "mine/msg/Odd"})
    report, _ = convert(bag, state=Values("/joints", fields=("position",)))
    assert report["episodes"] == 1  # the definition lies in the bag


def test_of_a_file_that_was_cut_short_the_rest_is_converted(convert, tmp_path):
    bag = recording(200, size=(100, 100)).write(tmp_path / "bag", "mcap")
    file = bag / "bag.mcap"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 2 // 3])
    report, reader = convert(bag)
    assert "bag.mcap is cut short: its last" in report["problems"][0]
    assert 60 < len(reader.episode(0)) < 135
    assert not np.isnan(reader.episode(0).age_ms).any()


def test_of_a_database_that_was_cut_short_the_first_messages_are_converted(convert, tmp_path):
    bag = recording(200, size=(100, 100)).write(tmp_path / "bag", "sqlite3")
    file = bag / "bag.db3"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 2 // 3])
    report, reader = convert(bag)
    assert "bag.db3 is damaged: only its first messages can be read" in report["problems"]
    assert 60 < len(reader.episode(0)) < 135
    frames = reader.episode(0).images["front"][:, 0, 0, 0]
    np.testing.assert_array_equal(frames, np.arange(len(frames)))


def test_a_journal_that_a_killed_recorder_left_is_read_too(convert, tmp_path):
    bag = recording().write(tmp_path / "bag", "sqlite3")
    file = bag / "bag.db3"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("DELETE FROM messages WHERE id > 15")
        database.commit()
        killed = tmp_path / "killed"
        shutil.copytree(bag, killed)
    assert (killed / "bag.db3-wal").stat().st_size
    report, reader = convert(killed)
    assert report["problems"] == []
    check_steps(reader, steps=5)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.4, 0.9])
def test_a_file_cut_anywhere_is_named_and_never_a_crash(convert, tmp_path, storage, share):
    bag = recording(100).write(tmp_path / "bag", storage)
    file = next(f for f in bag.iterdir() if f.suffix in (".mcap", ".db3"))
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    report, reader = convert(bag)
    assert report["problems"]
    if reader is not None:
        np.testing.assert_array_equal(
            reader.episode(0).action[:, 0], np.arange(len(reader.episode(0)))
        )


def test_a_store_of_other_sizes_is_refused(convert, tmp_path):
    convert(recording().write(tmp_path / "bag"))
    with pytest.raises(ConfigError, match="the mapping names the values a; the store has b, a"):
        convert(recording().write(tmp_path / "other"), state=Values("/joints", joints=("a",)))


def test_no_bag_no_conversion(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        Bag(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no \.mcap or \.db3"):
        Bag(tmp_path / "empty")


@pytest.mark.parametrize("jump_s", [3600, 47 * 365 * 86400])
def test_a_clock_that_is_set_in_mid_recording_makes_two_episodes(convert, tmp_path, jump_s):
    made = recording(10)
    later_ns = START_NS + 10 * PERIOD_NS + jump_s * 10**9
    made.messages += recording(10, later_ns, 10).messages
    report, reader = convert(made.write(tmp_path / "bag"))
    assert [len(reader.episode(index)) for index in range(len(reader))] == [10, 10]
    check_steps(reader)
    check_steps(reader, 1, first=10)
    assert report["problems"] == []
    assert [note for note in report["notes"] if "no task" not in note] == [
        f"episode bag/0: all streams are silent for {jump_s + 0.1:.1f} s, so it ends there; set "
        "episodes: {gap_s: SECONDS} to choose"
    ]


def test_header_stamps_that_jump_back_make_two_episodes(convert, tmp_path):
    start_ns = START_NS + 1000 * 10**9
    made = recording(10, start_ns)
    for step in range(10):
        stamp_ns = start_ns - 100 * 10**9 + step * PERIOD_NS
        receive_ns = start_ns + (10 + step) * PERIOD_NS
        number = 10 + step
        made.add("/cam", IMAGE, receive_ns, image(stamp_ns, picture(number)))
        made.add("/joints", JOINTS, receive_ns, joints(stamp_ns, number, number + 0.5))
    action = Values("/joints", fields=("position",))
    report, reader = convert(made.write(tmp_path / "bag"), time="header", action=action)
    assert [len(reader.episode(index)) for index in range(len(reader))] == [10, 10]
    numbers = [reader.episode(index).images["front"][:, 0, 0, 0].tolist() for index in range(2)]
    assert numbers == [list(range(10)), list(range(10, 20))]
    assert any("time jumped back by 100.9 s" in note for note in report["notes"])
