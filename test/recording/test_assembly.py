import math
from itertools import permutations

import numpy as np
import pytest

from salus_ros.core.failures import Outcome
from salus_ros.core.phases import Phase
from salus_ros.episodes import EpisodeMeta
from salus_ros.recording.assembly import Assembler
from salus_ros.recording.flight import Rules
from salus_ros.recording.rows import Dropped, Finished
from salus_ros.recording.streams import Stream

STREAMS = ("front", "state", "prediction")
MS = 1_000_000
PERIOD_MS = 33


class World:
    """Feeds an assembler as a lockstep graph would, at times given by hand."""

    def __init__(self, **change) -> None:
        max_bytes = change.pop("max_bytes", 10_000)
        max_age_ms = dict.fromkeys(STREAMS, change.pop("max_age_ms", 50.0))
        max_age_ms |= change.pop("max_age_of", {})
        options = {"settle_s": 0.5, "max_missing_share": 0.0}
        rules = Rules(max_age_ms, ("front", "state"), **(options | change))
        streams = {name: Stream() for name in STREAMS}
        self.rows = []
        self.assembler = Assembler(streams, rules, room=lambda: max_bytes, on_row=self.rows.append)
        self.tick = 0
        self.now_s = 0.0
        self.results = []

    @property
    def stamp_ns(self) -> int:
        return self.tick * PERIOD_MS * MS

    def status(self, episode, step, phase=Phase.RUNNING, outcome=Outcome.UNKNOWN, **fields):
        meta = EpisodeMeta(episode, "lift", outcome, **fields)
        if phase == Phase.RUNNING:
            self.assembler.step(episode, step, self.stamp_ns, self.now_s, lambda: meta)
        else:
            self.assembler.end(meta, self.stamp_ns, self.now_s, step)

    def sample(self, *streams):
        for stream in streams:
            size = 100 if stream == "front" else 0
            sample = bytes(100) if size else f"{stream}@{self.tick}"
            self.assembler.sample(stream, self.stamp_ns, sample, size)

    def act(self, episode, step):
        action = np.float32([self.tick])
        self.assembler.action(episode, step, self.stamp_ns, action, "policy", self.now_s)

    def step(self, episode, step, streams=STREAMS, *, act=True):
        """One whole step of an episode."""
        self.tick += 1
        self.now_s += 0.01
        self.status(episode, step)
        self.sample(*streams)
        if act:
            self.act(episode, step)
        self.collect()

    def end(self, episode, steps, **fields):
        self.tick += 1
        self.status(episode, steps, Phase.ENDED, outcome=Outcome.SUCCESS, **fields)
        self.collect()

    def collect(self, after_s=0.0):
        self.now_s += after_s
        self.results += self.assembler.collect(self.now_s)

    def run(self, episode, steps):
        for step in range(steps):
            self.step(episode, step)
        self.end(episode, steps)


def test_a_whole_episode_comes_out_at_once():
    world = World()
    world.run("a", 3)
    (finished,) = world.results
    assert isinstance(finished, Finished)
    assert [row.step for row in finished.rows] == [0, 1, 2]
    assert [row.stamp_ns for row in finished.rows] == [33 * MS, 66 * MS, 99 * MS]
    assert [float(row.action[0]) for row in finished.rows] == [1, 2, 3]
    assert [row.samples["state"] for row in finished.rows] == ["state@1", "state@2", "state@3"]
    assert all(set(row.age_ms.values()) == {0.0} for row in finished.rows)
    assert (finished.meta.policy_id, finished.meta.outcome) == ("policy", 1)
    assert finished.messages == 3 * (len(STREAMS) + 1)
    assert world.assembler.current == ""


def test_episodes_follow_each_other():
    world = World()
    world.run("a", 2)
    world.run("b", 3)
    assert [len(result.rows) for result in world.results] == [2, 3]


def test_a_late_prediction_is_waited_for():
    world = World()
    world.step("a", 0, ("front", "state"))
    world.end("a", 1)
    assert world.results == []
    world.assembler.sample("prediction", 33 * MS, "late")
    world.collect(0.1)
    assert world.results[0].rows[0].samples["prediction"] == "late"


def test_a_prediction_that_never_comes_is_a_gap_and_no_reason_to_drop():
    world = World()
    world.step("a", 0, ("front", "state"))
    world.end("a", 1)
    world.collect(0.4)
    assert world.results == []
    world.collect(0.2)
    row = world.results[0].rows[0]
    assert row.samples["prediction"] is None
    assert math.isnan(row.age_ms["prediction"])
    assert row.age_ms["front"] == 0.0


def test_a_sample_is_held_as_long_as_it_may_be_old():
    world = World(max_missing_share=1.0)
    world.step("a", 0)
    world.step("a", 1, ("front", "prediction"))  # state is 33 ms old, 50 are allowed
    world.step("a", 2, ("front", "prediction"))  # 66 ms: too old
    world.end("a", 3)
    world.collect(1.0)
    (finished,) = world.results
    assert [row.samples["state"] for row in finished.rows] == ["state@1", "state@1", None]
    assert finished.rows[1].age_ms["state"] == 33.0
    assert math.isnan(finished.rows[2].age_ms["state"])


def test_the_future_is_never_taken():
    world = World(max_missing_share=1.0, max_age_ms=1000.0)
    world.step("a", 0, ("state", "prediction"))
    world.step("a", 1)
    world.end("a", 2)
    world.collect(1.0)
    assert [row.samples["front"] is None for row in world.results[0].rows] == [True, False]


def test_nothing_is_taken_from_the_episode_before():
    world = World(max_missing_share=1.0, max_age_ms=1000.0)
    world.run("a", 2)
    world.step("b", 0, ("front", "prediction"))
    world.step("b", 1)
    world.end("b", 2)
    world.collect(1.0)
    assert [row.samples["state"] for row in world.results[1].rows] == [None, "state@5"]


@pytest.mark.parametrize("lost", ["front", "state"])
def test_an_episode_that_lacks_an_image_or_a_state_is_dropped(lost):
    world = World(max_age_ms=10.0)
    world.step("a", 0)
    world.step("a", 1, [stream for stream in STREAMS if stream != lost])
    world.step("a", 2)
    world.end("a", 3)
    world.collect(1.0)
    (dropped,) = world.results
    assert isinstance(dropped, Dropped)
    assert "1 of its 3 steps lack an action or one of front, state" in dropped.reason
    assert dropped.messages == 3 * 4 - 1


def test_a_share_of_gaps_may_be_allowed():
    world = World(max_age_ms=10.0, max_missing_share=0.4)
    world.step("a", 0)
    world.step("a", 1, act=False)
    world.step("a", 2)
    world.end("a", 3)
    world.collect(1.0)
    assert [row.action is None for row in world.results[0].rows] == [False, True, False]


def test_a_step_without_an_action_is_missing():
    world = World()
    world.step("a", 0)
    world.step("a", 1, act=False)
    world.step("a", 2)
    world.end("a", 3)
    world.collect(1.0)
    assert "1 of its 3 steps lack an action" in world.results[0].reason


def test_a_policy_that_never_acted_makes_no_episode():
    world = World(max_missing_share=1.0)
    world.step("a", 0, act=False)
    world.end("a", 1)
    world.collect(1.0)
    assert world.results[0].reason == "the policy never acted"


def test_lockstep_waits_for_its_action_without_end():
    world = World()
    world.step("a", 0, act=False)
    world.collect(100.0)
    world.status("a", 0)  # repeated, since nobody answered
    world.sample("front", "state")
    world.act("a", 0)
    world.sample("prediction")
    world.end("a", 1)
    assert len(world.results[0].rows) == 1


def test_steps_that_were_never_seen_drop_the_episode():
    world = World()
    world.step("a", 2)
    world.step("a", 3)
    world.end("a", 4)
    world.collect(1.0)
    (dropped,) = world.results
    assert "2 of its 4 steps were never seen, the first one seen was 2" in dropped.reason


def test_an_episode_that_was_over_before_is_nothing_to_speak_of():
    world = World()
    world.end("a", 200)
    world.collect(1.0)
    assert world.results == []


def test_an_episode_that_never_ended_is_dropped_when_the_next_one_starts():
    world = World()
    world.step("a", 0)
    world.step("b", 0)
    (dropped,) = world.results
    assert (dropped.episode_id, dropped.reason) == ("a", "it never ended")
    world.step("b", 1)
    world.end("b", 2)
    assert len(world.results[1].rows) == 2


def test_an_action_may_come_before_the_status_of_its_episode():
    world = World()
    world.run("a", 1)
    world.tick += 1
    world.sample(*STREAMS)
    world.act("b", 0)
    world.status("b", 0)
    world.collect()
    world.end("b", 1)
    assert [type(result) for result in world.results] == [Finished, Finished]


def test_repeated_messages_change_nothing():
    world = World()
    for step in range(3):
        world.step("a", step)
        world.status("a", step)
        world.sample(*STREAMS)
        world.act("a", step)
        world.collect()
    world.end("a", 3)
    world.end("a", 3)
    world.act("a", 2)
    (finished,) = world.results
    assert [row.step for row in finished.rows] == [0, 1, 2]
    assert world.assembler.late == 1  # the one after the end


def test_the_end_may_come_before_the_last_messages():
    world = World()
    world.step("a", 0)
    world.tick += 1
    world.status("a", 1)
    world.end("a", 2)
    world.tick -= 1
    world.act("a", 1)
    world.sample(*STREAMS)
    world.collect(0.1)
    assert len(world.results[0].rows) == 2


def test_a_jump_back_in_time_drops_what_is_in_flight_and_starts_over():
    world = World()
    world.tick = 100
    world.step("a", 0)
    world.step("a", 1)
    world.tick = 0
    world.run("a", 2)
    dropped, finished = world.results
    assert dropped.reason == "time jumped back by 3.3 s"
    assert [row.stamp_ns for row in finished.rows] == [33 * MS, 66 * MS]
    assert [row.samples["front"] is None for row in finished.rows] == [False, False]


WHOLE = {"block_steps": 10_000, "max_bytes": 1_000_000}
"""Nothing is handed on before its episode ends."""


def late(world, behind):
    """Take in statuses and samples at once, and the actions of `behind` steps before."""
    first = world.tick + 1
    for step in range(120):
        world.tick = first + step
        world.status("b", step)
        world.sample(*STREAMS)
        if step >= behind:
            world.tick -= behind
            world.act("b", step - behind)
        world.collect(0.033)
    for step in range(120 - behind, 120):
        world.tick = first + step
        world.act("b", step)
    world.end("b", 120)


@pytest.mark.parametrize("behind", [1, 45, 90])
def test_actions_may_come_seconds_after_what_they_answer(behind):
    world = World(**WHOLE)
    late(world, behind)
    (finished,) = world.results
    assert len(finished.rows) == 120
    assert all(row.samples["front"] is not None for row in finished.rows)
    assert world.assembler.refused == 0


def announced_once(world, behind, steps=60):
    """An episode that is announced once, as of an own arm; a slow policy names its samples."""
    world.tick = 1
    world.status("b", 0)
    for tick in range(1, steps + behind + 1):
        world.tick = tick
        world.sample(*STREAMS)
        if tick > behind and (tick - behind) % 3 == 1:  # replans at every third
            answered = tick - behind
            stamp_ns = answered * PERIOD_MS * MS
            world.assembler.action(
                "b",
                answered // 3,
                stamp_ns,
                np.float32([answered]),
                "policy",
                world.now_s,
                {"front": [stamp_ns], "state": [stamp_ns]},
            )
        world.collect(0.033)
    world.end("b", steps // 3)


@pytest.mark.parametrize("behind", [1, 10, 45, 300])
def test_a_slow_policys_samples_are_held_though_nothing_was_announced_meanwhile(behind):
    world = World(**WHOLE)
    announced_once(world, behind)
    (finished,) = world.results
    assert len(finished.rows) == 20
    assert [row.samples["state"] for row in finished.rows] == [
        f"state@{tick}" for tick in range(1, 60, 3)
    ]
    assert all(row.samples["front"] is not None for row in finished.rows)


def test_who_waits_for_a_first_action_holds_no_more_than_half_of_the_room():
    world = World(max_bytes=10_000)
    world.status("b", 0)
    for _ in range(1000):
        world.tick += 1
        world.sample(*STREAMS)
        world.collect(0.033)
        assert world.assembler.held_bytes <= 5_000
    assert world.results == []  # nothing was dropped for it
    assert world.assembler.held_bytes > 1_000


def test_samples_that_cost_nothing_are_held_for_a_minute_at_most():
    world = World(**WHOLE)
    world.status("b", 0)
    for _ in range(4000):
        world.tick += 1
        world.sample("state")
        world.collect(0.033)
    held = world.assembler.streams["state"]._stamps
    assert 60.0 < (held[-1] - held[0]) / 1e9 < 61.0


def test_an_announced_episode_without_a_message_is_said_to_be_dropped():
    world = World()
    world.tick = 100
    world.status("b", 0)
    world.collect(0.1)
    world.end("b", 0)
    world.collect(1.0)
    (dropped,) = world.results
    assert isinstance(dropped, Dropped)
    assert (dropped.episode_id, dropped.messages) == ("b", 0)
    assert "the policy never acted" in dropped.reason


@pytest.mark.parametrize("ahead", [3000, 100])
def test_a_clock_that_jumps_back_under_late_actions_jumps_once(ahead):
    world = World(**WHOLE)
    world.tick = ahead
    world.step("a", 0)
    world.step("a", 1)
    world.status("a", 2)
    world.tick = 0
    late(world, behind=45)
    dropped, finished = world.results
    assert dropped.reason.startswith("time jumped back by")
    assert len(finished.rows) == 120
    assert world.assembler.refused == 0


def test_whatever_tells_first_of_a_jump_back_the_first_step_is_kept():
    for order in permutations(("status", "sample", "act")):
        world = World()
        world.tick = 400
        world.run("a", 2)
        world.tick = 0
        for step in range(4):
            world.tick += 1
            for what in order:
                if what == "status":
                    world.status("b", step)
                elif what == "sample":
                    world.sample(*STREAMS)
                else:
                    world.act("b", step)
            world.collect(0.01)
        world.end("b", 4)
        first, second = world.results
        assert (first.episode_id, second.episode_id, len(second.rows)) == ("a", "b", 4), order
        assert [row.samples["state"] for row in second.rows] == [f"state@{n}" for n in range(1, 5)]
        assert world.assembler.refused == 0


def test_an_action_of_the_time_before_a_jump_ends_nothing():
    world = World()
    world.tick = 1000
    world.step("a", 0)
    world.status("a", 1)
    world.tick = 0
    world.step("b", 0)
    world.step("b", 1)
    world.tick, tick = 1000, world.tick
    world.act("a", 1)
    world.tick = tick
    world.step("b", 2)
    world.end("b", 3)
    dropped, finished = world.results
    assert dropped.episode_id == "a"
    assert len(finished.rows) == 3
    assert world.assembler.late == 1


def test_an_episode_that_is_announced_once_ends_minutes_later():
    world = World(**WHOLE)
    world.tick += 1
    world.status("a", 0)
    for step in range(120_000 // PERIOD_MS):
        world.tick += 1
        world.sample(*STREAMS)
        world.act("a", step)
        world.collect(0.033)
    world.end("a", step + 1)
    (finished,) = world.results
    assert world.assembler.refused == 0
    assert finished.steps == step + 1


def test_one_wrong_stamp_is_no_jump():
    for wrong_ms in (0, 10_000_000_000):
        world = World()
        world.tick = 100
        world.step("a", 0)
        for name in STREAMS:
            world.assembler.sample(name, wrong_ms * MS, "wrong")
        world.assembler.step("a", 7, wrong_ms * MS, world.now_s)
        world.step("a", 1)
        world.end("a", 2)
        (finished,) = world.results
        assert [row.samples["state"] for row in finished.rows] == ["state@101", "state@102"]
        assert world.assembler.refused == len(STREAMS) + 1


def test_a_world_that_starts_anew_within_a_second_is_another_episode():
    world = World()
    world.step("a", 0)
    world.step("a", 1)
    world.tick = 4
    world.run("a", 2)
    dropped, finished = world.results
    assert dropped.reason == "it began again"
    assert [row.samples["state"] for row in finished.rows] == ["state@5", "state@6"]


def test_time_that_jumps_ahead_ends_what_has_begun():
    world = World()
    world.step("a", 0)
    world.tick += 120_000 // PERIOD_MS
    world.step("a", 1)
    world.step("a", 2)
    (dropped,) = world.results
    assert dropped.reason == "time jumped ahead by 120.0 s"


def test_a_pause_before_the_first_action_is_no_jump():
    world = World()
    world.status("a", 0)
    world.tick += 120_000 // PERIOD_MS
    for step in range(3):  # a robot's episode is announced once
        world.tick += 1
        world.sample(*STREAMS)
        world.act("a", step)
        world.collect()
    world.end("a", 3)
    (finished,) = world.results
    assert [row.samples["front"] is None for row in finished.rows] == [False] * 3


def test_a_pause_between_episodes_is_no_jump():
    world = World()
    world.run("a", 2)
    world.tick += 120_000 // PERIOD_MS
    world.run("b", 3)
    assert [len(result.rows) for result in world.results] == [2, 3]
    rows = world.results[1].rows
    assert [row.age_ms["prediction"] for row in rows] == [0.0, 0.0, 0.0]


def test_a_stream_whose_clock_jumps_back_ends_the_episode():
    world = World()
    world.tick = 1000
    world.step("a", 0)
    world.assembler.sample("front", 5 * MS, "old")
    world.assembler.sample("front", 38 * MS, "old")
    world.collect()
    (dropped,) = world.results
    assert dropped.reason == "time jumped back by 33.0 s on 'front'"


def test_samples_in_disorder_are_put_in_order():
    world = World(max_missing_share=1.0)
    world.tick += 1
    world.status("a", 0)
    stamp = world.stamp_ns
    for before_ms in (0, 3, 1, 2):
        world.assembler.sample("state", stamp + 1 * MS - before_ms * MS, f"-{before_ms}")
    world.sample("front", "prediction")
    world.act("a", 0)
    world.end("a", 1)
    world.collect(1.0)
    assert world.results[0].rows[0].samples["state"] == "-1"


def test_a_step_takes_the_samples_that_its_policy_used():
    """Cameras a millisecond apart: those after the reference too, and no other ones."""
    world = World()
    for step in range(3):
        world.tick += 1
        stamp, now_s = world.stamp_ns, world.now_s
        world.assembler.step("a", step, stamp, now_s)
        world.assembler.sample("front", stamp + MS, f"front {step}", 1)
        world.assembler.sample("state", stamp - 2 * MS, f"state {step}")
        world.assembler.sample("state", stamp - 1 * MS, f"other {step}")
        world.sample("prediction")
        inputs = {"front": [stamp + MS], "state": [stamp - 2 * MS]}
        action = np.zeros(1, np.float32)
        world.assembler.action("a", step, stamp, action, "policy", now_s, inputs)
        world.collect()
    world.end("a", 3)
    (finished,) = world.results
    assert [row.samples["front"] for row in finished.rows] == ["front 0", "front 1", "front 2"]
    assert [row.samples["state"] for row in finished.rows] == ["state 0", "state 1", "state 2"]
    assert {row.age_ms["front"] for row in finished.rows} == {-1.0}
    assert {row.age_ms["state"] for row in finished.rows} == {2.0}


def test_what_the_policy_used_and_never_came_is_a_gap():
    world = World(max_missing_share=1.0)
    world.tick += 1
    world.status("a", 0)
    world.sample(*STREAMS)
    inputs = {"front": [world.stamp_ns + MS]}
    action = np.zeros(1, np.float32)
    world.assembler.action("a", 0, world.stamp_ns, action, "policy", world.now_s, inputs)
    world.end("a", 1)
    world.collect(1.0)
    assert world.results[0].rows[0].samples["front"] is None


def test_the_same_episode_may_run_again_later():
    world = World()
    world.run("a", 2)
    world.run("a", 2)
    assert [len(result.rows) for result in world.results] == [2, 2]


def test_what_does_not_fit_in_memory_is_dropped_and_the_next_one_is_not():
    world = World(max_bytes=550)
    world.run("a", 8)
    assert "do not fit the parameter buffer_mb" in world.results[0].reason
    world.run("b", 3)
    assert isinstance(world.results[-1], Finished)


def test_images_without_an_episode_do_not_pile_up():
    world = World(max_bytes=1000)  # of 100 each: as many as 50 ms of age and 100 of patience
    for _ in range(50):
        world.tick += 1
        world.sample("front")
        world.collect()
    assert world.assembler.held_bytes <= 600


def test_finish_keeps_what_has_ended_and_drops_the_rest():
    world = World()
    world.step("a", 0, ("front", "state"))
    world.end("a", 1)
    world.tick += 1
    world.status("b", 0)
    world.act("b", 0)
    results = world.assembler.finish()
    assert [type(result) for result in results] == [Finished, Dropped]
    assert results[1].reason == "it was still running when the recording stopped"


def test_abandon_drops_only_what_has_not_ended():
    world = World()
    world.step("a", 0)
    (dropped,) = world.assembler.abandon("stopped")
    assert dropped.messages == 4
    assert world.assembler.abandon("stopped") == []


def test_a_robot_that_does_not_count_its_steps():
    world = World()
    world.tick = 1
    world.status("a", 0)
    for step in range(3):
        world.tick += 1
        world.sample(*STREAMS)
        world.act("a", step)
        world.collect()
    world.end("a", 0)
    (finished,) = world.results
    assert [row.step for row in finished.rows] == [0, 1, 2]
    assert finished.rows[0].stamp_ns == 66 * MS
