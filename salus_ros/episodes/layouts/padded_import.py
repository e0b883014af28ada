"""Reading the padded layout into a store: our own export, or the plain form of others."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import ZipStore

from salus_ros.core.errors import SalusError, StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.labels import horizon_labels
from salus_ros.core.schema import horizon_steps
from salus_ros.episodes.episode import Episode, EpisodeMeta
from salus_ros.episodes.files import get_array, is_packed, store_errors
from salus_ros.episodes.layout import META_ARRAYS, SINCE, data_arrays
from salus_ros.episodes.layouts.padded import FORMAT, LENGTH, PLURAL, OnEpisode, check_new
from salus_ros.episodes.spec import StoreSpec
from salus_ros.episodes.store import EpisodeStore

PLAIN_TYPES = ("none", "drop", "timeout", "other")
"""Failure types of the labels in a file that names none: those of the proof of concept."""

PLAIN_CAMERAS = ("front", "side", "wrist")
"""Cameras of a file with as many; others are numbered."""

PLAIN_RATE_HZ = 30.0
"""Steps per second of a file that does not say."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was imported.

    Attributes:
        episodes: Number of episodes.
        steps: Number of steps in all.
        labels_left_out: Episodes whose labels announce a failure, but not by our rule (see
            `core.labels`), so that their outcome is unknown.
    """

    episodes: int
    steps: int
    labels_left_out: int = 0


def import_padded(
    source: str | Path,
    out: str | Path,
    on_episode: OnEpisode | None = None,
    failure_types: Sequence[str] = PLAIN_TYPES,
) -> Imported:
    """Read a padded file into a new store: our own export, or the plain form.

    The plain form holds `actions`, `states` and `signals`, and perhaps `images`,
    `horizon_labels` and `mask`. There the outcome follows from the labels where they tell;
    stamps are those of an even rate (attribute `rate_hz`, 30 if absent); a step whose twelve
    signals are not finite, or all zero as where no hook fired, has no signals.

    Args:
        source: Folder or `.zip` of the zarr group, of zarr format 2 or 3.
        out: Folder of the store.
        on_episode: Called after each episode with the number of those done.
        failure_types: Names of the types that the labels of the plain form have an output for,
            in output order; the file's attribute `failure_types` comes first.

    Raises:
        StoreError: if the file is damaged, an array is missing or has another shape, or the
            store exists or cannot be written. Nothing is left behind then.
    """
    source, out = Path(source), Path(out)
    check_new(out)
    if not source.exists():
        raise StoreError(f"'{source}' does not exist; give a zarr group in the padded layout")
    with store_errors(source, "read"):
        place: Any = ZipStore(source, mode="r") if is_packed(source) else source
        form = _Padded(zarr.open_group(place, mode="r"), source, tuple(failure_types))
    store = EpisodeStore.create(out, form.spec)
    try:
        with store:
            for index in range(form.episodes):
                with store_errors(source, f"read episode {index} of"):
                    episode = form.episode(index)
                store.append(episode)
                if on_episode is not None:
                    on_episode(index + 1)
            return Imported(len(store), store.steps, form.labels_left_out)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


class _Padded:
    """A padded file, opened and checked."""

    def __init__(self, group: zarr.Group, source: Path, failure_types: tuple[str, ...]) -> None:
        self.source = source
        self.labels_left_out = 0
        attributes: dict[str, Any] = dict(group.attrs)
        self.lengths: NDArray[Any] | None = None
        self.own = attributes.get("format") == FORMAT
        self.rate_hz = float(attributes.get("rate_hz", PLAIN_RATE_HZ))
        self.types: tuple[str, ...] = tuple(attributes.get("failure_types", failure_types))
        self.arrays: dict[str, Any] = {
            # Plain zarr does not write a chunk of zeros, so there a missing one is legal.
            name: get_array(group, name) if self.own else array
            for name, array in group.members(max_depth=1)
            if isinstance(array, zarr.Array)
        }
        for name in PLURAL.values():
            if name not in self.arrays or self.arrays[name].ndim != 3:
                raise StoreError(
                    f"'{source}' has no array '{name}' of three dimensions (E, T, values); it "
                    f"has {sorted(self.arrays)}; give a zarr group in the padded layout"
                )
        self.episodes = self.arrays["actions"].shape[0]
        self.spec = StoreSpec.from_attributes(attributes) if self.own else self._plain_spec()
        self._check_shapes()
        if self.own:
            if LENGTH in group:
                self.lengths = np.asarray(get_array(group, LENGTH)[:])
            self.table = {
                name: np.asarray(get_array(group, f"meta/{name}")[:])
                for name in META_ARRAYS
                if f"meta/{name}" in group or name not in SINCE
            }

    def _plain_spec(self) -> StoreSpec:
        """Sizes of a store for the plain form."""
        shape = self.arrays["images"].shape[2:] if "images" in self.arrays else (0, 3, 1, 1)
        if len(shape) != 4:
            raise StoreError(f"'{self.source}': images must be (E, T, C, 3, H, W)")
        numbered = tuple(f"camera{number}" for number in range(shape[0]))
        return StoreSpec(
            cameras=PLAIN_CAMERAS if shape[0] == len(PLAIN_CAMERAS) else numbered,
            image_size=(shape[2], shape[3]) if shape[0] else (0, 0),
            state_dim=self.arrays["states"].shape[2],
            action_dim=self.arrays["actions"].shape[2],
            streams=(),
        )

    def _check_shapes(self) -> None:
        spec, lead = self.spec, self.arrays["actions"].shape[:2]
        types = spec.failure_types if self.own else self.types
        wanted = {
            "actions": (spec.action_dim,),
            "states": (spec.state_dim,),
            "signals": (len(spec.signals),),
            "images": (len(spec.cameras), 3, *spec.image_size),
            "horizon_labels": (len(spec.horizons_s) * len(types),),
            "mask": (),
        }
        for name, shape in wanted.items():
            if name in self.arrays and self.arrays[name].shape != (*lead, *shape):
                raise StoreError(
                    f"'{self.source}': {name} is {self.arrays[name].shape}, allowed is "
                    f"{(*lead, *shape)}"
                )

    def episode(self, index: int) -> Episode:
        """Read episode `index`."""
        length = self._length(index)
        rows = {name: self._read(plural, index, length) for name, plural in PLURAL.items()}
        images = {
            camera: self.arrays["images"][index, :length, number].transpose(0, 2, 3, 1)
            for number, camera in enumerate(self.spec.cameras)
        }
        if self.own:
            kept = [name for name in data_arrays(self.spec) if f"data/{name}" in self.arrays]
            rows |= {name: self._read(f"data/{name}", index, length) for name in kept}
            values = {name: column[index] for name, column in self.table.items()}
            plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}
            return Episode(meta=EpisodeMeta(**plain), images=images, **rows)
        signals = rows["signals"]  # (T, 12)
        valid = np.isfinite(signals) & (signals != 0).any(axis=1, keepdims=True)
        changed = np.ones(length, np.bool_)
        changed[1:] = (signals[1:] != signals[:-1]).any(axis=1)
        return Episode(
            meta=self._plain_meta(index, length),
            stamp_ns=1 + np.round(np.arange(length) * (1e9 / self.rate_hz)).astype(np.int64),
            signals_valid=valid,
            signals_fresh=valid.any(axis=1) & changed,  # held values repeat
            images=images,
            **rows,
        )

    def _read(self, name: str, index: int, length: int) -> NDArray[Any]:
        return np.asarray(self.arrays[name][index, :length])

    def _length(self, index: int) -> int:
        if self.lengths is not None:
            return int(self.lengths[index])
        if "mask" not in self.arrays:
            return int(self.arrays["actions"].shape[1])
        mask = np.asarray(self.arrays["mask"][index], dtype=np.bool_)  # (T,)
        length = int(mask.sum())
        if not length or not mask[:length].all():
            raise StoreError(
                f"'{self.source}': the mask of episode {index} must be True from the first step "
                "to the last one recorded, and False behind it"
            )
        return length

    def _plain_meta(self, index: int, length: int) -> EpisodeMeta:
        told: tuple[Outcome, FailureType, int] | None = (Outcome.UNKNOWN, FailureType.NONE, -1)
        if "horizon_labels" in self.arrays:
            labels = self._read("horizon_labels", index, length)
            steps = horizon_steps(self.spec.horizons_s, self.rate_hz)
            told = told_by(labels.reshape(length, len(steps), -1), self.types, steps)
        if told is None:
            self.labels_left_out += 1
            told = (Outcome.UNKNOWN, FailureType.NONE, -1)
        outcome, kind, step = told
        return EpisodeMeta(str(index), "", outcome, kind, step, rate_hz=self.rate_hz)


def told_by(
    labels: NDArray[Any], types: Sequence[str], horizons: Sequence[int]
) -> tuple[Outcome, FailureType, int] | None:
    """How an episode ended, by its labels alone.

    Labels are told to be a failure of type k at t_f = (last positive step) + 1 if the rule of
    `core.labels` gives the same labels for it, and a success if an output "none" is 1 throughout.
    Labels that are all 0 or NaN tell nothing: a failure may lie behind the horizon.

    Args:
        labels: (T, H, K).
        types: The K names; "none" for an output that says that nothing fails.
        horizons: The H horizons in steps.

    Returns:
        Outcome, type and step; None for labels that announce a failure by another rule.
    """
    failing = [k for k, name in enumerate(types) if name != "none"]
    positive = labels[..., failing] > 0  # (T, H, K')
    if not positive.any():
        none = [k for k, name in enumerate(types) if name == "none"]
        known = bool(none) and bool((labels[..., none] == 1).all())
        return (Outcome.SUCCESS if known else Outcome.UNKNOWN), FailureType.NONE, -1
    try:
        kinds = [FailureType.from_label(types[k]) for k in failing]
        step = int(np.flatnonzero(positive.any(axis=(1, 2)))[-1]) + 1
        kind = kinds[int(positive.any(axis=(0, 1)).argmax())]
        expected = horizon_labels(len(labels), step, kind, horizons, kinds)
    except (ValueError, SalusError) as error:
        raise StoreError(
            f"the labels cannot be read with failure types {types}: {error}"
        ) from error
    return (Outcome.FAILURE, kind, step) if (positive == expected).all() else None
