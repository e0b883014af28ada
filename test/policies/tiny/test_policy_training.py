"""From demonstrations to a policy folder that the runner loads; stopped and resumed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from salus_ros.collection.demonstrate import record
from salus_ros.core.errors import CheckpointError, StoreError
from salus_ros.policies.runner import PolicyRunner
from salus_ros.policies.tiny.build import (
    TINY,
    Architecture,
    build_policy,
    count_parameters,
    save_policy,
)
from salus_ros.policies.tiny.demonstrations import Demonstrations
from salus_ros.policies.tiny.training import (
    CHECKPOINT,
    Batches,
    PolicyTrainingConfig,
    normalisation,
    train,
)

CONFIG = PolicyTrainingConfig(iterations=4, batch_size=4, warmup=1, save_every=2)


@pytest.fixture(scope="module")
def demos():
    rng = np.random.default_rng(0)
    n = 30
    return Demonstrations(
        images=rng.integers(0, 256, (n, len(TINY.cameras), 64, 64, 3), dtype=np.uint8),
        state=rng.standard_normal((n, 7)).astype(np.float32),
        action=np.arange(n * 7, dtype=np.float32).reshape(n, 7),
        ends=np.array([12, 30]),
        tasks=("put the red cube in the bin",) * 2,
    )


def test_recorded_demonstrations_are_successes_that_repeat_from_their_seed(tmp_path):
    first, second = record(1, seed=0, size_px=64), record(1, seed=0, size_px=64)
    assert first.images.shape[1:] == (3, 64, 64, 3)
    assert len(first.images) == len(first.state) == len(first.action) == first.ends[-1] > 40
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.action, second.action)
    first.save(tmp_path / "demos.npz")
    loaded = Demonstrations.load(tmp_path / "demos.npz")
    np.testing.assert_array_equal(loaded.state, first.state)
    assert loaded.tasks == first.tasks


def test_a_file_that_holds_no_demonstrations_is_refused(tmp_path):
    path = tmp_path / "demos.npz"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(StoreError, match="salus policy demonstrate"):
        Demonstrations.load(path)


def test_a_chunk_ends_with_its_episode_and_the_rest_is_marked(demos):
    batches = Batches(demos, replace(CONFIG, batch_size=64), chunk=16)
    batch = batches.draw(torch.Generator().manual_seed(0))
    first = (batch["action"][:, 0, 0] / 7).round().long()  # index of the step drawn
    end = torch.where(first < 12, 12, 30)
    valid = (~batch["action_is_pad"]).sum(dim=1)
    torch.testing.assert_close(valid, torch.minimum(end - first, torch.tensor(16)))
    last = batch["action"][torch.arange(64), valid - 1, 0]
    expected = 7.0 * (first + valid - 1)
    torch.testing.assert_close(last, expected)


def test_normalisation_leaves_a_constant_dimension_alone(demos):
    still = replace(demos, state=demos.state * np.array([0, 1, 1, 1, 1, 1, 1], np.float32))
    assert normalisation(still)["observation.state"]["std"][0] == 1.0


@pytest.mark.filterwarnings("ignore")
def test_training_stopped_and_resumed_ends_where_a_whole_one_does(demos, tmp_path):
    train(demos, tmp_path / "whole", CONFIG)
    reached = []

    def stop_at_3(iteration, _loss):
        reached.append(iteration)
        if iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(demos, tmp_path / "parts", CONFIG, progress=stop_at_3)
    train(demos, tmp_path / "parts", CONFIG, progress=lambda i, _: reached.append(i))
    assert reached == [1, 2, 3, 3, 4]
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    parts = load_file(tmp_path / "parts" / "model.safetensors")
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, parts[name], atol=1e-6, rtol=1e-5)
    runner = PolicyRunner(tmp_path / "whole", num_samples=1)
    images = {name: np.zeros((256, 256, 3), np.uint8) for name in TINY.cameras}
    action = runner.step(images, np.zeros(7, np.float32), demos.tasks[0], 0).action
    assert action.shape == (7,)
    # The untrained policy's actions are near the demonstrations' mean, in their units.
    assert abs(float(action.mean()) - float(demos.action.mean())) < 3 * float(demos.action.std())


@pytest.mark.filterwarnings("ignore")
def test_training_may_begin_with_the_weights_of_another_policy(demos, tmp_path):
    train(demos, tmp_path / "first", CONFIG)
    still = replace(CONFIG, learning_rate=0.0, weight_decay=0.0)
    train(demos, tmp_path / "second", still, init=tmp_path / "first")
    first = load_file(tmp_path / "first" / "model.safetensors")
    second = load_file(tmp_path / "second" / "model.safetensors")
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name])


def test_weights_of_another_architecture_are_refused(demos, tmp_path):
    arch = replace(TINY, text_layers=2, vlm_layers_used=2)
    save_policy(build_policy(tmp_path / "other", arch), tmp_path / "other", None)
    with pytest.raises(CheckpointError, match=r"not a tiny SmolVLA .*layers"):
        train(demos, tmp_path / "out", CONFIG, init=tmp_path / "other")


def test_a_damaged_training_state_is_refused(demos, tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="give another --out"):
        train(demos, tmp_path, CONFIG)


def test_the_shipped_architecture_is_tiny(tmp_path):
    policy = build_policy(tmp_path, TINY)
    assert isinstance(TINY, Architecture)
    assert count_parameters(policy) < 4_000_000
