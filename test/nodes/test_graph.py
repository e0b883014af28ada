"""The whole graph as it is run: every node a process, real DDS, real policy and predictor.

Two graphs at once in two namespaces, the same episodes in both. In one of them the policy is
killed in the middle of an episode and started again.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from checkpoints import save_checkpoint
from conftest import Graph
from processes import DEADLINE_S, NodeProcess

from salus_msgs.msg import EpisodeStatus, FailureHorizons, PolicyAction
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import Episode, StoreReader

EPISODES = 2
LENGTH = 40
KILL_AT = 10
NAMES = ("calm", "disturbed")


class RunningGraph:
    """Four processes in a namespace."""

    def __init__(self, stack: ExitStack, namespace: str, store: Path, policy: Path, model: str):
        self.stack = stack
        self.namespace = namespace
        self.policy = policy
        sim_time = {"use_sim_time": True}
        self.recorder = self.start(
            "recorder",
            store_path=store,
            max_age_ms=0.0,
            min_free_mb=0,
            settle_s=10.0,
            reliable_sensors=True,
            **sim_time,
        )
        self.predictor = self.start(
            "predictor", model_path=model, device="cpu", wait_for="recorder", **sim_time
        )
        self.vla = self.start_vla()
        self.simulator = self.start(
            "simulator",
            env_id="fast_world:salus_test/Long-v0",
            episodes=EPISODES,
            wait_for="vla,predictor,recorder",
            exit_when_done=True,
        )

    def start(self, name: str, **parameters: Any) -> NodeProcess:
        return self.stack.enter_context(NodeProcess(name, self.namespace, **parameters))

    def start_vla(self) -> NodeProcess:
        return self.start(
            "vla",
            policy_path=self.policy,
            device="cpu",
            num_samples=2,
            replan_every=1,
            threads=1,
            wait_for="predictor,recorder",
            reliable_sensors=True,
            use_sim_time=True,
        )


def any_at(actions: list[PolicyAction], step: int) -> bool:
    """Whether an action of this step or a later one has come."""
    return any(action.step >= step for action in actions)


@pytest.fixture(scope="module")
def recorded(
    tmp_path_factory: pytest.TempPathFactory, tiny_policy: Path
) -> Iterator[dict[str, Any]]:
    """What both graphs recorded and said."""
    folder = tmp_path_factory.mktemp("graph")
    model = save_checkpoint(folder / "model")
    rclpy.init()
    probe = Graph()
    actions = probe.listen(PolicyAction, f"{probe.namespace}/disturbed/action")
    statuses = probe.listen(EpisodeStatus, f"{probe.namespace}/disturbed/episode", status=True)
    horizons = probe.listen(FailureHorizons, f"{probe.namespace}/calm/failure_horizons")
    with ExitStack() as stack:
        graphs = {
            name: RunningGraph(
                stack, f"{probe.namespace}/{name}", folder / f"{name}.zarr", tiny_policy, model
            )
            for name in NAMES
        }
        disturbed = graphs["disturbed"]
        due = partial(any_at, actions, KILL_AT)
        probe.until(due, "an action to kill at", DEADLINE_S)
        disturbed.vla.stop(signal.SIGKILL)
        killed_at = statuses[-1].step
        assert statuses[-1].phase == EpisodeStatus.PHASE_RUNNING
        disturbed.vla = disturbed.start_vla()
        codes: dict[str, list[int]] = {}
        for name, graph in graphs.items():
            ended = graph.simulator.ended
            probe.until(ended, "the end", DEADLINE_S)
            ends = [graph.simulator.wait()]
            for node in (graph.vla, graph.predictor, graph.recorder):
                ends.append(node.stop())
            codes[name] = ends
            assert "Traceback" not in "".join(
                node.said for node in (graph.simulator, graph.vla, graph.predictor, graph.recorder)
            )
    readers = {name: StoreReader(folder / f"{name}.zarr") for name in NAMES}
    yield {
        "readers": readers,
        "codes": codes,
        "horizons": horizons,
        "killed_at": killed_at,
        "recorder": {name: graph.recorder.said for name, graph in graphs.items()},
    }
    probe.close()
    rclpy.try_shutdown()


def episodes(recorded: dict[str, Any], name: str) -> list[Episode]:
    reader = recorded["readers"][name]
    return [reader.episode(index) for index in range(len(reader))]


def assert_whole(episode: Episode) -> None:
    np.testing.assert_array_equal(episode.age_ms, np.zeros((LENGTH, 7)))
    assert np.isfinite(episode.action).all()
    assert np.isfinite(episode.risk).all()
    assert episode.meta.model_id
    grey = episode.images["side"][:, 0, 0, 0]
    np.testing.assert_array_equal(grey, 10 + np.arange(LENGTH))


def test_all_episodes_are_recorded_whole(recorded):
    first, second = episodes(recorded, "calm")
    assert (first.meta.outcome, second.meta.outcome) == (Outcome.SUCCESS, Outcome.FAILURE)
    assert (second.meta.failure_type, second.meta.failure_step) == (FailureType.DROP, LENGTH - 1)
    assert "dropped 0" in recorded["recorder"]["calm"]
    assert_whole(first)
    assert_whole(second)


def test_a_killed_policy_costs_a_marked_gap_or_a_counted_episode(recorded):
    """It may die between its action and its signals; what was lost then is never made up."""
    *first, second = episodes(recorded, "disturbed")
    assert second.meta.id == episodes(recorded, "calm")[1].meta.id
    assert_whole(second)
    assert f"dropped {1 - len(first)}" in recorded["recorder"]["disturbed"]
    for episode in first:
        lost = np.flatnonzero(np.isnan(episode.age_ms).any(axis=1))
        assert len(lost) <= 2
        assert all(abs(step - recorded["killed_at"]) <= 2 for step in lost)
        assert (np.nan_to_num(episode.age_ms) == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_process_ended_in_good_order(recorded, name):
    assert recorded["codes"][name] == [0, 0, 0, 0]


def test_the_policy_was_killed_in_the_middle(recorded):
    assert KILL_AT <= recorded["killed_at"] < LENGTH - 1


def test_an_episode_is_the_same_whatever_happens_around_it(recorded):
    calm = {episode.meta.id: episode for episode in episodes(recorded, "calm")}
    for disturbed in episodes(recorded, "disturbed"):
        same = calm[disturbed.meta.id]
        np.testing.assert_array_equal(same.stamp_ns, disturbed.stamp_ns)
        np.testing.assert_array_equal(same.action, disturbed.action)
        np.testing.assert_array_equal(same.state, disturbed.state)
        for camera, frames in same.images.items():
            np.testing.assert_array_equal(frames, disturbed.images[camera])


def test_a_policy_that_starts_again_has_no_past(recorded):
    first = episodes(recorded, "calm")[0]
    drift = list(recorded["readers"]["calm"].spec.signals).index("latent_drift")
    np.testing.assert_array_equal(np.flatnonzero(~first.signals_valid[:, drift]), [0])
    for disturbed in episodes(recorded, "disturbed"):
        invalid = np.flatnonzero(~disturbed.signals_valid[:, drift])
        if disturbed.meta.id != first.meta.id:
            np.testing.assert_array_equal(invalid, [0])
            continue
        assert len(invalid) >= 2
        assert all(abs(step - recorded["killed_at"]) <= 2 for step in invalid[1:])
