"""A tiny SmolVLA with random weights, of LeRobot's own classes."""

import numpy as np
import pytest
import torch

from salus_ros.policies.tiny.build import TINY, build_policy, save_policy


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy") / "random_smolvla"
    torch.manual_seed(0)
    save_policy(build_policy(folder, TINY), folder, None)
    return folder


@pytest.fixture
def observation():
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (256, 256, 3), dtype=np.uint8) for name in TINY.cameras}
    return images, rng.standard_normal(7).astype(np.float32)
