"""A learnt manifold and its file: safetensors, with all that it needs to be used."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from salus_ros import __version__
from salus_ros.core.errors import CheckpointError, ConfigError
from salus_ros.prediction.normalisation import Normalisation
from salus_ros.recovery.manifold.key import Key, Rows, Values
from salus_ros.recovery.manifold.library import Library
from salus_ros.recovery.manifold.network import build_network
from salus_ros.recovery.manifold.settings import ManifoldSettings

FORMAT = "salus-manifold"
SCHEMA_VERSION = 1

ROWS_AT_ONCE = 2**15

_LIBRARY = ("embedding", "state", "action", "ends", "task")


@dataclass(frozen=True, eq=False)
class Manifold:
    """Where steps lie beside those of successes.

    Attributes:
        settings: How it was learnt.
        key: What a step is looked up by.
        network: Embeds a key, in evaluation mode.
        library: The steps of the successes it was learnt from.
        reference: Float32 (R,), ascending: distances of steps of successes that it was not learnt
            from.
        split: Keys of the episodes of "train", "validation" and "test".
        manifold_id: Short hash of its file; empty before it is written.
        version: Version of the package that wrote it.
    """

    settings: ManifoldSettings
    key: Key
    network: nn.Sequential
    library: Library
    reference: Rows
    split: Mapping[str, tuple[str, ...]]
    manifold_id: str = ""
    version: str = field(default=__version__)

    def embed(self, values: Values) -> Rows:
        """Where N steps lie.

        Args:
            values: Their inputs, at least those of the key.

        Returns:
            Float32 (N, D); NaN for a step whose inputs are not all finite.

        Raises:
            ObservationError: if an input is missing, or has another width than in training.
        """
        features, there = self.key.apply(values)
        return embed(self.network, features, there)

    def distance(self, embedding: Rows) -> Rows:
        """How far steps (N, D) are from the nearest one of a success, (N,); NaN where unknown."""
        found = np.full(len(embedding), np.nan, np.float32)
        there = np.isfinite(embedding).all(axis=1)
        if there.any():
            found[there] = self.library.all_steps.nearest(embedding[there])[0]
        return found

    def confidence(self, distance: float) -> float:
        """Share of the steps of unseen successes that were at least as far; NaN where unknown."""
        if not len(self.reference) or np.isnan(distance):
            return float("nan")
        nearer = int(np.searchsorted(self.reference, distance, side="left"))
        return 1.0 - nearer / len(self.reference)

    def save(self, path: Path) -> str:
        """Write the file at once or not at all; return its id."""
        tensors: dict[str, Tensor] = {
            f"network.{name}": value.contiguous()
            for name, value in self.network.state_dict().items()
        }
        for name, one in self.key.statistics.items():
            tensors[f"mean.{name}"] = torch.from_numpy(one.mean)
            tensors[f"inverse_std.{name}"] = torch.from_numpy(one.inverse_std)
        for name in _LIBRARY:
            values = np.ascontiguousarray(getattr(self.library, name))
            tensors[f"library.{name}"] = torch.from_numpy(values)
        tensors["reference"] = torch.from_numpy(self.reference)
        about = {
            "schema_version": SCHEMA_VERSION,
            "salus_version": self.version,
            "settings": self.settings.to_dict(),
            "parts": {name: list(of) for name, of in self.key.parts.items()},
            "tasks": list(self.library.tasks),
            "split": {name: list(keys) for name, keys in self.split.items()},
        }
        # One entry alone: of several the order, and with it the file's id, would be by chance.
        content = save(tensors, {FORMAT: json.dumps(about)})
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        partial.write_bytes(content)
        partial.replace(path)
        return _id(content)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a manifold.

        Raises:
            CheckpointError: if it is absent, none, damaged, or of another version.
        """
        path = Path(path)
        try:
            content = path.read_bytes()
            with safe_open(path, framework="pt") as file:
                head = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except OSError as error:
            raise CheckpointError(
                f"cannot read the manifold '{path}': {error.strerror or error}; give a file that "
                "`salus manifold train` wrote"
            ) from error
        except SafetensorError as error:
            raise CheckpointError(
                f"'{path}' is no manifold, or it is damaged ({error}); give a file that `salus "
                "manifold train` wrote"
            ) from error
        try:
            about = json.loads(head.get(FORMAT, "{}"))
            if about.get("schema_version") != SCHEMA_VERSION:
                raise CheckpointError(
                    f"'{path}' has schema version {about.get('schema_version')!r}, this version "
                    f"of SALUS reads {SCHEMA_VERSION} of the format {FORMAT}: train it again"
                )
            return cls._from(tensors, about, _id(content))
        except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
            raise CheckpointError(
                f"'{path}' lacks a part or has one of a wrong kind ({error}); train it again"
            ) from error

    @classmethod
    def _from(cls, tensors: Mapping[str, Tensor], about: Mapping[str, Any], its_id: str) -> Self:
        settings = ManifoldSettings.from_dict(about["settings"])
        statistics = {
            name: Normalisation(
                tensors[f"mean.{name}"].numpy(), tensors[f"inverse_std.{name}"].numpy()
            )
            for name in settings.inputs
        }
        key = Key(statistics, {name: tuple(about["parts"].get(name, ())) for name in statistics})
        network = build_network(key.width, settings.hidden, settings.dimension)
        prefix = "network."
        network.load_state_dict(
            {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        )
        arrays: dict[str, NDArray[Any]] = {
            name: tensors[f"library.{name}"].numpy() for name in _LIBRARY
        }
        return cls(
            settings,
            key,
            network.eval(),
            Library(**arrays, tasks=tuple(about["tasks"])),
            tensors["reference"].numpy(),
            {name: tuple(keys) for name, keys in about["split"].items()},
            its_id,
            str(about["salus_version"]),
        )


def embed(network: nn.Sequential, features: Rows, there: NDArray[np.bool_]) -> Rows:
    """Embed features (N, F) of which some rows (N,) are there: float32 (N, D), NaN elsewhere."""
    last = network[-1]
    assert isinstance(last, nn.Linear)
    found = np.full((len(features), last.out_features), np.nan, np.float32)
    with torch.inference_mode():
        for start in range(0, len(features), ROWS_AT_ONCE):
            some = slice(start, start + ROWS_AT_ONCE)
            found[some] = network(torch.from_numpy(features[some])).numpy()
    found[~there] = np.nan
    return found


def _id(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
