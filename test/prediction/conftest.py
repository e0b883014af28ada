"""One small training for all tests of the room."""

import pytest
from synthetic_episodes import make_store

from salus_ros.core.failures import FailureType
from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.dataset import load_samples
from salus_ros.prediction.training import train_predictor

KINDS = (FailureType.NONE, FailureType.DROP, FailureType.COLLISION, FailureType.TIMEOUT)


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store") / "a.zarr", KINDS * 8)


@pytest.fixture(scope="session")
def samples(store):
    return load_samples([store])


@pytest.fixture(scope="session")
def trained(samples, tmp_path_factory):
    """Folder and results of a training on four kinds of endings."""
    out = tmp_path_factory.mktemp("trained")
    return out, train_predictor(samples, out, TrainingConfig(epochs=30))
