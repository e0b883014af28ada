"""A store with what a predictor says of its episodes."""

from dataclasses import fields, replace

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode

from salus_ros.core.alarm import HYSTERESIS, Alarm
from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore
from salus_ros.episodes.reader import StoreReader
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.extras import of_episode
from salus_ros.prediction.offline import predict_store
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.dataset import load_samples
from salus_ros.training.train import fit_checkpoint

SPEC = replace(WITH_IMAGES, embedding_dim=5, plan_length=4, plan_samples=2)
SAID = ("probability", "risk", "alarm", "episode_outputs", "age_ms", "meta", "images")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores") / "s.zarr"
    with EpisodeStore.create(folder, SPEC) as store:
        for n in range(6):
            kind = (FailureType.NONE, FailureType.DROP)[n % 2]
            store.append(make_episode(str(n), 30, kind, SPEC, n))
    return folder


@pytest.fixture(scope="module")
def predictor(path, tmp_path_factory):
    """One that alarms now and then."""
    config = replace(PRESETS["tcn"], hidden=(8,) * 2, epochs=2)
    split = {"train": range(4), "validation": range(4, 6)}
    checkpoint, _ = fit_checkpoint(load_samples([path]), split, config)
    folder = tmp_path_factory.mktemp("model")
    risk = Predictor(checkpoint).predict_episodes(*load_samples([path]).inputs).risk
    replace(checkpoint, threshold=float(np.nanquantile(risk, 0.8))).save(
        folder / "best_predictor.pt"
    )
    return Predictor.load(folder)


def test_all_but_the_predictions_stays(path, predictor, tmp_path):
    seen = []
    out = tmp_path / "p.zarr"
    assert predict_store(StoreReader(path), predictor, out, on_episode=seen.append) == 6
    assert seen == [1, 2, 3, 4, 5, 6]
    before, after = StoreReader(path), StoreReader(out)
    for index in range(6):
        old, new = before.episode(index), after.episode(index)
        assert repr(new.meta) == repr(replace(old.meta, model_id=predictor.model_id))  # with NaN
        for one in fields(old):
            if one.name not in SAID:
                given = getattr(old, one.name), getattr(new, one.name)
                np.testing.assert_array_equal(*given, err_msg=one.name)
        for camera, frames in old.images.items():
            np.testing.assert_array_equal(frames, new.images[camera])
        said = predictor.predict(old.signals, old.signals_valid, of_episode(old))
        np.testing.assert_array_equal(new.probability, said.probability)
        np.testing.assert_array_equal(new.risk, said.risk)
        np.testing.assert_array_equal(new.episode_outputs[:, 1], said.no_progress)
        alarm = Alarm()
        level = said.risk - np.float32(predictor.threshold)
        rings = [alarm.update(float(one), 0.0, HYSTERESIS) for one in level]
        known = ~np.isnan(said.risk)
        np.testing.assert_array_equal(new.alarm[known], np.float32(rings)[known])
        assert np.isnan(new.alarm[~known]).all()
    assert 0 < np.nanmean(after.to_numpy(["alarm"])["alarm"]) < 1


def test_it_goes_on_where_it_was_stopped(path, predictor, tmp_path):
    out = tmp_path / "p.zarr"

    def stop(done):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_store(StoreReader(path), predictor, out, images=False, on_episode=stop)
    assert len(StoreReader(out)) == 3
    assert predict_store(StoreReader(path), predictor, out, images=False) == 6
    whole = tmp_path / "q.zarr"
    predict_store(StoreReader(path), predictor, whole, images=False)
    for name, values in StoreReader(out).to_numpy().items():
        np.testing.assert_array_equal(values, StoreReader(whole).to_numpy([name])[name])


def test_a_store_of_another_model_or_of_other_episodes_is_left_alone(path, predictor, tmp_path):
    out = tmp_path / "p.zarr"
    predict_store(StoreReader(path), predictor, out, images=False)
    other = Predictor(replace(predictor.checkpoint, model_id="another"))
    with pytest.raises(StoreError, match="another predictor than another"):
        predict_store(StoreReader(path), other, out, images=False)
    with EpisodeStore.create(tmp_path / "others.zarr", SPEC) as store:  # of the same names
        for n in range(6):
            store.append(make_episode(str(n), 30, FailureType.DROP, SPEC, 100 + n))
    with pytest.raises(StoreError, match="holds other episodes than"):
        predict_store(StoreReader(tmp_path / "others.zarr"), predictor, out, images=False)
    assert StoreReader(out).meta(0).model_id == predictor.model_id


def test_episodes_that_lack_an_input_are_refused_before_anything_is_written(
    path, predictor, tmp_path
):
    with EpisodeStore.create(tmp_path / "bare.zarr", replace(LOW_DIM, embedding_dim=0)) as store:
        store.append(make_episode("0", 30, FailureType.DROP, store.spec, 0))
    with pytest.raises(ConfigError, match="the episodes lack embedding"):
        predict_store(StoreReader(tmp_path / "bare.zarr"), predictor, tmp_path / "p.zarr")
    assert not (tmp_path / "p.zarr").exists()
