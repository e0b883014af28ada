"""Episodes and one small training, for the tests of prediction, training and evaluation."""

import numpy as np
import pytest
from synthetic_episodes import make_episode, make_samples, make_store

from salus_ros.core.failures import FailureType
from salus_ros.episodes import StoreSpec
from salus_ros.policies.chunk_statistics import CHUNK_STATISTICS

KINDS = (FailureType.NONE, FailureType.DROP, FailureType.COLLISION, FailureType.TIMEOUT)


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store") / "a.zarr", KINDS * 8)


@pytest.fixture(scope="session")
def samples(store):
    from salus_ros.training.dataset import load_samples

    return load_samples([store])


@pytest.fixture(scope="session")
def trained(samples, tmp_path_factory):
    """Folder and results of a training on four kinds of endings."""
    from salus_ros.evaluation.predictor_evaluation import evaluate
    from salus_ros.prediction.config import TrainingConfig
    from salus_ros.training.train import train_predictor

    out = tmp_path_factory.mktemp("trained")
    return out, train_predictor(samples, out, evaluate, TrainingConfig(epochs=30))


PLANTED = StoreSpec(
    state_dim=7,
    action_dim=7,
    embedding_dim=6,
    expert_dim=4,
    chunk_statistics=CHUNK_STATISTICS,
    streams=("state", "signals"),
)


def planted_episode(number: int):
    """Every second episode fails; its signals, states, chunk statistics and action say so."""
    kind = (FailureType.NONE, FailureType.DROP)[number % 2]
    rng = np.random.default_rng(number)
    episode = make_episode(
        str(number),
        int(rng.integers(40, 70)),
        kind,
        PLANTED,
        number,
        task=f"task {number // 2 % 2}",
    )
    hold = np.arange(len(episode.action)) // 3 * 3  # as the policy does between its replans
    shift = 1.0 if kind else 0.0
    episode.embedding[:] = (episode.embedding + shift)[hold]
    episode.expert_embedding[:] = (episode.expert_embedding + shift)[hold]
    episode.action[:] += 5 * shift * (-1) ** np.arange(len(hold))[:, None]  # to and fro
    statistics = (0.3 * episode.chunk_statistics + 2 + shift)[hold]
    statistics[:3, :2] = np.nan  # no previous replan
    episode.chunk_statistics[:] = statistics
    episode.signals[:, 5] -= 2 * shift
    episode.signals[:] = episode.signals[hold]
    episode.signals_valid[:] = episode.signals_valid[hold]
    return episode


@pytest.fixture(scope="session")
def planted():
    """80 episodes of two tasks."""
    return make_samples([planted_episode(number) for number in range(80)], PLANTED)


def make_part(episodes=12, seed=0):
    """Features whose first column announces the first type; every second fails, half by time."""
    rng = np.random.default_rng(seed)
    lengths = tuple(rng.integers(20, 40, episodes).tolist())
    features = rng.normal(size=(sum(lengths), 5)).astype(np.float32)
    labels = np.zeros((sum(lengths), 4, 4), np.bool_)
    failed = np.arange(episodes) % 2 == 1
    for end, bad in zip(np.cumsum(lengths), failed, strict=True):
        if bad:
            for h, steps in enumerate((6, 9, 12, 15)):
                labels[end - steps : end, h, 0] = True
            features[end - 20 : end, 0] += 3
    from salus_ros.training.batches import Part

    endings = np.column_stack((failed, failed & (np.arange(episodes) % 4 == 1)))
    return Part(features, labels, np.ones(len(features), np.bool_), lengths, endings)


@pytest.fixture(scope="session")
def parts():
    """To train on, and to validate."""
    return make_part(), make_part(8, 1)
