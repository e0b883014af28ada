"""Live and offline scores of the same episodes, of every kind of model."""

from dataclasses import fields, replace

import numpy as np
import pytest

from salus_ros.core.errors import ObservationError
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.stream import PredictorStream
from salus_ros.training.calibrate import calibrate
from salus_ros.training.train import fit_checkpoint, without_lacking

SMALL = {
    "mlp": {"hidden": (16,)},
    "tcn": {"hidden": (16,) * 3},
    "gru": {"hidden": (16,)},
}
CLOCK = ("signals", "validity", "embedding", "clock")


@pytest.fixture(scope="module", params=[*SMALL, "calibrated", "clock"])
def predictor(request, planted):
    kind = request.param if request.param in SMALL else "tcn"
    config = without_lacking(replace(PRESETS[kind], **SMALL[kind], epochs=2), planted)
    if request.param == "clock":
        config = replace(config, inputs=CLOCK, time_limit_steps=200)
    split = {"train": range(48), "validation": range(48, 60)}
    checkpoint, _ = fit_checkpoint(planted, split, config)
    found = Predictor(checkpoint)
    if request.param != "calibrated":
        return found
    return Predictor(checkpoint, calibration=calibrate(found, planted.subset(range(48, 80))))


def agree(live, offline, rows):
    for field in fields(live):
        one, other = getattr(live, field.name), getattr(offline, field.name)[rows]
        np.testing.assert_allclose(one, other, atol=1e-5, err_msg=field.name)


def test_live_agrees_with_offline_from_the_first_step_on(predictor, planted):
    """Signals are held between replans, some are not valid at first, some steps have none."""
    episodes = planted.subset([60, 61])
    hidden = episodes.step % 11 == 7
    episodes.signals[hidden], episodes.valid[hidden] = np.nan, False
    episodes.extras["embedding"][episodes.step % 13 == 5] = np.nan
    offline = predictor.predict_episodes(*episodes.inputs)
    stream = PredictorStream(predictor)
    for row in range(len(episodes.step)):
        live = stream.update(
            episodes.signals[row],
            episodes.valid[row],
            extras(episodes, row),
            int(episodes.step[row]),
        )
        agree(live, offline, [row])
    assert np.isnan(offline.risk[hidden]).all()


def test_steps_that_are_passed_over_count_as_steps_without_a_signal(predictor, planted):
    episode = planted.subset([60])
    gone = np.isin(episode.step, [0, 1, 9, 10, 11, 20])
    episode.signals[gone], episode.valid[gone] = np.nan, False
    episode.extras["embedding"][gone] = np.nan
    offline = predictor.predict_episodes(*episode.inputs)
    stream = PredictorStream(predictor)
    for row in np.flatnonzero(~gone):
        live = stream.update(
            episode.signals[row], episode.valid[row], extras(episode, row), int(row)
        )
        agree(live, offline, [row])


def test_an_earlier_step_begins_anew(predictor, planted):
    episode = planted.subset([60])
    stream = PredictorStream(predictor)
    first = [
        stream.update(episode.signals[row], episode.valid[row], extras(episode, row), row)
        for row in range(6)
    ]
    again = stream.update(episode.signals[0], episode.valid[0], extras(episode, 0), 0)
    np.testing.assert_array_equal(again.probability, first[0].probability)


def extras(episode, rows):
    """What else than signals there is of some steps."""
    return {name: values[rows] for name, values in episode.extras.items()}


def take(stream, episode, row):
    """Give a stream one step of an episode."""
    return stream.update(episode.signals[row], episode.valid[row], extras(episode, row), row)


def test_a_repeated_step_gets_the_same_answer_and_is_not_remembered(predictor, planted):
    episode = planted.subset([60])
    offline = predictor.predict_episodes(*episode.inputs)
    stream = PredictorStream(predictor)
    for row in range(40):
        first = take(stream, episode, row)
        for _ in range(row % 4):
            again = stream.update(-episode.signals[row], episode.valid[row], None, row)
            assert again is first
        agree(first, offline, [row])


UNUSABLE = {
    "infinite": (np.inf, "marked valid"),
    "not a number": (np.nan, "marked valid"),
    "too large to standardise": (3e38, "marked valid|no finite answer"),
    "too large for the network": (1e30, "no finite answer"),
}


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
@pytest.mark.parametrize("case", UNUSABLE)
def test_a_step_that_cannot_be_judged_is_one_without_a_signal(predictor, planted, case):
    value, said = UNUSABLE[case]
    episode = planted.subset([60])
    bad = episode.step % 9 == 4
    without = planted.subset([60])
    without.signals[bad], without.valid[bad] = np.nan, False
    without.extras["embedding"][bad] = np.nan
    offline = predictor.predict_episodes(*without.inputs)
    stream = PredictorStream(predictor)
    used = int(np.flatnonzero(predictor.checkpoint.features.signals.inverse_std)[0])
    for row in range(40):
        if bad[row]:
            episode.signals[row, used], episode.valid[row, used] = value, True
            with pytest.raises(ObservationError, match=said):
                take(stream, episode, row)
        else:
            agree(take(stream, episode, row), offline, [row])


def test_an_embedding_of_another_policy_is_refused_where_the_model_reads_one(predictor, planted):
    episode = planted.subset([60])
    stream = PredictorStream(predictor)
    first = take(stream, episode, 0)
    wrong = {"embedding": np.zeros(5, np.float32)}
    others = (episode.signals[1], episode.valid[1], wrong, 1)
    if not predictor.checkpoint.features.extras:
        agree(stream.update(*others), predictor.predict_episodes(*episode.inputs), [1])
        return
    with pytest.raises(ObservationError, match="the embedding has 5 values, the model takes 6"):
        stream.update(*others)
    assert take(stream, episode, 0) is first


def test_many_robots_at_once_are_as_many_alone(predictor, planted):
    two = planted.subset([62, 63])
    starts = [rows.start for rows in two.slices]
    together, alone = (
        PredictorStream(predictor, 2),
        [PredictorStream(predictor) for _ in two.slices],
    )
    for step in range(20):
        rows = [start + step for start in starts]
        both = together.update(two.signals[rows], two.valid[rows], extras(two, rows), step)
        for place, row in enumerate(rows):
            one = alone[place].update(two.signals[row], two.valid[row], extras(two, row), step)
            np.testing.assert_allclose(one.probability[0], both.probability[place], atol=1e-5)


def test_the_risk_never_falls_with_the_horizon(predictor, planted):
    any_failure = predictor.predict_episodes(*planted.inputs).any_failure
    assert (np.diff(any_failure, axis=1) >= 0).all()
