from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name

from salus_ros.core.errors import ConfigError
from salus_ros.prediction.config import TrainingConfig
from salus_ros.training.acceleration import acceleration
from salus_ros.training.fitting import STATE_NAME, _loss, fit_model

CPU = torch.device("cpu")
TCN = TrainingConfig(model="tcn", hidden=(8, 8), epochs=6, batch_size=100, eventual=True)


class KilledError(Exception):
    """As by `kill -9`, but for the test."""


def fit(parts, config, **options):
    with acceleration("cpu") as accelerator:
        return fit_model(*parts, config, accelerator, **options)


@pytest.mark.parametrize(
    "config", [TCN, TrainingConfig(epochs=6, hidden=(8,))], ids=["tcn", "mlp"]
)
def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(parts, config, tmp_path):
    whole = fit(parts, config)

    def kill(record):
        if record.epoch == 3:
            raise KilledError

    with pytest.raises(KilledError):
        fit(parts, config, on_epoch=kill, state_folder=tmp_path, data_hash="a")
    done = []
    again = fit(parts, config, on_epoch=done.append, state_folder=tmp_path, data_hash="a")
    assert [record.epoch for record in done] == [4, 5, 6]
    assert again.history == whole.history
    assert again.epoch == whole.epoch
    for name, value in whole.state_dict.items():
        assert torch.equal(again.state_dict[name], value), name


def test_the_state_of_other_settings_or_data_is_left_alone(parts, tmp_path):
    fit(parts, TCN, state_folder=tmp_path, data_hash="a")
    for config, data_hash in ((TCN, "b"), (replace(TCN, seed=1), "a")):
        done = []
        fit(parts, config, on_epoch=done.append, state_folder=tmp_path, data_hash=data_hash)
        assert len(done) == 6


def test_a_state_that_is_none_is_refused(parts, tmp_path):
    (tmp_path / STATE_NAME).write_bytes(b"no")
    with pytest.raises(ConfigError, match=r"is not the state of a training.*delete it"):
        fit(parts, TCN, state_folder=tmp_path, data_hash="a")


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "focal"},
        {"oversample": 4.0},
        {"jitter_steps": 2},
        {"signal_noise": 0.2},
        {"schedule": "cosine"},
        {"schedule": "constant"},
        {"select_by": "loss"},
        {"precision": "mixed"},
        {"dropout": 0.5},
        {"model": "gru", "hidden": (8,)},
        {"model": "mlp", "eventual": False},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_every_setting_learns_what_is_announced(parts, changes):
    config = replace(TCN, epochs=12, learning_rate=1e-2, **changes)
    found = fit(parts, config)
    best = found.history[found.epoch - 1]
    assert best.validation_average_precision > 0.2  # the share of positive labels is 0.02
    again = fit(parts, config)
    assert again.history == found.history


def test_early_stopping_ends_before_the_last_epoch(parts):
    config = replace(TCN, epochs=60, early_stopping=3, select_by="loss", learning_rate=3e-2)
    found = fit(parts, config)
    assert len(found.history) == found.epoch + 3 < 60


def test_focal_loss_is_that_of_its_paper():
    logits, targets = torch.randn(7, 16), (torch.rand(7, 16) > 0.7).float()
    config = TrainingConfig(loss="focal", focal_gamma=2.0, pos_weight=3.0)
    p = torch.sigmoid(logits)
    right = torch.where(targets > 0.5, p, 1 - p)
    weight = torch.where(targets > 0.5, 3.0, 1.0)
    expected = (-weight * (1 - right) ** 2 * right.log()).mean(dim=1)
    torch.testing.assert_close(_loss(logits, targets, config), expected)
    plain = replace(config, focal_gamma=0.0)
    usual = F.binary_cross_entropy_with_logits(
        logits, targets, pos_weight=torch.tensor(3.0), reduction="none"
    )
    torch.testing.assert_close(_loss(logits, targets, plain), usual.mean(dim=1))


@pytest.mark.parametrize(
    "config", [TCN, TrainingConfig(epochs=6, hidden=(8,))], ids=["tcn", "mlp"]
)
def test_it_begins_with_weights_that_are_given(parts, config):
    known = fit(parts, config).state_dict
    still = replace(config, epochs=1, learning_rate=1e-12, seed=config.seed + 1, auxiliary=0.0)
    begun = fit(parts, still, start=known).state_dict
    for name, value in known.items():
        if value.is_floating_point() and "running" not in name:
            assert torch.allclose(begun[name], value, atol=1e-6), name


def test_weights_of_another_network_are_refused(parts):
    known = fit(parts, replace(TCN, epochs=1)).state_dict
    with pytest.raises(ConfigError, match=r"another network .*instead of"):
        fit(parts, replace(TCN, hidden=(4, 4)), start=known)
    with pytest.raises(ConfigError, match="another network"):
        fit(parts, TrainingConfig(hidden=(8,)), start=known)
