import numpy as np
import pytest

from salus_ros.evaluation.detectors import comparison
from salus_ros.evaluation.detectors.comparison import alarm_figures, rank_all
from salus_ros.evaluation.episode_metrics import (
    Episodes,
    Ranking,
    draw_episodes,
    draw_folds,
    percentile_interval,
)

FOLDS = [np.arange(start, start + 30) % 40 for start in range(0, 40, 8)]
"""Five test parts of 40 episodes that overlap, as those of ActProbe's protocol do."""


def one_step_episodes(failed):
    """Episodes of one step, which fail right after it, or not."""
    return Episodes(
        length=np.ones(len(failed), np.int64),
        failed=failed,
        failure_step=np.where(failed, 1, -1),
        failure_type=failed.astype(np.int64),
        task=np.zeros(len(failed), np.int64),
        rate_hz=np.ones(len(failed)),
        time_limit=np.ones(len(failed), np.int64),
    )


FAILED = np.arange(40) % 2 == 0
EPISODES = [one_step_episodes(FAILED[fold]) for fold in FOLDS]
KEYS = [[str(place) for place in fold] for fold in FOLDS]


def mean_replicates(score, drawn):
    """Replicates of the AUROC's mean over the folds, and its value."""
    rankings = [
        Ranking(score[fold], some, within=False)
        for fold, some in zip(FOLDS, EPISODES, strict=True)
    ]
    made = [one.replicates(times) for one, times in zip(rankings, drawn, strict=True)]
    return np.mean(made, axis=0), np.mean([one.auroc for one in rankings])


def test_one_draw_for_all_folds_tells_how_much_their_mean_varies():
    """From one set of episodes to another the mean varies as one draw says; others say less."""
    rng = np.random.default_rng(0)
    together = draw_folds(KEYS, EPISODES)
    apart = [draw_episodes(one.failed, seed) for seed, one in enumerate(EPISODES)]
    values, said, said_apart = [], [], []
    for _ in range(300):
        score = FAILED + rng.normal(size=40)
        replicates, value = mean_replicates(score, together)
        values.append(value)
        said.append(replicates.std())
        said_apart.append(mean_replicates(score, apart)[0].std())
    assert np.mean(said) == pytest.approx(np.std(values), rel=0.15)
    assert np.mean(said_apart) < 0.7 * np.std(values)


def test_the_interval_of_a_detector_is_that_of_the_one_draw(monkeypatch):
    monkeypatch.setattr(comparison, "CUTS", ("full",))
    score = FAILED + np.random.default_rng(1).normal(size=40)
    drawn = draw_folds(KEYS, EPISODES)
    found = rank_all({"it": [score[fold] for fold in FOLDS]}, EPISODES, drawn, None)["it"]["full"]
    replicates, value = mean_replicates(score, drawn)
    assert found["auroc_pooled"] == pytest.approx(value)
    assert found["auroc_pooled_interval"] == pytest.approx(percentile_interval(replicates))


def test_an_episode_is_drawn_alike_in_every_fold_and_with_its_repeats():
    keys = [["a", "b", "c"], ["c", "a", "d", "a"]]
    episodes = [
        one_step_episodes(np.array(e)) for e in ([True, False, False], [False, True, True, True])
    ]
    first, second = draw_folds(keys, episodes)
    np.testing.assert_array_equal(first[:, 2], second[:, 0])
    np.testing.assert_array_equal(first[:, 0], second[:, 1])
    np.testing.assert_array_equal(second[:, 1], second[:, 3])
    assert (first[:, 0] + second[:, 2] == 2).all()  # two different failures, drawn twice in all


def test_false_alarms_of_one_episode_in_many_folds_count_it_once():
    episodes = [one_step_episodes(np.array([False, True]))] * 5
    scores = [np.array([1.0, 1.0])] * 5
    once = alarm_figures(scores[:1], episodes[:1], [0.5], 1)
    often = alarm_figures(scores, episodes, [0.5] * 5, 1)
    assert often["false_alarm_interval"] == once["false_alarm_interval"]
    assert often["false_alarm_share"] == 1.0
