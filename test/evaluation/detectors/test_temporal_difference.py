import numpy as np
import pytest
from synthetic_episodes import make_episode, make_samples

from salus_ros.core.failures import FailureType
from salus_ros.episodes import StoreSpec
from salus_ros.evaluation.detectors.readings import Reading
from salus_ros.evaluation.detectors.temporal_difference import TemporalDifferenceProbe

SPEC = StoreSpec(state_dim=1, action_dim=1, embedding_dim=2)
LENGTH, TURN = 9, 5


@pytest.fixture(scope="module")
def forked():
    """Two of three episodes fail; from step 5 on they show it, before all look alike."""
    episodes = []
    for number in range(90):
        kind = FailureType.DROP if number % 3 else FailureType.NONE
        episode = make_episode(str(number), LENGTH, kind, SPEC, number)
        episode.embedding[:] = 0
        episode.embedding[TURN:, 0] = 1 if number % 3 else -1
        episode.embedding[:, 1] = np.arange(LENGTH)
        episode.signals_fresh[:] = True
        episodes.append(episode)
    return make_samples(episodes, SPEC)


def test_it_learns_the_chance_to_fail_from_here_on(forked):
    probe = TemporalDifferenceProbe(
        "tdqc", Reading("embedding"), hidden=16, epochs=250, learning_rate=1e-2, patience=250
    )
    probe.fit(forked, range(60), range(60, 90), seed=0)
    score = probe.score(forked.subset(range(60, 90))).reshape(30, LENGTH)
    assert score[:, :TURN] == pytest.approx(2 / 3, abs=0.1)
    bad = np.arange(60, 90) % 3 > 0
    assert (score[bad, -2:] > 0.9).all()
    assert (score[~bad, -2:] < 0.1).all()


def test_the_target_of_a_replan_is_the_value_of_the_next_and_of_the_last_the_outcome(forked):
    probe = TemporalDifferenceProbe("tdqc", Reading("embedding"), hidden=4, epochs=1)
    probe.fit(forked, range(60), range(60, 90), seed=0)
    for place, outcome in ((60, 0.0), (61, 1.0)):
        q = probe.score(forked.subset([place]))
        expected = np.mean((q - np.append(q[1:], outcome)) ** 2)
        probe._frozen = None
        loss = probe._loss(probe._sequences(forked, [place]))
        assert loss.item() == pytest.approx(expected, rel=1e-4)
        brier = probe._check_loss(probe._sequences(forked, [place]))
        assert brier.item() == pytest.approx(np.mean((q - outcome) ** 2), rel=1e-4)
