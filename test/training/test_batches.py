from dataclasses import replace

import numpy as np
import pytest
import torch

from salus_ros.prediction.config import TrainingConfig
from salus_ros.training.batches import Batches

CPU = torch.device("cpu")
TCN = TrainingConfig(model="tcn", hidden=(8, 8), batch_size=100, eventual=True)
STEPWISE = TrainingConfig(hidden=(8,), batch_size=100)


def test_a_pass_draws_every_usable_step_once(parts):
    part = replace(parts[0], usable=np.arange(len(parts[0].usable)) % 7 != 0)
    for config in (TCN, STEPWISE):
        drawn = [
            batch["features"][batch["counted"]]
            for batch in Batches(part, CPU, config).draw(config)
        ]
        rows = torch.cat(drawn)[:, 1].sort().values
        np.testing.assert_array_equal(rows, np.sort(part.features[part.usable, 1]))
        assert len(drawn) > 2


def test_oversampling_draws_what_fails_oftener(parts):
    data = Batches(parts[0], CPU, TCN)
    torch.manual_seed(0)

    def share(config):
        drawn = [
            float(batch["targets"][..., 0].amax(dim=1).sum())
            for _ in range(40)
            for batch in data.draw(config)
        ]
        return sum(drawn) / (40 * 12)

    assert share(TCN) == pytest.approx(0.5)
    assert share(replace(TCN, oversample=4.0)) == pytest.approx(0.8, abs=0.05)


def test_jitter_moves_the_signals_within_the_episode(parts):
    part = replace(parts[0], features=np.arange(len(parts[0].features))[:, None] * np.ones((1, 5)))
    data = Batches(part, CPU, TCN)
    config = replace(TCN, jitter_steps=3)
    starts = np.cumsum(part.lengths) - part.lengths
    moved = set()
    for batch in data.draw(config):
        for features, counted in zip(batch["features"], batch["counted"], strict=True):
            rows = features[counted, 0].numpy().astype(int)
            episode = np.searchsorted(starts, rows[len(rows) // 2], side="right") - 1
            length = part.lengths[episode]
            assert len(rows) == length
            place = rows - starts[episode]
            assert ((place >= 0) & (place < length)).all()
            moved.add(int(place[length // 2] - length // 2))
            assert batch["targets"].shape[2] == 18
    assert moved <= set(range(-3, 4))
    assert len(moved) > 2


def test_inputs_go_missing_for_whole_episodes_each_by_itself(parts):
    features = np.ones((len(parts[0].features), 6), np.float32)
    part = replace(parts[0], features=features, optional=(slice(1, 3), slice(3, 6)))
    data = Batches(part, CPU, TCN)
    torch.manual_seed(0)
    config = replace(TCN, input_dropout=0.3)
    shares, together = [], []
    for _ in range(60):
        for batch in data.draw(config):
            given = batch["features"]
            assert (given[..., 0] == 1).all()  # the signals stay
            assert (given == given[:, :1]).all()  # from the first step to the last
            first = given[:, 0]
            assert (first[:, 1] == first[:, 2]).all()
            assert (first[:, 3:].amax(dim=1) == first[:, 3:].amin(dim=1)).all()
            shares.append(1 - first[:, [1, 3]].numpy())
            together.append((1 - first[:, 1]) * (1 - first[:, 3]))
    assert np.concatenate(shares).mean(axis=0) == pytest.approx(0.3, abs=0.06)
    assert torch.cat(together).mean() == pytest.approx(0.09, abs=0.04)
    assert (data.features == 1).all()  # what is drawn from is left alone
