"""What is foreseen: the same live and of a recorded episode, at a rate of its own."""

import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import make_episode, make_samples

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.core.failures import FailureType
from salus_ros.episodes import StoreSpec
from salus_ros.messages.signals import PredictionRow, SignalsRow
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.predictor import Predictor
from salus_ros.recovery.watch import AlarmRate, Overheard, Watch
from salus_ros.training.calibrate import calibrate
from salus_ros.training.train import fit_checkpoint, without_lacking


@pytest.fixture(scope="module")
def predictor(planted):
    config = without_lacking(replace(PRESETS["tcn"], hidden=(16,) * 3, epochs=4), planted)
    split = {"train": range(40), "validation": range(40, 50)}
    checkpoint, _ = fit_checkpoint(planted, split, config)
    found = calibrate(Predictor(checkpoint), planted.subset(range(50, 80)), 0.3)
    return Predictor(checkpoint, calibration=found)


def answers(samples):
    for row in range(len(samples.step)):
        hidden = samples.extras["embedding"][row]
        yield SignalsRow(samples.signals[row], samples.valid[row], fresh=True, embedding=hidden)


def test_live_it_says_what_it_says_of_a_recording(predictor, planted):
    for number in (50, 51):
        episode, watch = planted.subset([number]), Watch(predictor, 0.3)
        recorded = watch.replay(predictor.predict_episodes(*episode.inputs))
        for _ in range(2):  # nothing of the first time remains
            watch.reset()
            live = [watch.update(answer, step) for step, answer in enumerate(answers(episode))]
            assert [one.alarm for one in live] == [one.alarm for one in recorded]
            assert [one.kind for one in live] == [one.kind for one in recorded]
            np.testing.assert_allclose(
                [one.probability for one in live],
                [one.probability for one in recorded],
                atol=1e-5,
            )


def test_what_is_published_says_the_same(predictor, planted):
    """As `read_prediction` reads it of its message; blind where that says so."""
    rate = AlarmRate(predictor.calibration, 0.3)
    for number in (50, 51):
        prediction = predictor.predict_episodes(*planted.subset([number]).inputs)
        heard = Overheard(rate)
        expected = Watch(predictor, 0.3).replay(prediction)
        for row, one in enumerate(expected):
            said = published(predictor, prediction, row)
            assert heard.update(said) == one
            assert Overheard(None).update(replace(said, alarm=True)) == replace(one, alarm=True)
    blind = heard.update(replace(said, risk=math.nan, alarm=True))
    assert blind.alarm
    assert math.isnan(blind.probability)
    with pytest.raises(ObservationError, match="runs model other"):
        heard.update(replace(said, model_id="other"))


def published(predictor, prediction, row):
    whole = (prediction.episode_failure[row], prediction.no_progress[row])
    return PredictionRow(
        probability=prediction.probability[row],
        risk=float(prediction.risk[row]),
        alarm=False,
        model_id=predictor.model_id,
        horizons_s=predictor.horizons_s,
        failure_types=predictor.failure_types,
        episode_outputs=np.array(whole, np.float32),
    )


def test_the_larger_the_rate_the_more_it_alarms(predictor, planted):
    everything = planted.subset(range(50, 80))
    prediction = predictor.predict_episodes(*everything.inputs)
    loud = [
        sum(one.alarm for one in Watch(predictor, alpha).replay(prediction))
        for alpha in (0.2, 0.3)
    ]
    assert 0 < loud[0] <= loud[1]
    limit = predictor.calibration.episode_thresholds[0.3]
    first = Watch(predictor, 0.3).replay(prediction)[0]
    assert first.alarm == bool(prediction.episode_failure[0] > limit)


def test_a_step_that_cannot_be_judged_alarms(predictor, planted):
    watch = Watch(predictor, 0.3)
    (answer, *_) = answers(planted.subset([50]))
    infinite = np.full(12, np.inf, np.float32)
    forecast = watch.update(replace(answer, signals=infinite, valid=np.ones(12, np.bool_)), 0)
    assert forecast.alarm
    assert math.isnan(forecast.probability)
    assert forecast.kind is FailureType.NONE


def test_the_kind_is_no_progress_or_the_likeliest_type(predictor, planted):
    prediction = predictor.predict_episodes(*planted.subset([51]).inputs)
    shape = prediction.probability.shape
    idle = replace(prediction, no_progress=prediction.episode_failure)
    busy = replace(
        prediction,
        no_progress=np.zeros_like(prediction.no_progress),
        probability=np.broadcast_to(np.float32([0.1, 0.3, 0.2, 0.1]), shape),
    )
    watch = Watch(predictor, 0.3)
    assert {one.kind for one in watch.replay(idle)} == {FailureType.TIMEOUT}
    assert {one.kind for one in watch.replay(busy)} == {FailureType.COLLISION}


def test_a_rate_that_is_not_there_is_refused_with_what_is(predictor):
    with pytest.raises(ConfigError, match=r"alpha is 0\.15; the predictor is calibrated for"):
        Watch(predictor, 0.15)
    with pytest.raises(ConfigError, match="cannot be promised"):
        Watch(predictor, 0.01)
    with pytest.raises(ConfigError, match="not calibrated"):
        Watch(Predictor(predictor.checkpoint), 0.2)


def test_plan_and_joints_are_read_where_the_model_reads_them(planted):
    """As the recording of the same steps has them."""
    spec = StoreSpec(
        state_dim=1,
        action_dim=2,
        plan_length=3,
        joint_names=("a", "b"),
        joint_quantities=("position",),
    )
    kinds = [FailureType.NONE, FailureType.DROP] * 10
    episodes = [make_episode(str(n), 30, kind, spec, n) for n, kind in enumerate(kinds)]
    samples = make_samples(episodes, spec)
    samples = replace(
        samples,
        extras={
            "plan": np.random.default_rng(0).normal(size=(600, 6)).astype(np.float16),
            "joints": samples.extras["joints"],
        },
        parts={"plan": ("3 actions of 2",), "joints": samples.parts["joints"]},
    )
    config = replace(
        PRESETS["tcn"], hidden=(8,) * 2, epochs=2, inputs=("signals", "plan", "joints")
    )
    checkpoint, _ = fit_checkpoint(samples, {"train": range(6), "validation": range(6, 8)}, config)
    found = calibrate(Predictor(checkpoint), samples.subset(range(8, 20)), 0.5)
    predictor = Predictor(checkpoint, calibration=found)
    watch, first = Watch(predictor, 0.5), samples.subset([19])
    recorded = watch.replay(predictor.predict_episodes(*first.inputs))
    for step in range(30):
        said = SignalsRow(
            first.signals[step],
            first.valid[step],
            fresh=True,
            embedding=np.zeros(0, np.float16),
            plan=first.extras["plan"][step].reshape(3, 2),
            plan_step=0,
        )
        joints = dict(zip(("position a", "position b"), first.extras["joints"][step], strict=True))
        live = watch.update(said, step, joints)
        assert live.probability == pytest.approx(recorded[step].probability, abs=1e-5, nan_ok=True)
