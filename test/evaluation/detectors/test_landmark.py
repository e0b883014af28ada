from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import make_episode, make_samples

from salus_ros.core.failures import FailureType
from salus_ros.episodes import StoreSpec
from salus_ros.evaluation.detectors.detector import early_auroc
from salus_ros.evaluation.detectors.landmark import (
    CLIP,
    OFFSET,
    PRIOR_SCALE,
    RAMP,
    STATISTICS,
    Blend,
    Landmark,
)

SPEC = StoreSpec(state_dim=1, action_dim=1, chunk_statistics=STATISTICS)
LIMIT = 16


def recording(number, *, bad, task, error, length=LIMIT, every=1):
    kind = FailureType.DROP if bad else FailureType.NONE
    episode = make_episode(str(number), length, kind, SPEC, number, task=task)
    episode.chunk_statistics[:, 0] = error
    episode.chunk_statistics[:, 1] = 1
    episode.signals_fresh[:] = np.arange(length) % every == 0
    return episode


def samples_of(episodes):
    return replace(make_samples(episodes, SPEC), time_limit=LIMIT)


@pytest.fixture(scope="module")
def tasks():
    """Task b fails more often and is jittery by itself; within either the jittery ones fail."""
    rng = np.random.default_rng(0)
    episodes = []
    for number in range(80):
        task = "ab"[number % 2]
        bad = rng.random() < (0.25 if task == "a" else 0.75)
        noise = rng.lognormal(0, 0.3, LIMIT)
        error = 0.1 * (4 if task == "b" else 1) * (2 if bad else 1) * noise
        episodes.append(recording(number, bad=bad, task=task, error=error))
    return samples_of(episodes)


def fitted(detector, samples, places=range(60)):
    detector.fit(samples, places, places[:10], seed=0)
    return detector


def test_what_is_read_is_the_mean_so_far_of_the_logarithm():
    error = np.full(LIMIT, np.nan)
    error[2:5] = [0.1, 0.3, 0.2]
    one = samples_of([recording(0, bad=False, task="a", error=error, every=2)])
    detector = Landmark()
    detector._reads_speed = False
    replans, means = detector._means(one)
    assert replans.rows.tolist() == list(range(0, LIMIT, 2))
    assert np.isnan(means[0, 0])
    expected = np.log(0.1 + OFFSET), (np.log(0.1 + OFFSET) + np.log(0.2 + OFFSET)) / 2
    assert means[1:4, 0] == pytest.approx([expected[0], expected[1], expected[1]])
    assert means[:, 1] == pytest.approx(np.log(1 + OFFSET), rel=1e-3)


def test_each_age_is_standardised_by_the_episodes_that_still_run():
    """A longer episode is no outlier for being the only one that goes on to rise."""
    rng = np.random.default_rng(1)
    episodes = [
        recording(n, bad=n % 2 == 0, task="a", error=0.1 * rng.lognormal(0, 0.1), length=length)
        for n, length in enumerate([6] * 20 + [LIMIT] * 20)
    ]
    samples = samples_of(episodes)
    detector = fitted(Landmark(), samples, range(40))
    means = np.log(samples.chunk_statistics[:, 0] + OFFSET)
    late = means[samples.step == 10]
    assert len(late) == 20
    assert detector._centre[10, 0] == pytest.approx(late.mean(), rel=1e-5)
    assert detector._scale[10, 0] == pytest.approx(1 / late.std(), rel=1e-4)
    assert detector._centre[3, 0] == pytest.approx(means[samples.step == 3].mean(), rel=1e-5)
    scaled = detector._standardised(np.array([[100.0, np.nan]]), np.array([99]))
    assert scaled.tolist() == [[CLIP, 0.0]]  # later than any training episode: as the last age


def test_a_task_is_measured_by_its_own_mean_and_share_of_failures_and_a_new_one_by_none(tasks):
    detector = fitted(Landmark(), tasks)
    part = tasks.subset(range(60))
    bad = np.array([record.meta.ending != "success" for record in part.records])
    of_b = np.array([record.meta.task == "b" for record in part.records])
    share = (bad[of_b].sum() + 2 * bad.mean()) / (of_b.sum() + 2)
    logits = np.log(share / (1 - share)) - np.log(bad.mean() / (1 - bad.mean()))
    step = np.zeros(1, int)
    known = detector._inputs(np.zeros((1, 2)), step, np.array(["b"]))
    assert known[0, -1] == pytest.approx(PRIOR_SCALE * logits)
    _, means = detector._means(part)
    scaled = detector._standardised(means, part.step)[part.step == 0]
    assert known[0, 0] == pytest.approx(-scaled[of_b, 0].sum() / (of_b.sum() + 5))
    assert known[0, 0] < 0  # b is jittery by itself
    assert not detector._inputs(np.zeros((1, 2)), step, np.array(["new"])).any()


def test_within_a_task_the_jittery_ones_are_told_where_the_statistic_alone_says_the_task(tasks):
    test = tasks.subset(range(60, 80))
    of_a = [n for n, record in enumerate(test.records) if record.meta.task == "a"]
    for places in (range(20), of_a):
        part = test.subset(places)
        assert early_auroc(fitted(Landmark(), tasks).score(part), part) > 0.9


def test_ages_at_which_one_kind_runs_alone_have_no_weights_and_none_at_all_no_score():
    episodes = [
        recording(n, bad=n % 2 == 0, task="a", error=0.1 + n % 2, length=LIMIT if n % 2 else 5)
        for n in range(40)
    ]
    detector = fitted(Landmark(), samples_of(episodes), range(40))
    assert detector._ages == [0, 1, 2, 3]
    calm = samples_of([recording(n, bad=False, task="a", error=0.1) for n in range(20)])
    assert np.isnan(fitted(Landmark(), calm, range(20)).score(calm)).all()


def test_the_blend_is_the_mean_of_both_standardised_and_rises_over_the_quarter(tasks):
    blend = fitted(Blend(), tasks)
    part = tasks.subset(range(60, 70))
    probe, regression = (one.score(part) for one in blend._parts)
    logits = np.column_stack((np.log(probe / (1 - probe)), regression))
    learnt = tasks.subset(range(60))
    early = learnt.step < LIMIT / 4
    taught = [one.score(learnt)[early] for one in blend._parts]
    taught[0] = np.log(taught[0] / (1 - taught[0]))
    both = (logits - np.mean(taught, axis=1)) / np.std(taught, axis=1)
    ramp = RAMP * np.minimum(part.step / 4, 1)
    assert blend.score(part) == pytest.approx(both.mean(axis=1) + ramp, rel=1e-4)


def test_the_speed_of_the_arm_is_read_where_it_is_logged(tasks):
    rng = np.random.default_rng(2)
    bad = np.array([record.meta.ending != "success" for record in tasks.records])
    speed = (rng.normal(size=len(tasks.step)) - 3 * bad[tasks.episode]).astype(np.float32)
    blind = tasks.chunk_statistics.copy()
    blind[:, 0] = 0.1
    logged = replace(
        tasks,
        signals=speed[:, None],
        valid=np.ones((len(speed), 1), bool),
        signal_names=("eef_speed_3d",),
        chunk_statistics=blind,
    )
    test = logged.subset(range(60, 80))
    assert early_auroc(fitted(Landmark(speed=True), logged).score(test), test) > 0.9
    assert fitted(Landmark(speed=True), tasks).score(tasks) == pytest.approx(
        fitted(Landmark(), tasks).score(tasks)
    )
