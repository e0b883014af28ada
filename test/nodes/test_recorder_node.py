import math
import shutil
from collections import namedtuple

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fake_robot import CAMERAS, PERIOD_NS, SIZE, Robot
from std_msgs.msg import Bool

from salus_msgs.msg import RecorderStatus
from salus_msgs.srv import StartEpisode
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader, StoreSpec
from salus_ros.nodes.parameters import PANDA_JOINTS


@pytest.fixture
def robot(graph, tmp_path):
    return Robot(graph, tmp_path / "runs" / "a.zarr")


@pytest.mark.parametrize("fault", ["", "none"])
def test_without_a_fault_it_has_no_step_and_no_strength(robot, fault):
    robot.step("ep", 0)
    robot.end("ep", 1, fault=fault)  # the fields that go with it are 0, as in a new message
    robot.committed(1)
    meta = StoreReader(robot.path).meta(0)
    assert (meta.fault, meta.fault_step) == ("none", -1)
    assert math.isnan(meta.fault_strength)


def test_an_episode_is_recorded_as_it_was(robot):
    robot.run("ep", 4)
    status = robot.committed(1)
    assert (status.steps_recorded, status.steps_with_gaps, status.messages_dropped) == (4, 0, 0)
    assert (status.last_error, status.store_path) == ("", str(robot.path))
    assert status.disk_free_bytes > 0
    reader = StoreReader(robot.path)
    episode = reader.episode(0)
    meta = episode.meta
    assert (meta.id, meta.task, meta.outcome) == ("ep", "lift", Outcome.SUCCESS)
    assert (meta.seed, meta.fault, meta.rate_hz) == (3, "slip", 30.0)
    assert (meta.condition, meta.world, meta.fault_step) == ("shifted", "a/B-v1", 9)
    assert meta.fault_strength == np.float32(0.1)
    assert (meta.policy_id, meta.model_id) == ("tiny", "m1")
    assert 0 < meta.wall_time_s < 60
    np.testing.assert_array_equal(episode.stamp_ns, np.arange(1, 5) * PERIOD_NS)
    np.testing.assert_allclose(episode.action[:, 0], [0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(episode.state[2], np.arange(7) / 10 + 2, rtol=1e-6)
    for i, camera in enumerate(CAMERAS):
        frames = episode.images[camera]
        assert frames.shape == (4, *SIZE, 3)
        np.testing.assert_array_equal(frames[:, 0, 0, 0], 10 * i + np.arange(4))
    np.testing.assert_array_equal(episode.signals[1, :11], np.arange(11) + 1)
    assert np.isnan(episode.signals[:, 11]).all()
    assert not episode.signals_valid[:, 11].any()
    np.testing.assert_array_equal(episode.signals_fresh, [True, False, False, True])
    np.testing.assert_array_equal(episode.embedding[:, 0], np.arange(4))
    np.testing.assert_allclose(episode.probability[3], np.full((4, 4), 0.03))
    np.testing.assert_allclose(episode.risk, [0, 0.02, 0.04, 0.06])
    np.testing.assert_array_equal(episode.alarm, [0, 0, 0, 1])
    assert StoreReader(robot.path).spec.episode_outputs == ("episode_failure", "no_progress")
    np.testing.assert_array_equal(episode.episode_outputs[:, 0], [0.5] * 4)
    np.testing.assert_array_equal(episode.episode_outputs[:, 1], [np.nan, 0.25, np.nan, 0.25])
    assert reader.spec.streams == (*CAMERAS, "state", "action", "signals", "prediction")
    np.testing.assert_array_equal(episode.age_ms, np.zeros((4, 7)))


def test_what_acted_in_the_policys_place_is_recorded_with_its_steps(graph, robot):
    takeover = graph.talk(Bool, "intervention", status=True)
    acts = ["", "scripted@alarm timeout", "scripted@alarm timeout", "held@alarm timeout", ""]
    for step, name in enumerate(acts):
        robot.step("a", step, acts=name)
    robot.end("a", len(acts))
    robot.committed(1)
    takeover.publish(Bool(data=True))
    graph.until(lambda: robot.node._taken_over)
    robot.run("b", 3)
    robot.committed(2)
    takeover.publish(Bool(data=False))
    graph.until(lambda: not robot.node._taken_over)
    robot.step("c", 0, acts="no name")
    graph.until(lambda: robot.node._problem.count)
    assert "MECHANISM@TRIGGER" in robot.node._problem.text
    reader = StoreReader(robot.path)
    assert [meta.interventions for meta in reader.episodes()] == [
        "1-2 scripted@alarm timeout; 3-3 held@alarm timeout",
        "0-2 person@takeover",
    ]
    np.testing.assert_array_equal(reader.intervention(0), [0, 1, 1, 2, 0])
    assert reader.meta(0).policy_id == "tiny"


def test_episodes_follow_each_other_and_a_store_is_continued(graph, robot):
    robot.run("a")
    robot.run("b")
    robot.committed(2)
    robot.close()
    again = Robot(graph, robot.path)
    again.run("c", 3)
    again.committed(1)
    assert [m.id for m in StoreReader(robot.path).episodes()] == ["a", "b", "c"]


def test_a_failure_is_recorded_with_its_moment(robot):
    for step in range(4):
        robot.step("a", step)
    robot.end("a", 4, Outcome.FAILURE, FailureType.DROP, 3)
    robot.committed(1)
    meta = StoreReader(robot.path).meta(0)
    assert (meta.outcome, meta.failure_type, meta.failure_step) == (2, 1, 3)


def test_repeated_messages_do_not_repeat_rows(robot):
    for step in range(3):
        robot.step("a", step)
        robot.tick -= 1
        robot.step("a", step)  # a world that was not answered at once, a policy that restarted
    robot.end("a", 3)
    status = robot.committed(1)
    assert (status.steps_recorded, status.messages_dropped) == (3, 0)


def test_a_predictor_that_is_not_there_is_a_gap_not_a_zero(robot):
    robot.run("a", 3, skip=("prediction",))
    status = robot.committed(1)
    assert status.steps_with_gaps == 3
    episode = StoreReader(robot.path).episode(0)
    assert np.isnan(episode.probability).all()
    assert np.isnan(episode.risk).all()
    assert np.isnan(episode.alarm).all()
    assert np.isnan(episode.episode_outputs).all()
    assert np.isnan(episode.age_ms[:, 6]).all()
    assert episode.meta.model_id == ""


def test_what_is_predicted_after_episodes_without_a_predictor_is_recorded_whole(robot):
    robot.run("a", 3, skip=("prediction",))
    robot.run("b", 3)
    robot.committed(2)
    episode = StoreReader(robot.path).episode(1)
    np.testing.assert_allclose(episode.risk, [0, 0.02, 0.04], rtol=1e-6)
    np.testing.assert_array_equal(episode.episode_outputs[:, 0], [0.5] * 3)
    np.testing.assert_array_equal(episode.episode_outputs[:, 1], [np.nan, 0.25, np.nan])


def test_an_older_store_without_columns_for_a_prediction_refuses_it_and_takes_what_has_none(
    graph, robot
):
    robot.run("a", 3, skip=("prediction",))
    robot.committed(1)
    robot.close()
    older = robot.path.with_name("older.zarr")
    made = StoreReader(robot.path)
    EpisodeStore.create(older, made.spec.without(("episode_outputs",))).close()
    robot = Robot(graph, older)
    robot.run("b", 3)
    robot.dropped("created without episode_outputs")
    robot.run("c", 3, skip=("prediction",))
    robot.committed(1)
    assert [meta.id for meta in StoreReader(older).episodes()] == ["c"]
    assert StoreReader(older).episode(0).episode_outputs is None


def test_a_step_that_missed_its_signals_is_marked(robot):
    robot.step("a", 0)
    robot.step("a", 1, skip=("signals",))
    robot.step("a", 2)
    robot.end("a", 3)
    robot.committed(1)
    episode = StoreReader(robot.path).episode(0)
    np.testing.assert_allclose(episode.age_ms[:, 5], [0, 33.333, 0], atol=0.01)
    np.testing.assert_array_equal(episode.signals[1, :11], episode.signals[0, :11])
    assert not episode.signals_fresh[1]  # held, not computed at this step


def test_an_image_that_is_a_little_old_is_taken_with_its_age(robot):
    robot.step("a", 0)
    robot.step("a", 1)
    robot.step("a", 2, skip=("wrist",))
    robot.end("a", 3)
    robot.committed(1)  # 33 ms old, which max_age_ms allows
    age_ms = StoreReader(robot.path).episode(0).age_ms
    np.testing.assert_allclose(age_ms[:, 2], [0, 0, 33.333], atol=0.01)


@pytest.mark.parametrize("missing", ["wrist", "state", "action"])
def test_an_episode_that_lacks_something_throughout_is_dropped(robot, missing):
    robot.run("a", 3, skip=(missing,))
    robot.dropped("the policy never acted" if missing == "action" else "3 of its 3 steps lack")
    assert not robot.path.exists()


def test_lost_steps_are_never_recorded_as_good(robot):
    for step in (0, 1, 3):
        robot.step("a", step)
    robot.end("a", 4)
    robot.dropped("1 of its 4 steps were never seen")
    robot.run("b")
    assert robot.committed(1).steps_recorded == 4


def test_missing_steps_may_be_allowed_and_are_marked(graph, tmp_path):
    robot = Robot(graph, tmp_path / "a.zarr", max_missing_share=0.5)
    robot.step("a", 0)
    robot.step("a", 1, skip=("action", "signals", "prediction"))
    robot.step("a", 2)
    robot.end("a", 3)
    assert robot.committed(1).steps_with_gaps == 1
    episode = StoreReader(robot.path).episode(0)
    assert np.isnan(episode.action[1]).all()
    assert np.isnan(episode.age_ms[1, 4])
    np.testing.assert_array_equal(episode.images["front"][:, 0, 0, 0], [0, 1, 2])


def test_an_episode_that_never_ended_is_dropped(robot):
    robot.step("a", 0)
    robot.run("b", 3)
    robot.committed(1)
    assert "episode 'a' was dropped: it never ended" in robot.heard[-1].last_error
    assert [m.id for m in StoreReader(robot.path).episodes()] == ["b"]


def test_a_recorder_that_ends_writes_what_has_ended_and_nothing_else(graph, tmp_path):
    robot = Robot(graph, tmp_path / "a.zarr", settle_s=30.0)
    robot.run("a", 3, skip=("prediction",))  # waits for predictions
    robot.step("b", 0, skip=("prediction",))
    assembler = robot.node._recorder._assembler
    robot.graph.until(lambda: assembler.steps("b") == 1 and assembler.steps("a") == 3)
    robot.graph.until(lambda: assembler._episodes["a"].ended is not None)
    robot.close()
    assert [m.id for m in StoreReader(robot.path).episodes()] == ["a"]


@pytest.mark.parametrize(
    ("observed", "said"),
    [
        ({"encoding": "16UC1"}, "camera 'front' sends '16UC1', of more than 8 bits a pixel"),
        ({"encoding": "rgba8"}, "needed are a step of at least 128"),
    ],
)
def test_an_image_of_another_form_is_not_recorded(robot, observed, said):
    robot.run("a", 3, **observed)
    status = robot.dropped(said)
    assert status.state == RecorderStatus.STATE_ERROR
    robot.run("b", 3)
    assert robot.committed(1).state != RecorderStatus.STATE_ERROR
    assert [m.id for m in StoreReader(robot.path).episodes()] == ["b"]


def test_images_of_another_size_than_the_stores_are_not_recorded(robot):
    robot.run("a")
    robot.committed(1)
    robot.run("b", size=(12, 16))
    robot.failed("the image is 16x12, the store takes 32x24")
    assert len(StoreReader(robot.path)) == 1


def test_joints_that_are_nan_are_a_gap_and_reported(graph, robot):
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    robot.run("a", 3, joint=math.nan)
    robot.dropped("3 of its 3 steps lack")
    name = f"{graph.namespace[1:]}/recorder"
    graph.until(
        lambda: any(
            s.level == DiagnosticStatus.ERROR and "panda_joint4 = nan" in s.message
            for array in diagnostics
            for s in array.status
            if s.name == name
        )
    )


def test_a_store_that_is_none_is_an_error_and_can_be_mended(graph, tmp_path):
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "notes.txt").write_text("mine")
    robot = Robot(graph, path)
    assert robot.failed("a.zarr").state == RecorderStatus.STATE_ERROR
    robot.run("a")
    response = graph.call(StartEpisode, "recorder/start", StartEpisode.Request())
    assert not response.success
    assert "a.zarr" in response.message
    assert (path / "notes.txt").read_text() == "mine"
    shutil.rmtree(path)
    assert graph.call(StartEpisode, "recorder/start", StartEpisode.Request()).success
    robot.run("b")
    robot.committed(1)
    assert [m.id for m in StoreReader(path).episodes()] == ["b"]


def test_a_store_of_other_cameras_is_an_error(graph, tmp_path):
    spec = StoreSpec(cameras=("top",), image_size=(8, 6), state_dim=7, action_dim=7)
    EpisodeStore.create(tmp_path / "a.zarr", spec).close()
    robot = Robot(graph, tmp_path / "a.zarr")
    status = robot.failed("holds the cameras ['top']")
    assert status.state == RecorderStatus.STATE_ERROR


def test_a_store_that_another_one_writes_is_an_error(graph, robot, tmp_path):
    robot.run("a")
    robot.committed(1)
    second = Robot(graph, robot.path)
    second.failed("is being written by")


def test_a_folder_that_cannot_be_made_is_an_error(graph, tmp_path):
    (tmp_path / "file").write_text("")
    robot = Robot(graph, tmp_path / "file" / "a.zarr")
    assert robot.failed("set store_path").state == RecorderStatus.STATE_ERROR


def test_a_full_disk_is_an_error_until_there_is_room(graph, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    robot = Robot(graph, tmp_path / "a.zarr", min_free_mb=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 5_000_000))
    robot.run("a")
    status = robot.dropped("5 MB are free")
    assert status.state == RecorderStatus.STATE_ERROR
    assert status.disk_free_bytes == 5_000_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 10**9))
    robot.run("b")
    assert robot.committed(1).state != RecorderStatus.STATE_ERROR


def plans(step, length=4, width=7, samples=2):
    """Fields of VlaSignals that the robot of these tests has beside its signals."""
    every = np.full((samples, length, width), step / 10, np.float32)
    return {
        "plan": every[0].ravel(), "plan_samples": every.ravel(), "plan_length": length,
        "plan_step": step % 3, "num_samples": samples,
        "visual_cameras": ["a", "b"], "visual_embedding": np.full(6, step, np.float32),
        "expert_embedding": np.full(5, step, np.float32),
        "further_names": ["hesitation", "regret"],
        "further": np.float32([step, np.nan]),
    }  # fmt: skip


def test_plans_and_what_the_policy_sees_are_recorded(robot):
    for step in range(4):
        robot.step("a", step, said=plans(step))
    robot.end("a", 4)
    robot.committed(1)
    reader = StoreReader(robot.path)
    episode = reader.episode(0)
    assert episode.plan.shape == (4, 4, 7)
    assert episode.plan_samples.shape == (4, 2, 4, 7)
    np.testing.assert_allclose(episode.plan[:, 0], episode.action, rtol=2**-11)
    np.testing.assert_array_equal(episode.plan_step, [0, 1, 2, 0])
    np.testing.assert_array_equal(episode.visual_embedding[:, 1, 2], np.arange(4))
    np.testing.assert_array_equal(episode.expert_embedding[:, 4], np.arange(4))
    assert reader.spec.visual_cameras == ("a", "b")
    assert reader.spec.further_signals == ("hesitation", "regret")
    np.testing.assert_array_equal(episode.further_signals[:, 0], np.arange(4))
    assert np.isnan(episode.further_signals[:, 1]).all()


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        (plans(1, width=6), "plan"),
        (plans(1, length=3), "plan"),
        (plans(1, samples=3), "plan"),
        ({"plan": np.full(28, np.nan, np.float32)}, "plan"),
        ({"plan": np.full(28, 1e6, np.float32)}, "plan"),
        ({"plan": np.zeros(27, np.float32)}, "plan"),
        ({"plan_length": 0}, "plan"),
        ({"plan_step": 4}, "plan"),
        ({"visual_cameras": ["a"]}, "visual_embedding"),
        ({"visual_embedding": np.zeros(7, np.float32)}, "visual_embedding"),
        ({"expert_embedding": np.full(5, np.inf, np.float32)}, "expert_embedding"),
        ({"episode_id": "another"}, "signals"),
    ],
)
def test_a_wrong_plan_is_refused_counted_and_a_gap(robot, change, lost):
    for step in range(4):
        robot.step("a", step, said=plans(step) | (change if step == 1 else {}))
    robot.end("a", 4)
    robot.committed(1)
    assert [name.split(": ")[0] for name in robot.node._recorder.refused] == [lost]
    assert sum(robot.node._recorder.refused.values()) == 1
    episode = StoreReader(robot.path).episode(0)
    columns = ("plan", "visual_embedding", "expert_embedding")
    there = {
        name: np.isfinite(getattr(episode, name)).reshape(4, -1).all(axis=1) for name in columns
    }
    for name, steps in there.items():
        assert steps.tolist() == [True, lost not in (name, "signals"), True, True], name
    assert episode.signals_valid[:, 0].tolist() == [True, lost != "signals", True, True]


def test_an_older_store_takes_signals_without_their_plan(graph, robot):
    robot.run("a", 3)
    robot.committed(1)
    robot.close()
    again = Robot(graph, robot.path)
    for step in range(3):
        again.step("b", step, said=plans(step))
    again.end("b", 3)
    status = again.committed(1)
    assert (status.messages_dropped, status.last_error) == (0, "")
    episode = StoreReader(robot.path).episode(1)
    assert episode.plan is None
    assert episode.signals_valid[:, 0].all()


def test_fingers_velocities_and_efforts_are_recorded_beside_the_state(graph, tmp_path):
    robot = Robot(graph, tmp_path / "a.zarr", extra_joints=("finger2", "finger1", "nowhere"))
    velocity = np.arange(9) / 100
    effort = np.where(np.arange(9) < 7, np.arange(9.0), np.nan)  # no sensor in the fingers
    for step in range(3):
        sent = {"velocity": velocity + step} | ({"effort": effort} if step != 1 else {})
        robot.step("a", step, sent=sent)
    robot.end("a", 3)
    status = robot.committed(1)
    assert (status.messages_dropped, status.steps_with_gaps) == (0, 0)
    reader = StoreReader(robot.path)
    episode = reader.episode(0)
    assert reader.spec.joint_names == (*PANDA_JOINTS, "finger2", "finger1")
    order = [*range(7), 8, 7]
    np.testing.assert_array_equal(episode.joint_position[:, :7], episode.state)
    np.testing.assert_allclose(
        episode.joint_position[1], (np.arange(9) / 10 + 1)[order], rtol=1e-6
    )
    np.testing.assert_allclose(episode.joint_velocity[2], (velocity + 2)[order], rtol=1e-6)
    np.testing.assert_array_equal(episode.joint_effort[0], effort[order].astype(np.float32))
    np.testing.assert_array_equal(episode.joint_effort[1], episode.joint_effort[0])  # the newest


def test_an_effort_of_another_length_is_refused_and_the_state_is_taken(robot):
    for step in range(3):
        robot.step("a", step, sent={"effort": np.zeros(2)} if step == 1 else {})
    robot.end("a", 3)
    status = robot.committed(1)
    assert status.messages_dropped == 1
    episode = StoreReader(robot.path).episode(0)
    np.testing.assert_allclose(episode.state[1], np.arange(7) / 10 + 1, rtol=1e-6)
    assert episode.joint_effort is None
