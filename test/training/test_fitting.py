from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name

from salus_ros.core.errors import ConfigError
from salus_ros.prediction.config import TrainingConfig
from salus_ros.training.fitting import STATE_NAME, Part, _Data, _loss, fit_model

CPU = torch.device("cpu")
TCN = TrainingConfig(model="tcn", hidden=(8, 8), epochs=6, batch_size=100, eventual=True)


class KilledError(Exception):
    """As by `kill -9`, but for the test."""


def make_part(episodes=12, seed=0):
    """Features whose first column announces the first type, and that every second fails."""
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
    return Part(features, labels, np.ones(len(features), np.bool_), lengths, failed)


@pytest.fixture(scope="module")
def parts():
    return make_part(), make_part(8, 1)


def fit(parts, config, **options):
    return fit_model(*parts, config, CPU, **options)


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


def test_oversampling_draws_what_fails_oftener(parts):
    data = _Data(parts[0], CPU, TCN)
    torch.manual_seed(0)

    def share(config):
        drawn = [
            float(targets[..., 0].amax(dim=1).sum())
            for _ in range(40)
            for _, targets, _ in data.draw(config)
        ]
        return sum(drawn) / (40 * 12)

    assert share(TCN) == pytest.approx(0.5)
    assert share(replace(TCN, oversample=4.0)) == pytest.approx(0.8, abs=0.05)


def test_jitter_moves_the_signals_within_the_episode(parts):
    part = replace(parts[0], features=np.arange(len(parts[0].features))[:, None] * np.ones((1, 5)))
    data = _Data(part, CPU, TCN)
    config = replace(TCN, jitter_steps=3)
    starts = np.cumsum(part.lengths) - part.lengths
    moved = set()
    for features, targets, counted in data.draw(config):
        for row in range(len(features)):
            rows = features[row, counted[row], 0].numpy().astype(int)
            episode = np.searchsorted(starts, rows[len(rows) // 2], side="right") - 1
            length = part.lengths[episode]
            assert len(rows) == length
            place = rows - starts[episode]
            assert ((place >= 0) & (place < length)).all()
            moved.add(int(place[length // 2] - length // 2))
            assert targets.shape[2] == 17
    assert moved <= set(range(-3, 4))
    assert len(moved) > 2
