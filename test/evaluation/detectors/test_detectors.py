from dataclasses import replace

import numpy as np
import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.evaluation.detectors.baselines import PriorOfTask, ReversalRate
from salus_ros.evaluation.detectors.catalogue import catalogue, choose, default_of_logs
from salus_ros.evaluation.detectors.detector import Replans, early_auroc
from salus_ros.evaluation.detectors.novelty import LogpZO, RandomNetworkDistillation
from salus_ros.evaluation.detectors.predicting import (
    HorizonPredictor,
    JointsAndAction,
    ShuffledControl,
)
from salus_ros.evaluation.detectors.probes import SafeMLP
from salus_ros.evaluation.detectors.readings import Reading
from salus_ros.evaluation.detectors.scoring import run_detector
from salus_ros.evaluation.detectors.sequence_probe import SequenceProbe
from salus_ros.evaluation.detectors.temporal_difference import TemporalDifferenceProbe
from salus_ros.evaluation.folds import make_folds
from salus_ros.prediction.config import TrainingConfig
from salus_ros.training.dataset import load_samples

TRAIN, VALIDATION, TEST = range(48), range(48, 60), range(60, 80)

SIGNAL = "sample_spread_growth"
SMALL = TrainingConfig(
    inputs=("signals", "validity", "embedding"), epochs=15, batch_size=64, learning_rate=3e-3
)
TCN = replace(SMALL, model="tcn", hidden=(16,) * 3, eventual=True)
FAST = {
    "rnd": lambda: RandomNetworkDistillation(epochs=20),
    "logpzo": lambda: LogpZO(epochs=20),
    "safe_mlp": lambda: SafeMLP(epochs=40),
    "safe_lstm": lambda: SequenceProbe("safe_lstm", Reading("embedding"), hidden=32, epochs=20),
    "tdqc": lambda: TemporalDifferenceProbe(
        "tdqc", Reading("embedding"), hidden=32, epochs=40, learning_rate=3e-3
    ),
    "salus_mlp": lambda: HorizonPredictor("salus_mlp", SMALL),
    "salus_tcn_horizons": lambda: HorizonPredictor("salus_tcn_horizons", TCN),
    "salus_tcn": lambda: HorizonPredictor("salus_tcn", TCN, "episode_failure"),
}
"""Like those of the catalogue, trained more briefly."""

LEFT_OUT = (
    "salus_tcn_shuffled",
    "salus_mlp_large",
    "salus_gru",
    "salus_tcn_signals",
    "salus_tcn_clock",
)  # as salus_tcn
ALL = {
    name: FAST.get(name, make)
    for name, make in catalogue([SIGNAL]).items()
    if name not in LEFT_OUT
}
RULES = ("clock", "task_prior", "stuck")
LEARNT = [name for name in ALL if name not in RULES]


@pytest.fixture(scope="module")
def fitted(planted):
    """Every detector, fitted once."""
    detectors = {name: make() for name, make in ALL.items()}
    for detector in detectors.values():
        detector.fit(planted, TRAIN, VALIDATION, seed=0)
    return detectors


@pytest.mark.parametrize("name", ALL)
def test_a_detector_never_looks_ahead(planted, fitted, name):
    whole = planted.subset(TEST)
    score = fitted[name].score(whole)
    rng = np.random.default_rng(0)
    cut = 20
    later = whole.step >= cut
    read = (whole.signals, *whole.extras.values(), whole.chunk_statistics, whole.action)
    for values in read:
        values[later] = rng.normal(size=values[later].shape)
    whole.state[later] = 0.0
    assert np.array_equal(fitted[name].score(whole)[~later], score[~later], equal_nan=True)
    if name in LEARNT:
        assert not np.array_equal(fitted[name].score(whole), score, equal_nan=True)


@pytest.mark.parametrize("name", ALL)
def test_an_episode_is_scored_alike_alone_and_among_others(planted, fitted, name):
    together = fitted[name].score(planted.subset(TEST))
    alone = np.concatenate([fitted[name].score(planted.subset([place])) for place in TEST])
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LEARNT)
def test_a_detector_finds_the_planted_failures(planted, fitted, name):
    test = planted.subset(TEST)
    assert early_auroc(fitted[name].score(test), test) > 0.85


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_scores(planted, fitted, name):
    again = ALL[name]()
    again.fit(planted, TRAIN, VALIDATION, seed=0)
    test = planted.subset(TEST)
    assert np.array_equal(again.score(test), fitted[name].score(test), equal_nan=True)


@pytest.mark.parametrize("name", ALL)
def test_missing_values_leave_a_score_or_none(planted, fitted, name):
    test = planted.subset(TEST)
    before = fitted[name].score(test)
    assert not np.isinf(before).any()
    gone = (test.step >= 15) & (test.step < 21)
    test.signals[gone], test.valid[gone] = np.nan, False
    for values in test.extras.values():
        values[gone] = np.nan
    test.chunk_statistics[gone] = np.nan
    after = fitted[name].score(test)
    assert np.array_equal(after[test.step < 15], before[test.step < 15], equal_nan=True)
    assert np.isfinite(after[test.step == 24]).all()


@pytest.mark.parametrize("name", LEARNT)
def test_what_a_detector_reads_and_is_not_there_is_said(store, name):
    bare = replace(load_samples([store]), action=None)
    bare.signals[:], bare.valid[:] = np.nan, False
    reason = ALL[name]().missing(bare)
    said = (
        "never valid",
        "no embedding",
        "no expert_embedding",
        "no chunk statistic",
        "no action",
    )
    assert any(word in reason for word in said)


def test_a_score_is_held_between_replans_and_never_across_episodes(planted):
    two = planted.subset([0, 1])
    there = np.ones(len(two.step), bool)
    start = two.slices[1].start
    there[start : start + 3] = False  # the second episode lacks its first replan
    replans = Replans.of(two, there)
    held = replans.hold(np.arange(len(replans.rows)))
    assert np.array_equal(held[:7], [0, 0, 0, 1, 1, 1, 2])
    assert np.isnan(held[start : start + 3]).all()
    assert held[start + 3] == (replans.episode == 0).sum()


def test_sums_run_over_the_episode_or_a_window(planted):
    replans = Replans.of(planted.subset([0, 1]))
    ones = np.ones(len(replans.rows))
    n = (replans.episode == 0).sum()
    assert np.array_equal(replans.running_sum(ones)[n - 2 : n + 2], [n - 1, n, 1, 2])
    assert np.array_equal(replans.running_sum(ones, 2)[n - 2 : n + 2], [2, 2, 1, 2])


def test_the_sign_of_a_signal_is_chosen_in_training(fitted):
    assert fitted[f"signal:{SIGNAL}"].sign == -1.0


def test_a_new_task_gets_the_overall_share_of_failures(planted):
    prior = PriorOfTask()
    prior.fit(planted, [0, 1, 3, 5], [], seed=0)  # task 0: 0, 1, 5, task 1: 3
    score = prior.score(planted.subset([0, 3]))
    assert np.array_equal(np.unique(score), [2 / 3, 1.0])


def test_an_action_that_turns_round_is_counted_from_the_third_step_on(planted):
    two = planted.subset([0, 1])
    two.action[:] = 0
    start = two.slices[1].start
    two.action[:7, 0] = [0, 1, 0, 0, 1, 2, 1]  # turns at steps 2 and 6
    two.action[start:, 0] = np.arange(len(two.action) - start)
    two.fresh[:] = True
    score = ReversalRate().score(two)
    each = 1 / two.action.shape[1]
    assert score[2:8] == pytest.approx(
        [each, each / 2, each / 3, each / 4, 2 * each / 5, each / 3]
    )
    assert np.isnan(score[[0, 1, start, start + 1]]).all()
    assert not score[start + 2 :].any()
    two.fresh[3:6] = False
    assert ReversalRate().score(two)[3:6] == pytest.approx([each] * 3)


@pytest.mark.parametrize(
    ("failures", "name"), [(0, "stac_single"), (9, "stac_single"), (10, "blend")]
)
def test_without_hidden_states_few_failures_teach_nothing(failures, name):
    assert default_of_logs(failures) == name
    assert name in catalogue([])


def test_a_name_that_no_detector_has_is_told_with_those_there_are():
    with pytest.raises(ConfigError, match=r"'stack'; there are clock, .*signal:x, .*stac,"):
        choose(["clock", "stack"], ["x"])
    assert list(choose(["stac", "clock"], ["x"])) == ["clock", "stac"]


def test_endings_that_are_shuffled_teach_nothing(planted):
    """But for a leak, the control cannot tell the episodes that it was not trained on."""
    figures = []
    for seed in range(3):
        control = ShuffledControl("control", replace(TCN, epochs=8), "episode_failure")
        control.fit(planted, TRAIN, VALIDATION, seed)
        trained = control.predictor.checkpoint.split
        assert len(trained["train"]) == len(TRAIN)
        figures.append(early_auroc(control.score(planted.subset(TEST)), planted.subset(TEST)))
    assert min(figures) < 0.75  # what is true is told with 1.0, see above
    endings = [record.meta.ending for record in planted.records]
    assert endings[:2] == ["success", "drop"]  # and the episodes are as they were


def test_part_of_the_training_is_drawn_by_the_seed_and_nothing_else_is_learnt_from(planted):
    keys = {planted.records[place].key for place in TRAIN}
    drawn = []
    for seed in (0, 0, 1):
        half = HorizonPredictor("half", replace(SMALL, epochs=1), share=0.5)
        half.fit(planted, TRAIN, VALIDATION, seed)
        drawn.append(half.predictor.checkpoint.split["train"])
        assert len(drawn[-1]) == len(set(drawn[-1])) == len(TRAIN) // 2
        assert set(drawn[-1]) < keys
    assert drawn[0] == drawn[1] != drawn[2]


def test_state_and_action_stand_in_for_the_hidden_state(planted):
    """A failure that they alone show is found; without them there is nothing to run on."""
    bad = np.array([record.meta.ending != "success" for record in planted.records])
    state = planted.state + 3 * bad[planted.episode, None]
    shown = replace(planted, state=state.astype(np.float32), extras={})
    config = replace(SMALL, inputs=("embedding",))
    control = JointsAndAction("control", config)
    assert control.missing(shown) == ""
    control.fit(shown, TRAIN, VALIDATION, 0)
    test = shown.subset(TEST)
    assert early_auroc(control.score(test), test) > 0.95
    assert "state" in control.missing(replace(planted, state=None))


def test_a_control_runs_in_the_benchmark(planted):
    config = replace(SMALL, inputs=("embedding",), epochs=2)
    (fold, *_) = make_folds(planted, number=3)
    scored = run_detector(JointsAndAction("control", config), planted, fold)
    assert np.isfinite(scored.test.ever).any()
    assert scored.test.by_type.shape == (len(scored.test.ever), 4)
    assert scored.steps["f1"] is not None
