"""A small calibrated predictor for trials."""

import shutil

import pytest
from synthetic_episodes import LOW_DIM, make_episode, make_samples

from salus_ros.core.failures import FailureType
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.calibrate import calibrate


@pytest.fixture(scope="session")
def model(trained, tmp_path_factory):
    """Folder of a predictor that is calibrated for alpha 0.2 and not for 0.05."""
    folder = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(trained[0], folder)
    kinds = (FailureType.NONE, FailureType.TIMEOUT) * 12
    episodes = [make_episode(str(n), 50, kind, seed=5000 + n) for n, kind in enumerate(kinds)]
    calibrate(Predictor.load(folder), make_samples(episodes, LOW_DIM), 0.2).save(folder)
    return folder
