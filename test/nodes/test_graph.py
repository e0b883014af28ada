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
        # The probe listens to `episode` of one graph and to `failure_horizons` of the other.
        calm = namespace.endswith("calm")
        self.stack = stack
        self.namespace = namespace
        self.policy = policy
        sim_time = {"use_sim_time": True}
        self.recorder = self.start(
            "recorder", store_path=store, max_age_ms=0.0, min_free_mb=0, settle_s=10.0, **sim_time
        )
        self.predictor = self.start(
            "predictor", model_path=model, device="cpu", min_subscribers=1, **sim_time
        )
        self.vla = self.start_vla()
        self.simulator = self.start(
            "simulator",
            env_id="fast_world:salus_test/Long-v0",
            episodes=EPISODES,
            min_subscribers=4 - calm,
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
            min_subscribers=2,
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


@pytest.mark.parametrize("name", NAMES)
def test_all_episodes_are_recorded_whole(recorded, name):
    first, second = episodes(recorded, name)
    assert len(first) == len(second) == LENGTH
    assert (first.meta.outcome, second.meta.outcome) == (Outcome.SUCCESS, Outcome.FAILURE)
    assert (second.meta.failure_type, second.meta.failure_step) == (FailureType.DROP, LENGTH - 1)
    assert "dropped 0" in recorded["recorder"][name]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_missing_or_old(recorded, name):
    for episode in episodes(recorded, name):
        np.testing.assert_array_equal(episode.age_ms, np.zeros((LENGTH, 7)))
        assert np.isfinite(episode.action).all()
        assert np.isfinite(episode.risk).all()
        assert episode.meta.model_id
        grey = episode.images["side"][:, 0, 0, 0]
        np.testing.assert_array_equal(grey, 10 + np.arange(LENGTH))


@pytest.mark.parametrize("name", NAMES)
def test_every_process_ended_in_good_order(recorded, name):
    assert recorded["codes"][name] == [0, 0, 0, 0]


def test_the_policy_was_killed_in_the_middle(recorded):
    assert KILL_AT <= recorded["killed_at"] < LENGTH - 1


def test_an_episode_is_the_same_whatever_happens_around_it(recorded):
    for calm, disturbed in zip(
        episodes(recorded, "calm"), episodes(recorded, "disturbed"), strict=True
    ):
        np.testing.assert_array_equal(calm.stamp_ns, disturbed.stamp_ns)
        np.testing.assert_array_equal(calm.action, disturbed.action)
        np.testing.assert_array_equal(calm.state, disturbed.state)
        for camera, frames in calm.images.items():
            np.testing.assert_array_equal(frames, disturbed.images[camera])


def test_a_policy_that_starts_again_has_no_past(recorded):
    names = list(recorded["readers"]["calm"].spec.signals)
    drift = names.index("latent_drift")
    calm, disturbed = (episodes(recorded, name)[0] for name in NAMES)
    np.testing.assert_array_equal(np.flatnonzero(~calm.signals_valid[:, drift]), [0])
    invalid = np.flatnonzero(~disturbed.signals_valid[:, drift])
    assert len(invalid) == 2
    assert invalid[1] >= KILL_AT


def test_predictions_are_recorded_as_they_were_published(recorded):
    published = {(m.episode_id, m.step): m.risk for m in recorded["horizons"]}
    first = episodes(recorded, "calm")[0]
    for step in (0, 1, LENGTH - 1):
        assert published[first.meta.id, step] == first.risk[step]
