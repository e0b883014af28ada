"""Training the failure predictor, as the proof of concept did, but split by episode."""

import copy
import dataclasses
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from salus_ros import __version__
from salus_ros.core.errors import ConfigError
from salus_ros.core.metrics import count
from salus_ros.prediction.checkpoint import FILE_NAME, Checkpoint
from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.dataset import Samples
from salus_ros.prediction.evaluation import choose_thresholds, evaluate
from salus_ros.prediction.models import FailureMLP, parameter_count
from salus_ros.prediction.normalisation import Normalisation
from salus_ros.prediction.optimisation import PlateauAdam
from salus_ros.prediction.predictor import Predictor, check_device
from salus_ros.prediction.split import Split, split_episodes

RESULTS_NAME = "training_results.json"


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


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """Best weights of a fit, and how it went."""

    state_dict: dict[str, Tensor]
    epoch: int
    selected_by: str
    history: tuple[EpochRecord, ...]
    interrupted: bool


def train_predictor(
    samples: Samples,
    out: str | Path,
    config: TrainingConfig | None = None,
    device: str = "cpu",
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> dict[str, Any]:
    """Train a predictor and write `best_predictor.pt` and `training_results.json`.

    The same samples, settings and machine give the same weights. Ctrl-C ends the training after
    the step at hand, and the best epoch so far is written as if it had been the last.

    Args:
        samples: Labelled steps.
        out: Folder to write to; made if it is not there.
        config: Settings; those of the proof of concept by default.
        device: Where to train.
        on_epoch: Called after every epoch.

    Returns:
        The content of `training_results.json`.

    Raises:
        ConfigError: if there is nothing to train on, or no such device.
    """
    config = config or TrainingConfig()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    split = split_episodes(
        [record.key for record in samples.records],
        [record.stratum for record in samples.records],
        config.train_fraction,
        config.validation_fraction,
        config.seed,
    )
    train, validation = samples.rows(split["train"]), samples.rows(split["validation"])
    if not train.any():
        raise ConfigError(
            f"nothing to train on: {len(split['train'])} training episodes, none with a step "
            "before its failure that has a valid signal; record more episodes"
        )
    normalisation = Normalisation.fit(samples.signals[train], samples.valid[train])
    fit = fit_model(
        (normalisation.apply(samples.signals[train], samples.valid[train]), samples.labels[train]),
        (
            normalisation.apply(samples.signals[validation], samples.valid[validation]),
            samples.labels[validation],
        ),
        config,
        device,
        on_epoch,
    )
    checkpoint = Checkpoint(
        state_dict=fit.state_dict,
        config=config,
        normalisation=normalisation,
        signal_names=samples.signal_names,
        horizons_s=samples.horizons_s,
        failure_types=samples.failure_types,
        split={
            name: tuple(samples.records[place].key for place in places)
            for name, places in split.items()
        },
        data_hash=samples.data_hash(),
        epoch=fit.epoch,
    )
    threshold, output_threshold = choose_thresholds(Predictor(checkpoint), samples, validation)
    checkpoint = dataclasses.replace(
        checkpoint, threshold=threshold, output_threshold=output_threshold
    )
    model_id = checkpoint.save(out / FILE_NAME)
    results = {
        "model_id": model_id,
        "salus_version": __version__,
        "data_hash": checkpoint.data_hash,
        "config": config.to_dict(),
        "parameters": parameter_count(checkpoint.build_model()),
        "signals": list(samples.signal_names),
        "horizons_s": list(samples.horizons_s),
        "failure_types": [kind.label for kind in samples.failure_types],
        "epochs_run": len(fit.history),
        "interrupted": fit.interrupted,
        "best_epoch": fit.epoch,
        "selected_by": fit.selected_by,
        "threshold": None if math.isnan(threshold) else threshold,
        "output_threshold": None if math.isnan(output_threshold) else output_threshold,
        "calibrated": False,
        "seconds": round(time.perf_counter() - started, 3),
        "test": evaluate(Predictor(checkpoint), samples, samples.rows(split["test"])),
        "validation": evaluate(Predictor(checkpoint), samples, validation),
        "splits": _describe_splits(samples, split),
        "unlabelled_episodes": samples.unlabelled,
        "history": [asdict(record) for record in fit.history],
    }
    partial = out / (RESULTS_NAME + ".part")
    partial.write_text(json.dumps(results, indent=2, allow_nan=False) + "\n")
    partial.replace(out / RESULTS_NAME)
    return results


def fit_model(
    train: tuple[NDArray[np.float32], NDArray[np.bool_]],
    validation: tuple[NDArray[np.float32], NDArray[np.bool_]],
    config: TrainingConfig,
    device: str = "cpu",
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> FitResult:
    """Fit the weights on data that is wholly in memory.

    The best epoch has the highest validation F1 at probability 0.5, of equals the one with the
    lower validation loss. Where validation has no positive label F1 says nothing, and its loss
    decides; where validation is empty, the training loss.

    Args:
        train: Standardised features float32 (N, S), and labels bool (N, H, K).
        validation: The same; may be empty.
        config: Settings.
        device: Where to train.
        on_epoch: Called after every epoch.
    """
    place = check_device(device)
    features, targets = (torch.from_numpy(array).to(place) for array in _flat(train))
    check_features, check_targets = (
        torch.from_numpy(array).to(place) for array in _flat(validation)
    )
    if not len(check_targets):
        selected_by = "training loss: validation is empty"
    elif check_targets.any():
        selected_by = "validation F1"
    else:
        selected_by = "validation loss: validation has no positive label"
    history: list[EpochRecord] = []
    best_score, best_epoch, best_state = (-math.inf, -math.inf), 0, None
    interrupted = False
    devices = [place] if place.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), _single_thread():
        torch.manual_seed(config.seed)
        model = FailureMLP(features.shape[1], config.hidden, targets.shape[1], config.dropout).to(
            place
        )
        loss_of = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(config.pos_weight, device=place))
        optimiser = PlateauAdam(model.parameters(), config)
        try:
            for epoch in range(1, config.epochs + 1):
                rate = optimiser.learning_rate
                train_loss = _train_epoch(model, loss_of, optimiser, features, targets, config)
                record = _validate(
                    model, loss_of, check_features, check_targets, epoch, rate, train_loss
                )
                loss = train_loss if record.validation_loss is None else record.validation_loss
                optimiser.end_epoch(loss)
                history.append(record)
                by_f1 = selected_by == "validation F1"
                score = (record.validation_f1 or 0.0 if by_f1 else 0.0, -loss)
                if math.isfinite(loss) and score > best_score:
                    best_score, best_epoch = score, epoch
                    best_state = copy.deepcopy(model.state_dict())
                if on_epoch is not None:
                    on_epoch(record)
        except KeyboardInterrupt:
            if best_state is None:
                raise
            interrupted = True
    if best_state is None:
        raise ConfigError(
            "the loss was NaN in every epoch; lower the learning rate or check the signals"
        )
    state = {name: value.cpu() for name, value in best_state.items()}
    return FitResult(state, best_epoch, selected_by, tuple(history), interrupted)


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


def _flat(
    part: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    features, labels = part
    outputs = math.prod(labels.shape[1:])
    return features, labels.reshape(len(labels), outputs).astype(np.float32)  # (N, H * K)


def _train_epoch(
    model: FailureMLP,
    loss_of: nn.Module,
    optimiser: PlateauAdam,
    features: Tensor,
    targets: Tensor,
    config: TrainingConfig,
) -> float:
    """One pass in a new random order; returns the mean loss per step."""
    model.train()
    order = torch.randperm(len(features), device=features.device)
    total = torch.zeros((), device=features.device)
    batches = zip(
        torch.split(features[order], config.batch_size),
        torch.split(targets[order], config.batch_size),
        strict=True,
    )
    for batch, labels in batches:
        loss = loss_of(model(batch), labels)
        optimiser.step(loss)
        total += loss.detach() * len(batch)
    return float(total) / len(features)


@torch.no_grad()
def _validate(
    model: FailureMLP,
    loss_of: nn.Module,
    features: Tensor,
    targets: Tensor,
    epoch: int,
    rate: float,
    train_loss: float,
) -> EpochRecord:
    if not len(features):
        return EpochRecord(epoch, rate, train_loss, None, None, None, None)
    model.eval()
    logits = model(features)
    counts = count((logits > 0).cpu().numpy(), (targets > 0.5).cpu().numpy())
    precision, recall, f1 = (
        None if math.isnan(value) else value
        for value in (counts.precision, counts.recall, counts.f1)
    )
    loss = float(loss_of(logits, targets))
    return EpochRecord(epoch, rate, train_loss, loss, precision, recall, f1)


def _describe_splits(samples: Samples, split: Split) -> dict[str, Any]:
    """Per part: its episodes, how they ended, its steps and positive labels, and what it lacks."""
    described: dict[str, Any] = {}
    for name, places in split.items():
        rows = samples.rows(places)
        labels = samples.labels[rows]
        endings = Counter(samples.records[place].stratum for place in places)
        positives = {
            kind.label: int(labels[:, :, k].sum()) for k, kind in enumerate(samples.failure_types)
        }
        missing = [kind for kind, number in positives.items() if not number]
        described[name] = {
            "episodes": len(places),
            "endings": dict(sorted(endings.items())),
            "steps": int(rows.sum()),
            "positive_labels": positives,
            "without_positive_labels": missing,
            "episode_keys": [samples.records[place].key for place in places],
        }
    return described
