from dataclasses import replace

import numpy as np
import pytest
import torch

from salus_ros.core.errors import ConfigError
from salus_ros.prediction.config import PRESETS, TrainingConfig
from salus_ros.prediction.models import build_model, parameter_count, run_sequences

SMALL = {
    "mlp": TrainingConfig(hidden=(8, 8)),
    "tcn": TrainingConfig(model="tcn", hidden=(8,) * 3),
    "gru": TrainingConfig(model="gru", hidden=(8,)),
}


@pytest.fixture(params=SMALL)
def model(request):
    torch.manual_seed(0)
    return build_model(SMALL[request.param], 5, 3).eval()


def test_the_proof_of_concepts_networks_have_their_sizes():
    assert parameter_count(build_model(PRESETS["mlp"], 12, 16)) == 35_728
    large = build_model(PRESETS["mlp-large"], 12, 16)
    assert [linear.out_features for linear in large.linears] == [128, 256, 256, 128, 64]


def test_no_step_depends_on_a_later_one(model):
    features = torch.randn(1, 30, 5)
    changed = features.clone()
    changed[:, 20:] += 1
    with torch.no_grad():
        before, after = model(features), model(changed)
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.equal(before[:, 20:], after[:, 20:])


def test_a_tcn_reaches_as_far_back_as_it_says():
    model = build_model(SMALL["tcn"], 5, 3).eval()
    assert model.reach == 14  # 2 * (1 + 2 + 4)
    features = torch.randn(1, 40, 5)
    changed = features.clone()
    changed[:, 10] += 1
    with torch.no_grad():
        differs = (model(features) != model(changed)).any(dim=2)[0]
    assert differs[10 + model.reach]
    assert not differs[10 + model.reach + 1 :].any()


def test_sequences_of_any_length_are_answered_apart(model):
    lengths = (3, 1, 17, 9)
    features = torch.randn(sum(lengths), 5)
    with torch.no_grad():
        together = run_sequences(model, features, lengths)
        alone = [model(part[None])[0] for part in torch.split(features, list(lengths))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "hidden", "said"),
    [("tcn", (8, 16), "layers of one width"), ("gru", (8, 8), "a gru has one layer")],
)
def test_widths_that_do_not_suit_are_refused(kind, hidden, said):
    with pytest.raises(ConfigError, match=said):
        build_model(replace(SMALL[kind], hidden=hidden), 5, 3)


def test_dropout_is_for_training_only():
    model = build_model(replace(SMALL["tcn"], dropout=0.5), 5, 3)
    features = torch.from_numpy(np.ones((1, 10, 5), np.float32))
    with torch.no_grad():
        assert not torch.equal(model.train()(features), model(features))
        assert torch.equal(model.eval()(features), model(features))
