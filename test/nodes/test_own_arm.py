"""The stand-in of the tutorial, moved by a policy through the action bridge and recorded."""

import runpy
from pathlib import Path

import numpy as np
from std_msgs.msg import Float64MultiArray

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import StoreReader
from salus_ros.nodes.action_bridge import ActionBridgeNode
from salus_ros.nodes.episode import EpisodeNode
from salus_ros.nodes.recorder import RecorderNode
from salus_ros.nodes.vla import VlaNode

EXAMPLES = Path(__file__).parents[2] / "examples"
ARM = EXAMPLES / "own_arm.yaml"


def test_an_episode_of_the_tutorial(graph, tmp_path):
    import yaml

    example = runpy.run_path(str(EXAMPLES / "own_arm.py"))
    example["make_policy"](tmp_path / "policy")
    given = yaml.safe_load(ARM.read_text())

    def parameters(node, **changed):
        of_node = dict(given[f"/**/{node}"]["ros__parameters"])
        of_node.pop("wait_for", None)
        return of_node | changed

    # All nodes and the policy share one thread here: nothing may be called late.
    late = {"max_age_ms": 2000.0, "max_missing_share": 1.0, "min_free_mb": 0}
    store = str(tmp_path / "a.zarr")
    graph.add(RecorderNode, **parameters("recorder", store_path=store, **late))
    policy = str(tmp_path / "policy")
    graph.add(VlaNode, **parameters("vla", policy_path=policy, sync_slop_ms=1000.0, device="cpu"))
    graph.add(ActionBridgeNode, **parameters("action_bridge"))
    graph.add(EpisodeNode, **parameters("episode"))
    arm = example["StandIn"](2.0, namespace=graph.namespace)
    graph.executor.add_node(arm)
    commands = graph.listen(Float64MultiArray, "forward_position_controller/commands")
    person = example["Person"](arm, lambda: graph.executor.spin_once(timeout_sec=0.05))
    seed = next(s for s in range(99) if np.random.default_rng(s).random() < example["SLIPPING"])
    assert "labelled failure by drop at step" in person.run(seed)
    graph.until(lambda: Path(store).exists() and len(StoreReader(store)) == 1)
    episode = StoreReader(store).episode(0)
    assert set(episode.images) == {"front", "wrist"}
    assert episode.meta.outcome == Outcome.FAILURE
    assert episode.meta.failure_type == FailureType.DROP
    assert episode.state[-1, -1] < episode.state[0, -1]  # the fingers have closed
    assert any(np.abs(command.data[:5]).max() > 0.01 for command in commands)
    graph.executor.remove_node(arm)
    arm.destroy_node()
