"""Fitting the weights of a predictor to episodes that are wholly in memory."""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from accelerate import Accelerator
from sklearn.metrics import average_precision_score, precision_recall_fscore_support
from torch import Tensor
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LRScheduler,
    ReduceLROnPlateau,
)

from salus_ros.core.errors import ConfigError
from salus_ros.core.schema import EPISODE_OUTPUTS
from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.models import FailureModel, build_model, run_sequences
from salus_ros.training.batches import Batches, Part

STATE_NAME = "training_state.pt"
"""Where a training that was stopped goes on; gone when it has ended."""


HEAD = ("head.weight", "head.bias")
"""Weights with a row for each output."""

MAX_NORM = 1.0
"""Gradients of a network with memory are scaled to at most this norm."""

EPISODE_WEIGHT = 0.1
"""Weight of each output about the whole episode in the loss: its cross-entropy is about ten times
the others'."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Figures of one epoch; None where validation is empty or cannot define them."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float | None
    validation_precision: float | None
    validation_recall: float | None
    validation_f1: float | None
    validation_average_precision: float | None


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """Best weights of a fit, and how it went."""

    state_dict: dict[str, Tensor]
    epoch: int
    selected_by: str
    history: tuple[EpochRecord, ...]
    interrupted: bool


def fit_model(
    train: Part,
    validation: Part,
    config: TrainingConfig,
    accelerator: Accelerator,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    state_folder: Path | None = None,
    data_hash: str = "",
    start: Mapping[str, Tensor] | None = None,
) -> FitResult:
    """Fit the weights.

    The best epoch has the best `config.select_by` of the validation part, of equals the one with
    the lower validation loss. Where validation has no positive label its loss decides; where it
    is empty, the training loss.

    Args:
        train: What to fit to.
        validation: What chooses the epoch; may be empty.
        config: Settings.
        accelerator: Where to train, see `acceleration`; several processes draw the same batches,
            each computes its share of one, and the gradients are averaged.
        on_epoch: Called after every epoch.
        state_folder: Where the state is kept after every epoch; a training with the same
            settings and data goes on from it.
        data_hash: What the data is known by.
        start: Weights to begin with; random ones by default.

    Raises:
        ConfigError: if the loss is NaN in every epoch, or `start` is of another network.
    """
    state = None if state_folder is None else state_folder / STATE_NAME
    device = accelerator.device
    outputs = math.prod(train.labels.shape[1:]) + config.eventual * len(EPISODE_OUTPUTS)
    data, check = Batches(train, device, config), Batches(validation, device, config)
    selected_by = _selection(config, validation)
    run = _Run(config, data_hash)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), _single_thread():
        torch.manual_seed(config.seed)
        asked = outputs + data.auxiliary.shape[1]
        model = build_model(config, train.features.shape[1], asked).to(device)
        if start is not None:
            _begin_with(model, start)
        learner = _Learner(model, config, accelerator)
        run.resume(state, learner)
        try:
            while not run.finished:
                epoch = len(run.history) + 1
                torch.manual_seed(config.seed * 1_000_003 + epoch)  # so that it may start here
                rate = learner.learning_rate
                train_loss = _train_epoch(learner, data)
                record = _validate(model, check, config, epoch, rate, train_loss)
                loss = train_loss if record.validation_loss is None else record.validation_loss
                learner.end_epoch(loss)
                run.take(record, loss, selected_by, model)
                if state is not None and accelerator.is_main_process:
                    run.save(state, learner)
                if on_epoch is not None:
                    on_epoch(record)
        except KeyboardInterrupt:
            if run.best_state is None:
                raise
            run.interrupted = True
    if run.best_state is None:
        raise ConfigError(
            "the loss was NaN in every epoch; lower the learning rate or check the signals"
        )
    best = {name: value.cpu() for name, value in run.best_state.items()}
    best |= {name: best[name][:outputs].clone() for name in HEAD}
    return FitResult(best, run.best_epoch, selected_by, tuple(run.history), run.interrupted)


def _begin_with(model: FailureModel, start: Mapping[str, Tensor]) -> None:
    """Take over weights; outputs that are only learnt in passing keep their random ones."""
    own = model.state_dict()
    different = sorted(own.keys() ^ start.keys())
    with torch.no_grad():
        for name, value in start.items() if not different else ():
            place = own[name][: len(value)] if name in HEAD else own[name]
            if place.shape != value.shape:
                different.append(f"{name}: {tuple(value.shape)} instead of {tuple(place.shape)}")
                continue
            place.copy_(value)
    if different:
        raise ConfigError(
            f"the weights to begin with are of another network ({'; '.join(different[:3])}); "
            "allowed are those of the same inputs, hidden state and joints: begin without them"
        )


def _selection(config: TrainingConfig, validation: Part) -> str:
    if not validation.usable.any():
        return "training loss: validation is empty"
    if not validation.labels[validation.usable].any():
        return "validation loss: validation has no positive label"
    names = {"f1": "F1", "average_precision": "average precision", "loss": "loss"}
    return f"validation {names[config.select_by]}"


class _Learner:
    """A model with its optimiser, on all processes, and the schedule of the learning rate."""

    def __init__(
        self, model: FailureModel, config: TrainingConfig, accelerator: Accelerator
    ) -> None:
        self.model, self.config, self.accelerator = model, config, accelerator
        self._adam = torch.optim.Adam(
            model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._scheduler = _scheduler(self._adam, config)
        self.shared, self._optimiser = accelerator.prepare(model, self._adam)

    @property
    def learning_rate(self) -> float:
        """Rate of the next steps."""
        return float(self._adam.param_groups[0]["lr"])

    def step(self, loss: Tensor) -> None:
        """Take one step down the gradient of a loss, averaged over all processes."""
        self._optimiser.zero_grad()
        self.accelerator.backward(loss)
        if self.config.sequential:
            self.accelerator.clip_grad_norm_(self.model.parameters(), MAX_NORM)
        self._optimiser.step()

    def end_epoch(self, loss: float) -> None:
        """Set the rate of the next epoch, given this one's validation loss."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(loss)
        else:
            self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimiser": self._adam, "scheduler": self._scheduler}


def _scheduler(adam: torch.optim.Adam, config: TrainingConfig) -> LRScheduler:
    if config.schedule == "plateau":
        return ReduceLROnPlateau(
            adam, factor=config.scheduler_factor, patience=config.scheduler_patience
        )
    if config.schedule == "cosine":
        return CosineAnnealingLR(adam, config.epochs)
    return ConstantLR(adam, factor=1.0)


class _Run:
    """How far a training is, and its best weights."""

    def __init__(self, config: TrainingConfig, data_hash: str) -> None:
        self._config, self._data_hash = config, data_hash
        self.history: list[EpochRecord] = []
        self.best_score = (-math.inf, -math.inf)
        self.best_epoch = 0
        self.best_state: dict[str, Tensor] | None = None
        self.interrupted = False

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or no better one is to be expected."""
        done, patience = len(self.history), self._config.early_stopping
        return done >= self._config.epochs or bool(patience and done - self.best_epoch >= patience)

    def take(
        self, record: EpochRecord, loss: float, selected_by: str, model: FailureModel
    ) -> None:
        """Note an epoch, and its weights if it is the best."""
        self.history.append(record)
        figure = {
            "validation F1": record.validation_f1,
            "validation average precision": record.validation_average_precision,
        }.get(selected_by)
        score = (figure or 0.0, -loss)
        if math.isfinite(loss) and score > self.best_score:
            self.best_score, self.best_epoch = score, record.epoch
            self.best_state = copy.deepcopy(model.state_dict())

    def save(self, path: Path, learner: _Learner) -> None:
        """Write all of it, at once or not at all."""
        content = {
            "known_by": self._known_by(),
            "learner": learner.state_dict(),
            "history": [dataclasses.asdict(record) for record in self.history],
            "best": [self.best_score, self.best_epoch, self.best_state],
        }
        partial = path.with_name(path.name + ".part")
        torch.save(content, partial)
        partial.replace(path)

    def resume(self, path: Path | None, learner: _Learner) -> None:
        """Go on from a file of the same settings and data; any other is left alone."""
        if path is None or not path.exists():
            return
        try:
            content: Mapping[str, Any] = torch.load(path, weights_only=True)
            if content["known_by"] != self._known_by():
                return
            learner.load_state_dict(content["learner"])
            self.history = [EpochRecord(**record) for record in content["history"]]
            self.best_score, self.best_epoch, self.best_state = content["best"]
        except Exception as error:  # pickle, zip and torch each raise their own kinds
            raise ConfigError(
                f"'{path}' is not the state of a training ({type(error).__name__}); delete it to "
                "start anew"
            ) from error

    def _known_by(self) -> str:
        return repr((self._config.to_dict(), self._data_hash))


@contextmanager
def _single_thread() -> Iterator[None]:
    """Keep torch to one thread: as fast at these sizes, and the same result on any machine.

    With a thread per core every small operation waits for the slowest, and a machine that does
    something else beside (a policy, a simulator) was seen to train ten times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _loss(logits: Tensor, targets: Tensor, config: TrainingConfig) -> Tensor:
    """Mean over horizons and types of the weighted (focal) cross-entropy: (..., O) -> (...).

    Focal loss: Lin et al. 2017 (arXiv 1708.02002), (1 - p_t)^gamma times the cross-entropy.
    Each output about the whole episode, the last ones, adds its plain cross-entropy, weighted.
    """
    of_episode = torch.zeros((), device=logits.device)
    if config.eventual:
        last = -len(EPISODE_OUTPUTS)
        plain = F.binary_cross_entropy_with_logits(
            logits[..., last:], targets[..., last:], reduction="none"
        )
        of_episode = EPISODE_WEIGHT * plain.sum(dim=-1)
        logits, targets = logits[..., :last], targets[..., :last]
    weight = torch.tensor(config.pos_weight, device=logits.device)
    loss = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight, reduction="none")
    if config.loss == "focal":
        wrong = torch.where(targets > 0.5, torch.sigmoid(-logits), torch.sigmoid(logits))
        loss = loss * wrong**config.focal_gamma
    return loss.mean(dim=-1) + of_episode


def _squared_error(told: Tensor, targets: Tensor) -> Tensor:
    """Mean over the targets that there are: (..., A) -> (...)."""
    there = torch.isfinite(targets)
    error = torch.where(there, told - torch.nan_to_num(targets), 0.0) ** 2
    return error.sum(dim=-1) / there.sum(dim=-1).clamp(min=1)


def _train_epoch(learner: _Learner, data: Batches) -> float:
    """One pass in a new random order; returns the mean loss per step."""
    learner.shared.train()
    total = torch.zeros(2, device=data.features.device)  # loss, steps
    for batch in data.draw(learner.config):
        with learner.accelerator.split_between_processes(batch) as mine:
            told = learner.shared(mine["features"])
            outputs = mine["targets"].shape[-1]
            losses = _loss(told[..., :outputs], mine["targets"], learner.config)
            if learner.config.auxiliary:
                second = _squared_error(told[..., outputs:], mine["auxiliary"])
                losses = losses + learner.config.auxiliary * second
            weights = mine["counted"].float()
        number = weights.sum()
        loss = (losses * weights).sum() / number.clamp(min=1.0)
        learner.step(loss)
        total += torch.stack((loss.detach() * number, number))
    summed = learner.accelerator.reduce(total)
    return float(summed[0] / summed[1])


@torch.no_grad()
def _validate(
    model: FailureModel,
    data: Batches,
    config: TrainingConfig,
    epoch: int,
    rate: float,
    train_loss: float,
) -> EpochRecord:
    if not data.usable.any():
        return EpochRecord(epoch, rate, train_loss, None, None, None, None, None)
    model.eval()
    logits = run_sequences(model, data.features, data.lengths)[data.usable]
    targets = data.targets[data.usable]
    logits = logits[:, : targets.shape[1]]
    labels = (data.horizons[data.usable] > 0.5).cpu().numpy()
    ranked = logits[:, : labels.shape[1]].float().cpu().numpy()
    decided = precision_recall_fscore_support(
        labels.ravel(), ranked.ravel() > 0, average="binary", zero_division=np.nan
    )
    area = math.nan
    if labels.any() and np.isfinite(ranked).all():
        area = average_precision_score(labels.ravel(), ranked.ravel())
    known = [None if np.isnan(value) else float(value) for value in (*decided[:3], area)]
    loss = float(_loss(logits, targets, config).mean())
    return EpochRecord(epoch, rate, train_loss, loss, *known)
