from dataclasses import replace

import numpy as np
import pytest
from manifold_episodes import KINDS, SMALL, make_runs, run
from safetensors.torch import load_file, save_file
from synthetic_episodes import WITH_IMAGES

from salus_ros.core.errors import CheckpointError, ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.recovery.manifold.manifold import Manifold
from salus_ros.recovery.manifold.training import train_manifold


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifold")
    store, file = make_runs(folder / "a.zarr"), folder / "card.safetensors"
    return store, file, train_manifold([store], file, SMALL)


def given(kind, seed=99):
    state, action = run(kind, 50, seed)
    return {"state": state.astype(np.float32), "action": action.astype(np.float32)}


def test_unseen_successes_lie_nearer_than_what_left_them(learnt):
    manifold = Manifold.load(learnt[1])
    near, far = (
        manifold.distance(manifold.embed(given(kind)))
        for kind in (FailureType.NONE, FailureType.DROP)
    )
    assert np.median(far[30:]) > 3 * np.quantile(near, 0.9)
    assert learnt[2]["validation_triplets_in_order"] > 0.9
    lost = manifold.confidence(float(np.median(far[30:])))
    known = manifold.confidence(float(np.median(near)))
    assert lost < 0.05 < known


def test_the_file_holds_all_and_no_episode_is_in_two_parts(learnt):
    _, file, figures = learnt
    manifold = Manifold.load(file)
    assert manifold.manifold_id == figures["manifold_id"]
    assert manifold.settings == SMALL
    assert manifold.library.tasks == ("put the cube on the plate",)
    assert len(manifold.library.embedding) == figures["steps"]
    parts = [set(keys) for keys in manifold.split.values()]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 30
    assert (np.diff(manifold.reference) >= 0).all()


def test_the_same_episodes_and_settings_give_the_same_file(learnt, tmp_path):
    store, file, _ = learnt
    train_manifold([store], tmp_path / "again.safetensors", SMALL)
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_a_step_that_is_not_finite_has_no_distance_and_no_confidence(learnt):
    manifold, values = Manifold.load(learnt[1]), given(FailureType.NONE)
    values["action"][3, 2] = np.nan
    distance = manifold.distance(manifold.embed(values))
    assert np.flatnonzero(np.isnan(distance)).tolist() == [3]
    assert np.isnan(manifold.confidence(float(distance[3])))


def test_what_sees_the_object_can_be_part_of_the_key(tmp_path):
    store = make_runs(tmp_path / "a.zarr", KINDS[14:26], WITH_IMAGES)
    inputs = ("state", "action", "embedding", "expert", "visual")
    settings = replace(SMALL, inputs=inputs, batches=3)
    figures = train_manifold([store], tmp_path / "m.safetensors", settings)
    assert figures["features"] == 7 + 7 + 5 + 6 + 2 * 3
    assert Manifold.load(tmp_path / "m.safetensors").key.parts["visual"] == ("front", "wrist")


def test_episodes_without_an_input_are_refused_with_what_they_have(learnt, tmp_path):
    settings = replace(SMALL, inputs=("state", "expert"))
    with pytest.raises(ConfigError, match=r"have no expert .* they have state, action"):
        train_manifold([learnt[0]], tmp_path / "m.safetensors", settings)


def test_files_that_are_none_are_refused(learnt, tmp_path):
    with pytest.raises(CheckpointError, match="cannot read"):
        Manifold.load(tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(learnt[1].read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        Manifold.load(broken)
    other = tmp_path / "other.safetensors"
    save_file(load_file(learnt[1]), other)
    with pytest.raises(CheckpointError, match="has schema version None"):
        Manifold.load(other)
    tensors = load_file(learnt[1])
    del tensors["library.ends"]
    save_file(tensors, other, {"salus-manifold": '{"schema_version": 1}'})
    with pytest.raises(CheckpointError, match="lacks a part"):
        Manifold.load(other)
