"""The inputs beside the signals: of a store, of an episode and of a message, all the same."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import make_episode, make_samples

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore, StoreSpec
from salus_ros.episodes.reader import StoreReader
from salus_ros.messages.signals import SignalsRow
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.extras import (
    ARRAYS,
    EXTRAS,
    SINGLE,
    of_episode,
    plan_ahead,
    stored,
    stored_parts,
    told,
)
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.stream import PredictorStream
from salus_ros.training.dataset import load_samples
from salus_ros.training.train import fit_checkpoint

SPEC = StoreSpec(
    state_dim=2,
    action_dim=3,
    embedding_dim=5,
    plan_length=4,
    plan_samples=2,
    visual_cameras=("front", "wrist"),
    visual_dim=3,
    expert_dim=2,
    joint_names=("a", "b"),
    joint_quantities=("position", "effort"),
    lookahead_cell="here",
    lookahead_names=("near", "far"),
    further_signals=("hesitation", "regret"),
)
WIDTHS = {"embedding": 5, "expert": 2, "visual": 6, "plan": 12, "joints": 4, "lookahead": 2}
WIDTHS["further"] = 2

UNTOLD = ("joints", "lookahead")
"""What no message of the policy tells."""


@pytest.fixture(scope="module")
def episodes():
    kinds = [FailureType.NONE, FailureType.DROP] * 6
    return [make_episode(str(n), 30, kind, SPEC, n) for n, kind in enumerate(kinds)]


def row_of(episode, step):
    """What the message of a step says, as `read_signals` reads it."""
    return SignalsRow(
        episode.signals[step],
        episode.signals_valid[step],
        fresh=True,
        embedding=episode.embedding[step],
        plan=episode.plan[step],
        plan_step=int(episode.plan_step[step]),
        visual_embedding=episode.visual_embedding[step],
        visual_cameras=SPEC.visual_cameras,
        expert_embedding=episode.expert_embedding[step],
        further=episode.further_signals[step],
        further_names=SPEC.further_signals,
    )


def test_the_plan_is_read_from_the_present_action_on():
    plan = np.arange(8.0).reshape(1, 4, 2)
    ahead = plan_ahead(np.repeat(plan, 3, axis=0), np.array([0, 2, np.nan], np.float32))
    np.testing.assert_array_equal(ahead[0], np.arange(8))
    np.testing.assert_array_equal(ahead[1], [4, 5, 6, 7, 6, 7, 6, 7])
    assert np.isnan(ahead[2]).all()


def test_store_episode_and_message_tell_the_same(episodes, tmp_path):
    with EpisodeStore.create(tmp_path / "s.zarr", SPEC) as store:
        store.append(episodes[0])
    samples = load_samples([tmp_path / "s.zarr"])
    assert {name: of.shape[1] for name, of in samples.extras.items()} == WIDTHS
    assert samples.parts == stored_parts(SPEC)
    assert samples.parts["joints"] == (
        "position a",
        "position b",
        "effort a",
        "effort b",
    )
    fewer = load_samples([tmp_path / "s.zarr"], inputs=("plan", "signals"))
    assert list(fewer.extras) == list(fewer.parts) == ["plan"]
    whole = of_episode(episodes[0])
    for name in EXTRAS:
        np.testing.assert_array_equal(samples.extras[name], whole[name], err_msg=name)
    joints = np.column_stack((episodes[0].joint_position, episodes[0].joint_effort))
    np.testing.assert_array_equal(whole["joints"], joints)
    given, parts = told(row_of(episodes[0], 7))
    assert parts == {name: of for name, of in samples.parts.items() if name not in UNTOLD}
    for name, values in given.items():
        np.testing.assert_array_equal(values[0], whole[name][7], err_msg=name)


def test_what_a_message_says_amiss_is_left_out(episodes):
    row = row_of(episodes[0], 0)
    for change in ({"plan_step": 4}, {"plan_step": -1}, {"plan": row.plan.ravel()}):
        assert "plan" not in told(replace(row, **change))[0]
    assert "visual" not in told(replace(row, visual_embedding=row.visual_embedding.ravel()))[0]
    nothing = replace(row, embedding=np.zeros(0, np.float16), expert_embedding=None, plan=None)
    nothing = replace(nothing, further=None)
    assert told(replace(nothing, visual_embedding=None)) == ({}, {})
    assert list(told(row, ("plan",))[0]) == ["plan"]


def test_stores_that_differ_have_in_common_what_is_alike(episodes, tmp_path):
    other = replace(SPEC, visual_cameras=("wrist", "front"), expert_dim=3)
    for name, spec in (("a", SPEC), ("b", other)):
        with EpisodeStore.create(tmp_path / name, spec) as store:
            store.append(make_episode("0", 30, FailureType.DROP, spec, 0))
    samples = load_samples([tmp_path / "a", tmp_path / "b"])
    assert sorted(samples.extras) == ["embedding", "further", "joints", "lookahead", "plan"]
    assert sorted(samples.parts) == ["embedding", "further", "joints", "lookahead", "plan"]


@pytest.fixture(scope="module")
def predictor(episodes):
    inputs = ("signals", "validity", *EXTRAS)
    config = replace(PRESETS["tcn"], hidden=(8,) * 2, epochs=2, inputs=inputs)
    split = {"train": range(10), "validation": range(10, 12)}
    checkpoint, _ = fit_checkpoint(make_samples(episodes, SPEC), split, config)
    return Predictor(checkpoint)


def test_live_agrees_with_offline_with_every_input(predictor, episodes, tmp_path):
    predictor.checkpoint.save(tmp_path / "best_predictor.pt")
    loaded = Predictor.load(tmp_path)
    assert loaded.checkpoint.features.parts == predictor.checkpoint.features.parts
    extras = of_episode(episodes[11])
    for name, gone in zip(EXTRAS, range(3, 10), strict=True):
        extras[name][gone] = np.nan  # one after the other is missing for a step
    offline = predictor.predict(episodes[11].signals, episodes[11].signals_valid, extras)
    stream = PredictorStream(loaded)
    for step in range(30):
        given = {
            n: of[step] for n, of in extras.items() if n in SINGLE or np.isfinite(of[step]).all()
        }
        live = stream.update(episodes[11].signals[step], episodes[11].signals_valid[step], given)
        np.testing.assert_allclose(live.risk[0], offline.risk[step], atol=1e-6)
    without = predictor.predict(episodes[11].signals, episodes[11].signals_valid)
    assert not np.allclose(without.risk, offline.risk)  # they are read


def test_a_joint_without_effort_sensor_leaves_the_rest(episodes):
    """A column that training never had is not read, and its NaN makes nothing missing."""
    samples = make_samples(episodes, SPEC)
    samples.extras["joints"][:, 3] = np.nan
    config = replace(PRESETS["mlp"], hidden=(8,), epochs=1, inputs=("signals", "joints"))
    split = {"train": range(10), "validation": range(10, 12)}
    checkpoint, _ = fit_checkpoint(samples, split, config)
    features = checkpoint.features.apply(samples.signals, samples.valid, samples.extras)
    np.testing.assert_array_equal(features[:, -1], 1)  # it is there
    np.testing.assert_array_equal(features[:, -2], 0)
    assert features[:, -5:-2].std(axis=0).min() > 0.5


def test_other_parts_than_those_of_training_are_refused(predictor, episodes):
    names, parts = predictor.checkpoint.signal_names, dict(stored_parts(SPEC))
    predictor.check_inputs(names, parts)
    with pytest.raises(ConfigError, match="the visual of the episodes consists of"):
        predictor.check_inputs(names, parts | {"visual": ("wrist", "front")})
    del parts["plan"]
    with pytest.raises(ConfigError, match="the episodes lack plan"):
        predictor.check_inputs(names, parts)
    features = predictor.checkpoint.features
    assert features.other_parts({}) == {}  # what is missing is no other
    with pytest.raises(ObservationError, match="the plan consists of"):
        features.read(replace(row_of(episodes[0], 0), plan=np.zeros((5, 3), np.float16)))


def test_an_input_that_the_episodes_lack_is_refused_by_name(episodes):
    samples = replace(make_samples(episodes, SPEC), extras={}, parts={})
    config = replace(PRESETS["tcn"], inputs=("signals", "visual", "plan"))
    with pytest.raises(ConfigError, match="inputs has visual, plan, but the episodes have none"):
        fit_checkpoint(samples, {"train": range(10), "validation": range(10, 12)}, config)


def test_a_store_without_episodes_has_the_columns_all_the_same(tmp_path):
    EpisodeStore.create(tmp_path / "s.zarr", SPEC).close()
    reader = StoreReader(tmp_path / "s.zarr")
    for name, width in WIDTHS.items():
        arrays = reader.to_numpy([one for one in ARRAYS[name] if one in reader])
        assert stored(name, arrays).shape == (0, width)


def test_what_a_step_lacks_is_named_and_no_column_that_is_never_read(episodes):
    """An arm without an effort sensor lacks nothing that its model reads."""
    samples = make_samples(episodes, SPEC)
    samples.extras["joints"][:, 3] = np.nan
    config = replace(PRESETS["mlp"], hidden=(8,), epochs=1, inputs=("signals", "joints", "plan"))
    split = {"train": range(10), "validation": range(10, 12)}
    features = fit_checkpoint(samples, split, config)[0].features
    whole = row_of(episodes[0], 0)
    assert features.missing(features.read(whole, samples.extras["joints"][:1])) == {}
    without = replace(whole, plan=None)
    assert features.missing(features.read(without)) == {"plan": "no plan", "joints": "no joints"}
    broken = samples.extras["joints"][:1].copy()
    broken[0, 0] = np.nan
    said = features.missing(features.read(whole, broken))
    assert said == {"joints": "joints with values that are not finite"}
