"""Step by step, on numpy's arrays and on torch's, a network says what it says of the sequence."""

import numpy as np
import pytest
import torch

from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.models import build_model
from salus_ros.prediction.steps import Library, make_steps

SMALL = {
    "mlp": TrainingConfig(hidden=(8, 8)),
    "tcn": TrainingConfig(model="tcn", hidden=(8,) * 3),
    "gru": TrainingConfig(model="gru", hidden=(8,)),
}
FEATURES = np.random.default_rng(0).normal(size=(2, 30, 5)).astype(np.float32)


class Torch(Library):
    """As on a device, on the CPU."""

    def __init__(self):
        self._device, self.xp = torch.device("cpu"), torch
        self._zero = torch.zeros(())


@pytest.fixture(params=SMALL)
def model(request):
    torch.manual_seed(0)
    made = build_model(SMALL[request.param], 5, 3).eval()
    with torch.no_grad():  # norms that scale and shift, biases that count
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def answers(model, library, features=FEATURES):
    steps = make_steps(model, library)
    memory, said = steps.start(len(features)), []
    for step in range(features.shape[1]):
        outputs, memory = steps.advance(library.given(features[:, step]), memory)
        said.append(library.told(outputs))
    return np.stack(said, axis=1)


@pytest.mark.parametrize(
    "library", [Library(torch.device("cpu")), Torch()], ids=["numpy", "torch"]
)
def test_step_by_step_is_the_whole_sequence(model, library):
    with torch.no_grad():
        whole = model(torch.from_numpy(FEATURES)).numpy()
    said = answers(model, library)
    assert said.dtype == np.float32
    np.testing.assert_allclose(said, whole, atol=2e-6, rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_device_says_what_a_cpu_says(model):
    here = answers(model, Library(torch.device("cpu")))
    there = answers(model.cuda(), Library(torch.device("cuda")))
    np.testing.assert_allclose(there, here, atol=1e-4)


def test_what_is_not_a_number_is_not_taken_for_safe(model):
    features = FEATURES.copy()
    features[0, 3, 2] = np.nan
    said = answers(model, Library(torch.device("cpu")), features)
    assert np.isnan(said[0, 3]).all()
    assert np.isfinite(said[1]).all()


def test_the_arrays_are_the_parameters_themselves(model):
    steps, library = make_steps(model, Library(torch.device("cpu"))), Library(torch.device("cpu"))
    memory = steps.start(2)
    before, _ = steps.advance(library.given(FEATURES[:, 0]), memory)
    with torch.no_grad():
        model.head.bias.add_(1.0)
    after, _ = steps.advance(library.given(FEATURES[:, 0]), memory)
    np.testing.assert_allclose(after - before, 1.0, rtol=1e-5)
