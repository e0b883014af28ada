"""Training the failure predictor, as the proof of concept did, but split by episode."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from numpy.typing import NDArray

from salus_ros import __version__
from salus_ros.core.errors import ConfigError
from salus_ros.core.schema import EPISODE_OUTPUTS, SIGNALS
from salus_ros.prediction.checkpoint import FILE_NAME, Checkpoint
from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.extras import EXTRAS
from salus_ros.prediction.features import Features
from salus_ros.prediction.models import parameter_count
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.acceleration import acceleration
from salus_ros.training.auxiliary import Auxiliary
from salus_ros.training.batches import Part
from salus_ros.training.dataset import Samples
from salus_ros.training.fitting import STATE_NAME, EpochRecord, FitResult, fit_model
from salus_ros.training.split import Split, SplitName, split_episodes
from salus_ros.training.thresholds import choose_thresholds

RESULTS_NAME = "training_results.json"

Describe = Callable[[Predictor, Samples, NDArray[np.bool_]], dict[str, Any]]
"""Figures of a predictor on some steps, a mask (N,) over the samples, as JSON values."""


def train_predictor(
    samples: Samples,
    out: str | Path,
    describe: Describe,
    config: TrainingConfig | None = None,
    device: str = "cpu",
    on_epoch: Callable[[EpochRecord], None] | None = None,
    start: Checkpoint | None = None,
) -> dict[str, Any]:
    """Train a predictor and write `best_predictor.pt` and `training_results.json`.

    The same samples, settings and machine give the same weights. Ctrl-C ends the training after
    the step at hand, and the best epoch so far is written as if it had been the last. After a
    kill or Ctrl-C the same call goes on with the next epoch. In several processes (see
    `acceleration`) the first one writes, and the weights differ in their last digits.

    Args:
        samples: Labelled steps.
        out: Folder to write to; made if it is not there.
        describe: What computes the figures of the validation and the test part; see
            `salus_ros.evaluation.predictor_evaluation.evaluate`.
        config: Settings; those of the proof of concept by default.
        device: Where to train.
        on_epoch: Called after every epoch.
        start: Predictor whose weights it begins with.

    Returns:
        The content of `training_results.json`.

    Raises:
        ConfigError: if there is nothing to train on, no such device, or `start` is of another
            network.
    """
    config = config or TrainingConfig()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    split = split_episodes(
        [record.key for record in samples.records],
        [record.stratum for record in samples.records],
        split_fractions(config),
        config.seed,
    )
    checkpoint, fit = fit_checkpoint(samples, split, config, device, on_epoch, out, start)
    validation = samples.rows(split["validation"])
    threshold, output_threshold = choose_thresholds(Predictor(checkpoint), samples, validation)
    checkpoint = replace(checkpoint, threshold=threshold, output_threshold=output_threshold)
    writes = PartialState().is_main_process
    model_id = checkpoint.save(out / FILE_NAME) if writes else ""
    results = {
        "model_id": model_id,
        "salus_version": __version__,
        "data_hash": checkpoint.data_hash,
        "config": config.to_dict(),
        "parameters": parameter_count(checkpoint.build_model()),
        "signals": list(samples.signal_names),
        "horizons_s": list(samples.horizons_s),
        "failure_types": [kind.label for kind in samples.failure_types],
        "episode_outputs": list(checkpoint.episode_outputs),
        "epochs_run": len(fit.history),
        "interrupted": fit.interrupted,
        "best_epoch": fit.epoch,
        "selected_by": fit.selected_by,
        "threshold": None if math.isnan(threshold) else threshold,
        "output_threshold": None if math.isnan(output_threshold) else output_threshold,
        "calibrated": False,
        "seconds": round(time.perf_counter() - started, 3),
        "test": describe(Predictor(checkpoint), samples, samples.rows(split["test"])),
        "validation": describe(Predictor(checkpoint), samples, validation),
        "splits": _describe_splits(samples, split),
        **samples.left_out,
        "history": [asdict(record) for record in fit.history],
    }
    if not writes:
        return results
    partial = out / (RESULTS_NAME + ".part")
    partial.write_text(json.dumps(results, indent=2, allow_nan=False) + "\n")
    partial.replace(out / RESULTS_NAME)
    if not fit.interrupted:
        (out / STATE_NAME).unlink(missing_ok=True)
    return results


def split_fractions(config: TrainingConfig) -> dict[SplitName, float]:
    """Share of each part of a split."""
    known: dict[SplitName, float] = {
        "train": config.train_fraction,
        "validation": config.validation_fraction,
        "calibration": config.calibration_fraction,
    }
    return known | {"test": 1.0 - sum(known.values())}


def fit_checkpoint(
    samples: Samples,
    split: Split,
    config: TrainingConfig,
    device: str = "cpu",
    on_epoch: Callable[[EpochRecord], None] | None = None,
    state_folder: Path | None = None,
    start: Checkpoint | None = None,
) -> tuple[Checkpoint, FitResult]:
    """Fit a model to the training part of a split; without thresholds, and nothing is written.

    Args:
        samples: Labelled steps.
        split: Places of the episodes of each part; "calibration" and "test" are only noted down.
        config: Settings; those of the split do not count.
        device: Where to train.
        on_epoch: Called after every epoch.
        state_folder: Where a training that is stopped can go on.
        start: Predictor whose weights it begins with; not its normalisation, which is that of
            these samples.

    Raises:
        ConfigError: if there is nothing to train on, no such device, or `start` is of another
            network.
    """
    train = samples.rows(split["train"])
    if not train.any():
        raise ConfigError(
            f"nothing to train on: {len(split['train'])} training episodes, none with a step "
            "before its failure that has a valid signal; record more episodes"
        )
    if lacking := lacking_inputs(config, samples):
        raise ConfigError(
            f"inputs has {', '.join(lacking)}, but the episodes have none, or not all alike; "
            "leave it out of the inputs, or train on stores that have it"
        )
    features = Features.fit(
        config.inputs,
        samples.signals[train],
        samples.valid[train],
        {n: of[train] for n, of in samples.extras.items() if n in config.inputs},
        samples.parts,
        _left_out(config, samples.signal_names),
        config.time_limit_steps,
    )
    learnt = samples.subset(split["train"])
    second = Auxiliary.fit(learnt) if config.auxiliary else None
    with acceleration(device, config.precision) as accelerator:
        fit = fit_model(
            _part(learnt, features, second),
            _part(samples.subset(split["validation"]), features, second),
            config,
            accelerator,
            on_epoch,
            state_folder,
            samples.data_hash() + ("" if start is None else start.data_hash),
            None if start is None else start.state_dict,
        )
    checkpoint = Checkpoint(
        state_dict=fit.state_dict,
        config=config,
        features=features,
        signal_names=samples.signal_names,
        horizons_s=samples.horizons_s,
        failure_types=samples.failure_types,
        split={
            name: tuple(samples.records[place].key for place in places)
            for name, places in split.items()
        },
        data_hash=samples.data_hash(),
        epoch=fit.epoch,
        episode_outputs=EPISODE_OUTPUTS if config.eventual else (),
    )
    return checkpoint, fit


def lacking_inputs(config: TrainingConfig, samples: Samples) -> list[str]:
    """Inputs that the episodes do not have, or not all alike."""
    return [name for name in config.inputs if name in EXTRAS and name not in samples.extras]


def without_lacking(config: TrainingConfig, samples: Samples) -> TrainingConfig:
    """The settings with those inputs alone that the episodes have."""
    lacking = lacking_inputs(config, samples)
    return replace(config, inputs=tuple(name for name in config.inputs if name not in lacking))


def _part(samples: Samples, features: Features, second: Auxiliary | None) -> Part:
    return Part(
        features.apply(samples.signals, samples.valid, samples.extras, samples.step),
        samples.labels,
        samples.usable,
        tuple(record.length for record in samples.records),
        samples.endings,
        None if second is None else second.targets(samples),
        tuple(features.spans.values()),
    )


def _left_out(config: TrainingConfig, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which signals (S,) are not to be read, given by name or kind."""
    kinds = {spec.name: spec.kind.name.lower() for spec in SIGNALS}
    gone = set(config.leave_out)
    return np.array([name in gone or kinds.get(name) in gone for name in names])


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
