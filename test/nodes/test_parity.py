"""The graph and the in-process collection give the same episode from the same seed.

And what is predicted live is what is predicted from the recording, with every input there is.
"""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import torch
from checkpoints import save_default
from processes import NodeProcess

from salus_ros.collection.config import CollectionConfig
from salus_ros.collection.rollout import Rollout
from salus_ros.episodes import StoreReader
from salus_ros.policies.tiny import SHIPPED
from salus_ros.prediction.extras import EXTRAS, of_episode, stored_parts
from salus_ros.prediction.lookahead import StepLookahead, look_ahead
from salus_ros.prediction.predictor import Predictor
from salus_ros.worlds.panda import CAMERAS

SEED = 3
COUNT = 1
ARRAYS = ("action", "state", "signals", "signals_valid", "signals_fresh", "embedding", "plan")
ARRAYS += ("plan_step", "visual_embedding", "expert_embedding")
ARRAYS += ("joint_position", "joint_velocity", "joint_effort")


def test_an_episode_over_ros_is_the_one_of_the_collection(tmp_path):
    # Sensor noise is in every image and joint; other conditions than the default go all the way.
    config = CollectionConfig(
        policy=SHIPPED,
        fault="noise",
        condition="shifted",
        num_samples=2,
        images=True,
        envs=COUNT,
        lookahead=True,
    )
    rollout = Rollout(config)
    look = StepLookahead(config.env_id)
    parts = stored_parts(rollout.spec)
    del parts["embedding"]
    widths = {"expert": 128, "visual": 3 * 128, "plan": 16 * 7, "lookahead": len(look.parts) - 1}
    model = save_default(tmp_path, rollout.spec.embedding_dim, parts=parts, widths=widths)
    inputs = set(Predictor.load(model).checkpoint.features.parts)
    assert inputs == set(EXTRAS) - {"further"}  # SALUS's own policies have none
    store = tmp_path / "graph.zarr"
    namespace = "/parity"
    with ExitStack() as stack:

        def start(name: str, **parameters: object) -> NodeProcess:
            node = NodeProcess(name, namespace, use_sim_time=True, **parameters)
            return stack.enter_context(node)

        recorder = start(
            "recorder",
            store_path=store,
            max_age_ms=0.0,
            min_free_mb=0,
            settle_s=10.0,
            reliable_sensors=True,
        )
        start("predictor", model_path=model, wait_for="recorder", reliable_sensors=True)
        start(
            "vla",
            num_samples=2,
            replan_every=3,
            threads=1,
            wait_for="recorder,predictor",
            reliable_sensors=True,
        )
        simulator = start(
            "simulator",
            seed=SEED,
            episodes=COUNT,
            fault=config.fault,
            condition=config.condition,
            wait_for="vla,recorder,predictor",
            exit_when_done=True,
        )
        assert simulator.wait() == 0, simulator.said
        recorder.stop()
    graph = StoreReader(store)
    assert len(graph) == COUNT, recorder.said
    torch.set_num_threads(1)
    collected = {e.meta.seed: e for e in rollout.run(iter(range(SEED, SEED + COUNT)))}
    rollout.close()
    for i in range(COUNT):
        a, b = graph.episode(i), collected[SEED + i]
        assert np.isfinite(a.plan).all()
        assert np.isfinite(a.joint_position).all()
        assert graph.spec.joint_names == rollout.spec.joint_names
        same = {"id": "", "wall_time_s": 0.0, "model_id": ""}
        assert repr(replace(a.meta, **same)) == repr(replace(b.meta, **same))
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
        for camera in CAMERAS:
            np.testing.assert_array_equal(a.images[camera], b.images[camera], err_msg=camera)
        seen = look_ahead(a, graph.spec, look)  # which no recorder keeps
        assert np.isfinite(seen.lookahead).all()
        np.testing.assert_array_equal(seen.lookahead, b.lookahead)
        said = Predictor.load(model).predict(a.signals, a.signals_valid, of_episode(seen))
        assert np.isfinite(a.probability[a.signals_valid.any(axis=1)]).all()
        np.testing.assert_allclose(a.probability, said.probability, atol=1e-6)
        np.testing.assert_allclose(a.episode_outputs[:, 1], said.no_progress, atol=1e-6)
        columns = [graph.spec.streams.index(s) for s in (*CAMERAS, "state", "action", "signals")]
        assert (a.age_ms[:, columns] == 0).all()
        # Each tick's stamp is rounded to whole nanoseconds.
        assert np.abs(np.diff(a.stamp_ns) - np.diff(b.stamp_ns)).max() <= 1
