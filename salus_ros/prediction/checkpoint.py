"""The file of a trained predictor: weights and plain values, never code."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from salus_ros import __version__
from salus_ros.core.errors import CheckpointError, ConfigError
from salus_ros.core.failures import FailureType, failure_types
from salus_ros.core.schema import EPISODE_OUTPUTS
from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.extras import EXTRAS
from salus_ros.prediction.features import INPUTS, Features
from salus_ros.prediction.models import FailureModel, all_finite, build_model
from salus_ros.prediction.normalisation import Normalisation

FORMAT = "salus-predictor"
SCHEMA_VERSION = 2
FILE_NAME = "best_predictor.pt"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Everything needed to predict as in training, and to know what was trained on.

    Attributes:
        state_dict: Weights of the model.
        config: Settings of the training run.
        features: What the model reads, with statistics of the training split.
        signal_names: Names of the inputs, in order.
        horizons_s: Horizons in s, ascending.
        failure_types: Failure types, in output order.
        split: Keys of the episodes of "train", "validation" and "test".
        data_hash: Hash of the episodes and labels.
        epoch: Epoch the weights come from, from 1.
        threshold: Alarm when risk exceeds it: best validation F1 of "a failure within the
            longest horizon". NaN when validation had no failure to choose it by.
        output_threshold: The same for the single outputs.
        episode_outputs: Which of `EPISODE_OUTPUTS` the model has, in order; older ones with
            `config.eventual` have the first alone.
        version: Version of the package that wrote it.
        model_id: Short hash of the file; empty before it is written.
    """

    state_dict: Mapping[str, Tensor]
    config: TrainingConfig
    features: Features
    signal_names: tuple[str, ...]
    horizons_s: tuple[float, ...]
    failure_types: tuple[FailureType, ...]
    split: Mapping[str, tuple[str, ...]]
    data_hash: str
    epoch: int
    threshold: float = float("nan")
    output_threshold: float = float("nan")
    episode_outputs: tuple[str, ...] = ()
    version: str = __version__
    model_id: str = ""

    def build_model(self) -> FailureModel:
        """Return the model with these weights, in evaluation mode.

        Raises:
            CheckpointError: if the weights have other names or shapes, or are not finite.
        """
        outputs = len(self.horizons_s) * len(self.failure_types) + len(self.episode_outputs)
        with torch.random.fork_rng(devices=[]):  # its first weights are drawn, then replaced
            model = build_model(self.config, self.features.width, outputs)
        try:
            model.load_state_dict(dict(self.state_dict))
        except (RuntimeError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"the weights do not fit a {self.config.model} of {self.features.width} inputs, "
                f"hidden layers {list(self.config.hidden)} and {outputs} outputs: {error}"
            ) from error
        if not all_finite(model):
            raise CheckpointError("the weights hold NaN or infinite values; train again")
        return model.eval()

    def to_bytes(self) -> bytes:
        """Return the content of the file, loadable with `torch.load(weights_only=True)`."""
        content = {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "salus_version": self.version,
            "state_dict": {name: value.cpu() for name, value in self.state_dict.items()},
            "config": self.config.to_dict(),
            "normalisation": {
                name: _statistics(values)
                for name, values in {
                    "signals": self.features.signals,
                    **self.features.extras,
                }.items()
            },
            "parts": {name: list(of) for name, of in self.features.parts.items()},
            "signal_names": list(self.signal_names),
            "horizons_s": list(self.horizons_s),
            "failure_types": [kind.label for kind in self.failure_types],
            "split": {name: list(keys) for name, keys in self.split.items()},
            "data_hash": self.data_hash,
            "epoch": self.epoch,
            "threshold": self.threshold,
            "output_threshold": self.output_threshold,
            "episode_outputs": list(self.episode_outputs),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    def save(self, path: Path) -> str:
        """Write the file at once or not at all; return its model id."""
        content = self.to_bytes()
        partial = path.with_name(path.name + ".part")
        partial.write_bytes(content)
        partial.replace(path)
        return _model_id(content)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a checkpoint.

        Args:
            path: The file, or the folder that holds it as `best_predictor.pt`.

        Raises:
            CheckpointError: if it is absent, no predictor, damaged, holds code, or has weights of
                other shapes than it says.
        """
        path = Path(path)
        file = path / FILE_NAME if path.is_dir() else path
        try:
            data = file.read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"cannot read the predictor '{file}': {error.strerror}; give {FILE_NAME} or the "
                "folder that training wrote"
            ) from error
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if (broken := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(f"checksum of {broken}")  # torch does not look
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # pickle, zip and torch each raise their own kinds
            raise CheckpointError(
                f"'{file}' is not a predictor: it is damaged, or holds something other than "
                f"tensors and plain values, which is refused because loading it could run code "
                f"({type(error).__name__}); give a {FILE_NAME} that training wrote"
            ) from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise CheckpointError(
                f"'{file}' is not a predictor: format '{FORMAT}' is expected; give a {FILE_NAME} "
                "that training wrote"
            )
        if content.get("schema_version") != SCHEMA_VERSION:
            raise CheckpointError(
                f"'{file}' has schema version {content.get('schema_version')!r}, this version of "
                f"SALUS reads {SCHEMA_VERSION}; it was written by salus_ros "
                f"{content.get('salus_version')!r}: use that, or train again"
            )
        try:
            checkpoint = cls._from_content(content, _model_id(data))
            checkpoint.build_model()
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f"'{file}' lacks a part or has one of a wrong kind ({error!r}); train again"
            ) from error
        except (CheckpointError, ConfigError) as error:
            raise CheckpointError(f"'{file}': {error}") from error
        return checkpoint

    @classmethod
    def _from_content(cls, content: Mapping[str, Any], model_id: str) -> Self:
        signal_names = tuple(content["signal_names"])
        config = TrainingConfig.from_dict(content["config"])
        statistics = content["normalisation"]
        signals = _read_statistics("signals", statistics["signals"])
        if signals.mean.shape != (len(signal_names),):
            raise CheckpointError(
                f"normalisation {signals.mean.shape} does not fit {len(signal_names)} signals"
            )
        extras: dict[str, Normalisation] = {
            name: _read_statistics(name, statistics[name])
            for name in EXTRAS
            if name in config.inputs
        }
        parts = content.get("parts", {})  # older ones read no input that has any
        horizons_s = tuple(float(horizon) for horizon in content["horizons_s"])
        if not horizons_s or horizons_s[0] <= 0 or list(horizons_s) != sorted(set(horizons_s)):
            raise CheckpointError(f"horizons {horizons_s} must be above 0 and ascending")
        return cls(
            state_dict=content["state_dict"],
            config=config,
            features=Features(
                tuple(name for name in INPUTS if name in config.inputs),
                signals,
                extras,
                {name: tuple(parts.get(name, ())) for name in extras},
                config.time_limit_steps,
            ),
            signal_names=signal_names,
            horizons_s=horizons_s,
            failure_types=failure_types(content["failure_types"]),
            split={name: tuple(keys) for name, keys in content["split"].items()},
            data_hash=str(content["data_hash"]),
            epoch=int(content["epoch"]),
            threshold=float(content["threshold"]),
            output_threshold=float(content["output_threshold"]),
            episode_outputs=_episode_outputs(content, config),
            version=str(content["salus_version"]),
            model_id=model_id,
        )


def _episode_outputs(content: Mapping[str, Any], config: TrainingConfig) -> tuple[str, ...]:
    given = tuple(content.get("episode_outputs", EPISODE_OUTPUTS[: int(config.eventual)]))
    if given != EPISODE_OUTPUTS[: len(given)]:
        raise CheckpointError(
            f"its outputs about the episode are {list(given)}; this version of SALUS knows "
            f"{list(EPISODE_OUTPUTS)}: use the version that wrote it, or train again"
        )
    return given


def _statistics(values: Normalisation) -> dict[str, Tensor]:
    return {
        "mean": torch.from_numpy(values.mean),
        "inverse_std": torch.from_numpy(values.inverse_std),
    }


def _read_statistics(name: str, content: Mapping[str, Tensor]) -> Normalisation:
    mean, inverse_std = (
        np.asarray(content[part].numpy(), dtype=np.float32) for part in ("mean", "inverse_std")
    )
    finite = np.isfinite(mean).all() and np.isfinite(inverse_std).all()
    if mean.ndim != 1 or mean.shape != inverse_std.shape or not finite:
        raise CheckpointError(
            f"normalisation of the {name}, {mean.shape} and {inverse_std.shape}, does not fit or "
            "is not finite"
        )
    return Normalisation(mean, inverse_std)


def _model_id(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
