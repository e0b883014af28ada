import torch
from torch import nn

from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.models import FailureMLP, parameter_count
from salus_ros.training.optimisation import ScheduledAdam


def test_takes_the_steps_that_torch_takes():
    config = TrainingConfig(scheduler_patience=1, weight_decay=1e-2, learning_rate=1e-2)
    torch.manual_seed(0)
    mine, theirs = FailureMLP(12, (8, 8), 16), FailureMLP(12, (8, 8), 16)
    theirs.load_state_dict(mine.state_dict())
    ours = ScheduledAdam(mine.parameters(), config)
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-2, weight_decay=1e-2)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, factor=0.5, patience=1)
    features, targets = torch.randn(32, 12), torch.rand(32, 16)
    rates = set()
    for epoch_loss in (1.0, 0.9, 0.89995, 0.95, 0.94, 0.8, 0.9, 0.9, 0.9):
        ours.step(nn.functional.mse_loss(mine(features), targets))
        adam.zero_grad()
        nn.functional.mse_loss(theirs(features), targets).backward()
        adam.step()
        ours.end_epoch(epoch_loss)
        plateau.step(epoch_loss)
        assert ours.learning_rate == adam.param_groups[0]["lr"]
        rates.add(ours.learning_rate)
    assert len(rates) == 3
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_predictor_has_as_many_parameters_as_the_proof_of_concept():
    model = FailureMLP(12, TrainingConfig().hidden, 16)
    assert parameter_count(model) == 35_728
    scale_and_shift = sum(parameter_count(norm) for norm in model.norms)
    assert scale_and_shift == 2 * (64 + 128 + 128 + 64)


def test_dropout_acts_in_training_only():
    model = FailureMLP(12, (64,), 16, dropout=0.5)
    features = torch.randn(4, 12)
    assert not torch.equal(model.train()(features), model(features))
    assert torch.equal(model.eval()(features), model(features))
