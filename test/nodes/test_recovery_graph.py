"""The graph with recovery, every node a process: an alarm, and the scripted behaviour has the arm.

Policy and predictor are killed while it acts: neither is needed then.
"""

import signal
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import rclpy
from checkpoints import save_checkpoint
from conftest import Graph
from processes import DEADLINE_S, NodeProcess

from salus_msgs.msg import EpisodeStatus, PolicyAction, RecoveryStatus
from salus_ros.core.failures import Outcome
from salus_ros.episodes import StoreReader

SEED = 3_000_001
KILL_AT = 15
OTHERS = "vla,predictor,recovery,recorder"


@pytest.fixture(scope="module")
def recovered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One episode in which the predictor alarms as soon as it knows anything."""
    folder = tmp_path_factory.mktemp("recovered")
    store = folder / "a.zarr"
    model = save_checkpoint(folder / "model", 4.0)
    rclpy.init()
    probe = Graph()
    heard = {
        "status": probe.listen(RecoveryStatus, "recovery_status", status=True),
        "actions": probe.listen(PolicyAction, "action"),
        "policy": probe.listen(PolicyAction, "policy_action"),
        "episode": probe.listen(EpisodeStatus, "episode", status=True),
    }
    with ExitStack() as stack:

        def start(name: str, *extra: str, **parameters: Any) -> NodeProcess:
            process = NodeProcess(name, probe.namespace, *extra, **parameters)
            return stack.enter_context(process)

        common = {"use_sim_time": True, "reliable_sensors": True}
        recorder = start(
            "recorder", store_path=store, max_age_ms=0.0, min_free_mb=0, settle_s=1.0, **common
        )
        predictor = start("predictor", model_path=model, device="cpu", **common)
        recovery = start("recovery", arm="scripted@alarm", wait_for="recorder", **common)
        given = {"device": "cpu", "num_samples": 1, "threads": 1, "wait_for": "predictor,recorder"}
        vla = start("vla", "-r", "action:=policy_action", **given, **common)
        probe.connected("action", "policy_action", deadline_s=DEADLINE_S)
        world = {"episodes": 1, "seed": SEED, "exit_when_done": True, "wait_for": OTHERS}
        simulator = start("simulator", **world)
        actions = heard["actions"]
        probe.until(
            lambda: any(one.intervention and one.step >= KILL_AT for one in actions),
            "an action of the behaviour",
            DEADLINE_S,
        )
        for node in (vla, predictor):
            node.stop(signal.SIGKILL)
        probe.until(simulator.ended, "the end", DEADLINE_S)
        codes = [simulator.wait(), recovery.stop(), recorder.stop()]
        said = recovery.said + recorder.said
    probe.close()
    rclpy.try_shutdown()
    return heard | {"reader": StoreReader(store), "codes": codes, "said": said}


def test_no_node_ended_for_it(recovered):
    assert recovered["codes"] == [0, 0, 0]
    assert "Traceback" not in recovered["said"]


def test_the_episode_is_recorded_whole_with_what_acted(recovered):
    reader = recovered["reader"]
    assert len(reader) == 1
    episode, acts = reader.episode(0, images=False), reader.intervention(0)
    assert np.isfinite(episode.action).all()
    assert np.isfinite(episode.state).all()
    assert episode.meta.outcome is Outcome.SUCCESS
    assert "scripted@alarm" in episode.meta.interventions
    assert (acts[KILL_AT - 5 :] == 1).all()
    assert np.abs(episode.action[acts == 1, :6]).max() <= np.float32(0.6)
    done = {one.step: list(one.action) for one in recovered["actions"]}
    np.testing.assert_array_equal(episode.action, [done[step] for step in range(len(episode))])


def test_its_first_action_is_that_of_the_alarms_own_step(recovered):
    """The predictor is sure at once, so the policy's first answer is never done."""
    first = next(one for one in recovered["actions"] if one.intervention)
    answered = next(one for one in recovered["policy"] if one.step == first.step)
    assert first.header.stamp == answered.header.stamp
    status = next(one for one in recovered["status"] if one.actor)
    assert (status.step, status.behaviour) == (first.step, "scripted")
    assert max(one.step for one in recovered["policy"]) <= first.step + 1
