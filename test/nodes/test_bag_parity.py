"""A bag of the graph, converted, holds what the recorder node has recorded beside it."""

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import rclpy
from checkpoints import save_checkpoint
from conftest import Graph
from fast_world import CAMERAS, LENGTH
from processes import DEADLINE_S, HERE, NodeProcess
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import Image, JointState

from salus_msgs.msg import EpisodeStatus, FailureHorizons, PolicyAction, VlaSignals
from salus_ros.bags.convert import Converter
from salus_ros.bags.mapping import Mapping
from salus_ros.bags.policy import PolicyOptions
from salus_ros.bags.proposal import propose
from salus_ros.bags.reading import Bag
from salus_ros.bags.scan import scan
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import StoreReader
from salus_ros.messages.kinds import STATE_JOINTS
from salus_ros.messages.stamps import header_stamp_ns
from salus_ros.nodes.parameters import PANDA_JOINTS
from salus_ros.nodes.qos import status_qos, stream_qos

TOPICS = {
    **{f"camera/{camera}/image_raw": Image for camera in CAMERAS},
    "joint_states": JointState,
    "episode": EpisodeStatus,
    "action": PolicyAction,
    "signals": VlaSignals,
    "failure_horizons": FailureHorizons,
}
EPISODES = 2
ARRAYS = ("action", "state", "stamp_ns", "signals", "signals_valid", "signals_fresh", "embedding")
ARRAYS += ("age_ms", "probability", "risk", "alarm", "plan", "plan_step", "visual_embedding")
ARRAYS += ("expert_embedding", "joint_position", "joint_velocity", "joint_effort")


def type_name(kind):
    package, _, _ = kind.__module__.split(".", 2)
    return f"{package}/msg/{kind.__name__}"


def write(heard, path, storage):
    """Write serialised messages as `ros2 bag record` does."""
    types = get_typestore(Stores.ROS2_JAZZY)
    for file in (HERE.parents[1] / "salus_msgs" / "msg").glob("*.msg"):
        types.register(get_types_from_msg(file.read_text(), f"salus_msgs/msg/{file.stem}"))
    with Writer(path, version=9, storage_plugin=storage) as writer:
        connections = {
            topic: writer.add_connection(f"/robot/{topic}", type_name(kind), typestore=types)
            for topic, kind in TOPICS.items()
        }
        for topic, receive_ns, data in heard:
            writer.write(connections[topic], receive_ns, data)
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, tiny_policy):
    """Store of the recorder node, and bags of the same run."""
    folder = tmp_path_factory.mktemp("bag_parity")
    store, sim_time = folder / "live.zarr", {"use_sim_time": True}
    rclpy.init()
    probe = Graph()
    heard = []
    for topic, kind in TOPICS.items():
        qos = status_qos() if topic == "episode" else stream_qos()
        probe.probe.create_subscription(
            kind, topic, partial(lambda t, d: heard.append((t, time.time_ns(), d)), topic), qos,
            raw=True,
        )  # fmt: skip
    with ExitStack() as stack:

        def start(name, **parameters):
            return stack.enter_context(NodeProcess(name, probe.namespace, **parameters))

        recorder = start(
            "recorder", store_path=store, max_age_ms=0.0, min_free_mb=0, settle_s=10.0,
            reliable_sensors=True, **sim_time,
        )  # fmt: skip
        model = save_checkpoint(folder / "model")
        start("predictor", model_path=model, device="cpu", wait_for="recorder,probe", **sim_time)
        start(
            "vla", policy_path=tiny_policy, device="cpu", num_samples=2, replan_every=3, threads=1,
            wait_for="predictor,recorder,probe", reliable_sensors=True, **sim_time,
        )  # fmt: skip
        simulator = start(
            "simulator",
            env_id="fast_world:salus_test/Fast-v0",
            episodes=EPISODES,
            fault="force",
            condition="shifted",
            wait_for="vla,predictor,recorder,probe",
            exit_when_done=True,
        )
        probe.until(simulator.ended, "the end", DEADLINE_S)
        said = {header_stamp_ns(data) for topic, _, data in heard if topic == "failure_horizons"}
        assert len(said) == EPISODES * LENGTH
        recorder.stop()
    probe.close()
    rclpy.try_shutdown()
    bags = {
        storage: write(heard, folder / storage, StoragePlugin[storage])
        for storage in ("MCAP", "SQLITE3")
    }
    return {"live": StoreReader(store), "bags": bags, "policy": tiny_policy, "heard": heard}


def mapping_of(bag):
    with Bag(bag) as opened:
        return Mapping.from_dict(propose(scan(opened)))


def converted(bag, mapping, out, policy=None):
    with Converter(mapping, out, policy) as converter, Bag(bag) as opened:
        report = converter.convert(opened)
    assert report["problems"] == []
    return StoreReader(out)


def assert_same(offline, live):
    """Arrays of two episodes, and what is known about them but their names."""
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(offline, name), getattr(live, name), err_msg=name)
    for camera in CAMERAS:
        np.testing.assert_array_equal(offline.images[camera], live.images[camera])
    same = {"id": "", "source": "", "wall_time_s": 0.0}
    assert repr(replace(offline.meta, **same)) == repr(replace(live.meta, **same))


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_a_converted_bag_is_the_live_recording(recorded, tmp_path, storage):
    bag, live = recorded["bags"][storage], recorded["live"]
    reader = converted(bag, mapping_of(bag), tmp_path / "out.zarr")
    assert len(reader) == len(live) == EPISODES
    assert live.spec.differences(reader.spec) == []
    for index in range(EPISODES):
        assert_same(reader.episode(index), live.episode(index))
    # What is compared is there: not NaN beside NaN, and an outcome of each kind.
    first, second = (reader.episode(index) for index in range(EPISODES))
    assert np.isfinite(first.risk).all()
    assert np.isfinite(first.embedding).all()
    assert first.plan.shape[:1] == first.visual_embedding.shape[:1] == (LENGTH,)
    for name in ("plan", "visual_embedding", "expert_embedding", "joint_position"):
        assert np.isfinite(getattr(first, name)).all(), name
    steps = np.arange(LENGTH)[:, None]
    np.testing.assert_allclose(first.joint_velocity, np.arange(9) / 10 + steps, rtol=1e-6)
    assert first.joint_effort is None  # this world says none
    assert first.plan_step.tolist() == [step % 3 for step in range(LENGTH)]
    executed = first.plan[np.arange(LENGTH), first.plan_step.astype(int)]
    np.testing.assert_allclose(executed, first.action, rtol=2**-11, atol=2**-24)
    assert first.signals_fresh.tolist() == [step % 3 == 0 for step in range(LENGTH)]
    assert (first.meta.outcome, first.meta.fault) == (Outcome.SUCCESS, "force")
    assert (second.meta.failure_type, second.meta.failure_step) == (FailureType.DROP, LENGTH - 1)
    assert second.meta.wall_time_s == pytest.approx(live.meta(1).wall_time_s, abs=1.0)


def test_a_policy_run_over_a_bag_gives_the_signals_it_gave_live(recorded, tmp_path, capsys):
    bag, live = recorded["bags"]["MCAP"], recorded["live"]
    mapping = replace(mapping_of(bag), signals="", prediction="")
    options = PolicyOptions(recorded["policy"], num_samples=2, replan_every=3, threads=1)
    reader = converted(bag, mapping, tmp_path / "out.zarr", options)
    for index in range(EPISODES):
        offline, online = reader.episode(index), live.episode(index)
        for name in ("signals_valid", "signals_fresh", "stamp_ns", "action"):
            np.testing.assert_array_equal(getattr(offline, name), getattr(online, name))
        for name in ("signals", "embedding"):
            given, wanted = getattr(offline, name), getattr(online, name)
            np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-5, err_msg=name)
        for name in ("plan", "visual_embedding", "expert_embedding"):
            given, wanted = getattr(offline, name), getattr(online, name)
            np.testing.assert_allclose(given, wanted, rtol=2**-10, atol=1e-4, err_msg=name)
        np.testing.assert_array_equal(offline.plan_step, online.plan_step)
        assert np.isfinite(offline.signals).any(axis=0).sum() >= 11  # all but latent_ood
        assert offline.meta.policy_id == online.meta.policy_id != ""
        assert (offline.age_ms[:, reader.spec.streams.index("signals")] == 0).all()
    assert capsys.readouterr().out == ""  # which is for results


def test_a_policy_says_nothing_where_it_sees_nothing(recorded, tmp_path):
    heard = recorded["heard"]
    topic = "camera/wrist/image_raw"
    lost_ns = sorted({header_stamp_ns(data) for name, _, data in heard if name == topic})[3]
    left = [one for one in heard if one[0] != topic or header_stamp_ns(one[2]) != lost_ns]
    bag = write(left, tmp_path / "bag", StoragePlugin.MCAP)
    mapping = replace(mapping_of(bag), max_age_ms=0.0)
    options = PolicyOptions(recorded["policy"], num_samples=2, replan_every=3, threads=1)
    episode = converted(bag, mapping, tmp_path / "out.zarr", options).episode(0)
    said = np.array([True, True, True, False, True, True])
    np.testing.assert_array_equal(~np.isnan(episode.age_ms[:, 5]), said)
    np.testing.assert_array_equal(episode.signals_valid.any(axis=1), said)
    np.testing.assert_array_equal(np.flatnonzero(episode.signals_fresh), [0, 4])
    assert np.isfinite(episode.risk).all()  # as recorded


def test_the_proposed_joints_are_those_of_the_graph():
    assert tuple(PANDA_JOINTS) == STATE_JOINTS
