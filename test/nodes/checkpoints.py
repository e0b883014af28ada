"""Predictor checkpoints with weights that are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from salus_ros.core import schema
from salus_ros.core.failures import FAILURE_TYPES, FailureType
from salus_ros.prediction.checkpoint import FILE_NAME, Checkpoint
from salus_ros.prediction.config import PRESETS, TrainingConfig
from salus_ros.prediction.features import Features
from salus_ros.prediction.models import FailureMLP, build_model
from salus_ros.prediction.normalisation import Normalisation


def save_checkpoint(
    folder: Path,
    bias: float = 0.0,
    *,
    threshold: float = 0.5,
    names: tuple[str, ...] = schema.SIGNAL_NAMES,
) -> str:
    """Write a checkpoint whose every output depends on the signals; return its folder.

    The last layer's bias moves the risk: with -4 it is low, with 4 it is near 1.
    """
    torch.manual_seed(0)
    config = TrainingConfig(hidden=(8, 8))
    model = FailureMLP(len(names), config.hidden, 16)
    last = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.fill_(bias)
    features = Features(("signals",), _as_they_are(len(names)))
    return _save(folder, model, config, features, names, threshold)


def save_default(
    folder: Path,
    embedding_dim: int,
    *,
    threshold: float = 0.5,
    failure_types: tuple[FailureType, ...] = FAILURE_TYPES,
    parts: dict[str, tuple[str, ...]] | None = None,
    widths: dict[str, int] | None = None,
) -> str:
    """Write a checkpoint of a kind that remembers; return its folder.

    It reads the embedding, and the inputs of `parts`: `widths` values, else one for each part.
    """
    torch.manual_seed(0)
    parts = parts or {}
    config = replace(PRESETS["tcn"], inputs=("signals", "validity", "embedding", *parts))
    names = schema.SIGNAL_NAMES
    extras = {"embedding": _as_they_are(embedding_dim)}
    sizes = {name: len(of) for name, of in parts.items()} | (widths or {})
    extras |= {name: _as_they_are(sizes[name]) for name in parts}
    known = {"embedding": (), **parts}
    features = Features(config.inputs, _as_they_are(len(names)), extras, known)
    outputs = len(schema.HORIZONS_S) * len(failure_types) + len(schema.EPISODE_OUTPUTS)
    model = build_model(config, features.width, outputs)
    given = (model, config, features, names, threshold)
    return _save(folder, *given, failure_types, schema.EPISODE_OUTPUTS)


def _as_they_are(size: int) -> Normalisation:
    return Normalisation(np.zeros(size, np.float32), np.ones(size, np.float32))


def _save(
    folder: Path,
    model: torch.nn.Module,
    config: TrainingConfig,
    features: Features,
    names: tuple[str, ...],
    threshold: float,
    failure_types: tuple[FailureType, ...] = FAILURE_TYPES,
    episode_outputs: tuple[str, ...] = (),
) -> str:
    checkpoint = Checkpoint(
        state_dict=model.state_dict(),
        config=config,
        features=features,
        signal_names=names,
        horizons_s=schema.HORIZONS_S,
        failure_types=failure_types,
        split={"train": (), "validation": (), "test": ()},
        data_hash="",
        epoch=1,
        threshold=threshold,
        episode_outputs=episode_outputs,
    )
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save(folder / FILE_NAME)
    return str(folder)
