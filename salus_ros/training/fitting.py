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
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_fscore_support
from torch import Tensor

from salus_ros.core.errors import ConfigError
from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.models import FailureModel, build_model, run_sequences
from salus_ros.training.distributed import rank_and_size, share
from salus_ros.training.optimisation import ScheduledAdam

STATE_NAME = "training_state.pt"
"""Where a training that was stopped goes on; gone when it has ended."""


EVENTUAL_WEIGHT = 0.1
"""Weight of the eventual failure in the loss: its cross-entropy is about ten times the others'."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Episodes one after the other, N steps in all.

    features: float32 (N, F); labels: bool (N, H, K); usable: bool (N,), the steps that count;
    lengths: steps of each episode; failed: bool (E,), whether it failed in the end.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    lengths: tuple[int, ...]
    failed: NDArray[np.bool_]


def fit_model(
    train: Part,
    validation: Part,
    config: TrainingConfig,
    device: torch.device,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    state_folder: Path | None = None,
    data_hash: str = "",
) -> FitResult:
    """Fit the weights.

    The best epoch has the best `config.select_by` of the validation part, of equals the one with
    the lower validation loss. Where validation has no positive label its loss decides; where it
    is empty, the training loss.

    Args:
        train: What to fit to.
        validation: What chooses the epoch; may be empty.
        config: Settings.
        device: Where to train.
        on_epoch: Called after every epoch.
        state_folder: Where the state is kept after every epoch; a training with the same
            settings and data goes on from it.
        data_hash: What the data is known by.

    Raises:
        ConfigError: if the loss is NaN in every epoch.
    """
    state = None if state_folder is None else state_folder / STATE_NAME
    outputs = math.prod(train.labels.shape[1:]) + config.eventual
    data, check = _Data(train, device, config), _Data(validation, device, config)
    selected_by = _selection(config, validation)
    run = _Run(config, data_hash)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), _single_thread():
        torch.manual_seed(config.seed)
        model = build_model(config, train.features.shape[1], outputs).to(device)
        optimiser = ScheduledAdam(model.parameters(), config)
        run.resume(state, model, optimiser)
        try:
            while not run.finished:
                epoch = len(run.history) + 1
                torch.manual_seed(config.seed * 1_000_003 + epoch)  # so that it may start here
                rate = optimiser.learning_rate
                train_loss = _train_epoch(model, optimiser, data, config)
                record = _validate(model, check, config, epoch, rate, train_loss)
                loss = train_loss if record.validation_loss is None else record.validation_loss
                optimiser.end_epoch(loss)
                run.take(record, loss, selected_by, model)
                if state is not None:
                    run.save(state, model, optimiser)
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
    return FitResult(best, run.best_epoch, selected_by, tuple(run.history), run.interrupted)


def _selection(config: TrainingConfig, validation: Part) -> str:
    if not validation.usable.any():
        return "training loss: validation is empty"
    if not validation.labels[validation.usable].any():
        return "validation loss: validation has no positive label"
    names = {"f1": "F1", "average_precision": "average precision", "loss": "loss"}
    return f"validation {names[config.select_by]}"


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

    def save(self, path: Path, model: FailureModel, optimiser: ScheduledAdam) -> None:
        """Write all of it, at once or not at all."""
        if rank_and_size()[0]:
            return
        content = {
            "known_by": self._known_by(),
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "history": [dataclasses.asdict(record) for record in self.history],
            "best": [self.best_score, self.best_epoch, self.best_state],
        }
        partial = path.with_name(path.name + ".part")
        torch.save(content, partial)
        partial.replace(path)

    def resume(self, path: Path | None, model: FailureModel, optimiser: ScheduledAdam) -> None:
        """Go on from a file of the same settings and data; any other is left alone."""
        if path is None or not path.exists():
            return
        try:
            content: Mapping[str, Any] = torch.load(path, weights_only=True)
            if content["known_by"] != self._known_by():
                return
            model.load_state_dict(content["model"])
            optimiser.load_state_dict(content["optimiser"])
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


class _Data:
    """A part as tensors on the device; batches are gathered from them."""

    def __init__(self, part: Part, device: torch.device, config: TrainingConfig) -> None:
        outputs = math.prod(part.labels.shape[1:])
        flat: NDArray[np.float32] = part.labels.reshape(len(part.labels), outputs).astype(
            np.float32
        )
        if config.eventual:
            failed = np.repeat(part.failed, part.lengths).astype(np.float32)
            flat = np.column_stack([flat, failed])
        self.features = torch.from_numpy(part.features).to(device)  # (N, F)
        self.targets = torch.from_numpy(flat).to(device)  # (N, outputs)
        self.horizons = self.targets[:, :outputs]
        self.usable = torch.from_numpy(part.usable).to(device)  # (N,)
        self.lengths = part.lengths
        lengths = torch.tensor(part.lengths, dtype=torch.int64, device=device)  # (E,)
        self.ends = lengths.cumsum(0)
        self.starts = self.ends - lengths
        self.episode = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths)

    def draw(self, config: TrainingConfig) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Batches of one pass: features, targets, and which steps count (None: all)."""
        if config.sequential:
            failing = torch.zeros(len(self.lengths), device=self.usable.device)
            failing.index_add_(0, self.episode, self.horizons.amax(dim=1))
            order = _order(torch.arange(len(failing)), failing.cpu() > 0, config.oversample)
            steps = np.cumsum([self.lengths[i] for i in order.tolist()])
            cuts = np.flatnonzero(np.diff(steps // config.batch_size)) + 1
            for some in np.split(order.numpy(), cuts):
                yield self._episodes(torch.from_numpy(some).to(self.starts.device), config)
            return
        rows = self.usable.nonzero()[:, 0]
        rows = _order(rows, self.horizons[rows].amax(dim=1) > 0, config.oversample)
        for batch in torch.split(rows, config.batch_size):
            read = self._shifted(batch[:, None], self.episode[batch], config)[:, 0]
            yield self._noisy(self.features[read], config), self.targets[batch], None

    def _episodes(self, episodes: Tensor, config: TrainingConfig) -> tuple[Tensor, Tensor, Tensor]:
        starts, ends = self.starts[episodes, None], self.ends[episodes, None]  # (b, 1)
        longest = int((ends - starts).max())
        rows = starts + torch.arange(longest, device=starts.device)  # (b, T)
        inside = rows < ends
        rows = torch.minimum(rows, ends - 1)
        read = self._shifted(rows, episodes, config)
        features = self._noisy(self.features[read], config)
        return features, self.targets[rows], self.usable[rows] & inside

    def _shifted(self, rows: Tensor, episodes: Tensor, config: TrainingConfig) -> Tensor:
        """Rows (b, T) whose features are read for the labels of `rows`, moved by the jitter."""
        most = config.jitter_steps
        if not most:
            return rows
        moved = rows + torch.randint(-most, most + 1, (len(rows), 1), device=rows.device)
        low, high = self.starts[episodes, None], self.ends[episodes, None] - 1
        return torch.minimum(torch.maximum(moved, low), high)

    @staticmethod
    def _noisy(features: Tensor, config: TrainingConfig) -> Tensor:
        if not config.signal_noise:
            return features
        return features + config.signal_noise * torch.randn_like(features)


def _order(items: Tensor, failing: Tensor, oversample: float) -> Tensor:
    """A random order of items; with oversampling, as many drawn with failing ones oftener."""
    if oversample == 1.0:
        return items[torch.randperm(len(items), device=items.device)]
    weights = torch.where(failing, oversample, 1.0)
    return items[torch.multinomial(weights, len(items), replacement=True)]


def _loss(logits: Tensor, targets: Tensor, config: TrainingConfig) -> Tensor:
    """Mean over horizons and types of the weighted (focal) cross-entropy: (..., O) -> (...).

    Focal loss: Lin et al. 2017 (arXiv 1708.02002), (1 - p_t)^gamma times the cross-entropy.
    The output of the eventual failure, the last, adds its plain cross-entropy, weighted.
    """
    if config.eventual:
        plain = F.binary_cross_entropy_with_logits(
            logits[..., -1], targets[..., -1], reduction="none"
        )
        logits, targets = logits[..., :-1], targets[..., :-1]
    weight = torch.tensor(config.pos_weight, device=logits.device)
    loss = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight, reduction="none")
    if config.loss == "focal":
        wrong = torch.where(targets > 0.5, torch.sigmoid(-logits), torch.sigmoid(logits))
        loss = loss * wrong**config.focal_gamma
    return loss.mean(dim=-1) + (EVENTUAL_WEIGHT * plain if config.eventual else 0.0)


def _train_epoch(
    model: FailureModel, optimiser: ScheduledAdam, data: _Data, config: TrainingConfig
) -> float:
    """One pass in a new random order; returns the mean loss per step."""
    model.train()
    place = data.features.device
    total, steps = torch.zeros((), device=place), torch.zeros((), device=place)
    fast = config.precision == "mixed" and place.type == "cuda"
    for batch in data.draw(config):
        features, targets, counted = share(*batch)
        assert features is not None
        assert targets is not None
        with torch.autocast(place.type, torch.bfloat16, enabled=fast):
            logits = model(features)
        losses = _loss(logits.float(), targets, config)
        weights = torch.ones_like(losses) if counted is None else counted.float()
        number = weights.sum()
        loss = (losses * weights).sum() / number.clamp(min=1.0)
        optimiser.step(loss)
        total += loss.detach() * number
        steps += number
    return float(total / steps)


@torch.no_grad()
def _validate(
    model: FailureModel,
    data: _Data,
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
