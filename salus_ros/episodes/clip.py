"""Clips: the seconds around an alarm, a failure or a call, each a store of one episode in a file.

A clip is a zip of an ordinary store, so that whatever reads packed stores reads it. Why it was
saved stands in the attribute `clip` of its root group. Its rows are steps of the clip: where they
are in their episode stands in its reasons.
"""

import json
import math
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Literal

import zarr
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from salus_ros.core.closing import Closing
from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes.episode import EpisodeMeta
from salus_ros.episodes.files import PACKED_SUFFIX, is_packed, store_errors
from salus_ros.episodes.lock import lock_store
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.store import EpisodeStore

SUFFIX = ".zarr" + PACKED_SUFFIX
ATTRIBUTE = "clip"
SCRATCH = ".clip-"
"""How folders begin in which a clip is made; one that is left over is of a killed process."""

type Why = Literal["alarm", "failure", "call"]
type OutcomeName = Literal["unknown", "success", "failure"]

OUTCOMES: dict[Outcome, OutcomeName] = {
    Outcome.UNKNOWN: "unknown",
    Outcome.SUCCESS: "success",
    Outcome.FAILURE: "failure",
}

_STRICT = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


@dataclass(frozen=True, slots=True, config=_STRICT)
class Reason:
    """Why a clip was saved, or went on.

    Attributes:
        why: An alarm of the predictor, a failure of an episode, or a call of the service.
        stamp_ns: When, by the stamp of the message; of a call, that of the newest sample.
        wall_s: The same by the clock of the machine, in s since 1970.
        row: Row of the clip; -1 where there is none at that moment.
        episode_id: The episode it is of; empty for none.
        step: Step of that episode; -1 where it is not known.
        kind: Kind of failure that was foreseen as the likeliest, or that happened; "none" where
            no failure was the likeliest, empty for a call.
        risk: Of an alarm; NaN: not known. So are the next four.
        threshold: That of the risk; infinite: it does not alarm.
        episode_failure: Probability that the episode fails at all.
        episode_threshold: That of it.
        lead_s: Time to the failure that was expected; NaN: beyond the longest horizon.
    """

    why: Why
    stamp_ns: int
    wall_s: float
    row: int = -1
    episode_id: str = ""
    step: int = -1
    kind: str = ""
    risk: float = math.nan
    threshold: float = math.nan
    episode_failure: float = math.nan
    episode_threshold: float = math.nan
    lead_s: float = math.nan

    def words(self) -> str:
        """Say it."""
        where = f" in '{self.episode_id}'" if self.episode_id else ""
        at = f" at step {self.step}" if self.step >= 0 else ""
        kind = f": {self.kind.replace('_', ' ')}" if self.kind not in ("", "none") else ""
        if self.why == "call":
            return f"called for{where}{at}"
        if self.why == "failure":
            return f"failure{kind}{where}{at}"
        risk = "not known" if math.isnan(self.risk) else f"{self.risk:.2f}"
        limit = f" (threshold {self.threshold:.2f})" if math.isfinite(self.threshold) else ""
        return f"alarm{kind}, risk {risk}{limit}{where}{at}"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Ending:
    """How an episode ended, as far as it was known when a clip was saved.

    Attributes:
        episode_id: The episode.
        ended_ns: Stamp of its end.
        outcome: How.
        kind: Finest kind of the failure; "none" without one.
        failure_ns: Stamp of the failure; -1 where there is none, or it is not known.
        intervened_ns: Stamp of the last step at which something else than the policy acted; -1
            for none.
    """

    episode_id: str
    ended_ns: int
    outcome: OutcomeName
    kind: str = "none"
    failure_ns: int = -1
    intervened_ns: int = -1


@dataclass(frozen=True, slots=True, config=_STRICT)
class ClipInfo:
    """What a clip says of itself.

    Attributes:
        reasons: Why it was saved, in the order they came; at least one.
        session: Of the recorder that saved it: ids of episodes mean the same in its clips.
        endings: How the last episodes ended, those of clips before among them.
        more: Reasons beyond those that are listed.
        unsaved: Reasons before it that got no clip, since the last that was saved.
        note: What a person should know of it, such as why it is short; empty for nothing.
    """

    reasons: tuple[Reason, ...]
    session: str = ""
    endings: tuple[Ending, ...] = ()
    more: int = 0
    unsaved: int = 0
    note: str = ""


_INFO = TypeAdapter(ClipInfo)


def clip_info(reader: StoreReader) -> ClipInfo | None:
    """What a store says of itself as a clip; None where it is none.

    Raises:
        StoreError: if what it says cannot be read.
    """
    said = reader.attributes.get(ATTRIBUTE)
    if said is None:
        return None
    try:
        info = _INFO.validate_python(said)
    except ValidationError as error:
        first = error.errors()[0]
        raise StoreError(
            f"'{reader.path}' does not say why it was saved ({first['msg']}: {first['loc']}); it "
            "is damaged, or of a later version of SALUS"
        ) from error
    if not info.reasons or len(reader) != 1:
        raise StoreError(f"'{reader.path}' is no whole clip: one has a reason and an episode")
    return info


def make_clip(folder: Path, path: Path, info: ClipInfo) -> None:
    """Make a clip of a closed store of one episode; it is there whole or not at all.

    Args:
        folder: The store, in a scratch folder on the disk of the clip; it can go then.
        path: The clip.
        info: What it says of itself.

    Raises:
        StoreError: if it cannot be written.
    """
    with store_errors(path, "write"):
        group = zarr.open_group(folder, mode="r+", use_consolidated=False)
        group.attrs[ATTRIBUTE] = json.loads(_INFO.dump_json(info))
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        named = {file.relative_to(folder).as_posix(): file for file in files}
        _zip(path, folder.with_name("clip.partial"), named, None)


def _zip(path: Path, part: Path, files: dict[str, Path], old: zipfile.ZipFile | None) -> None:
    """Write a zip of files by their names in it, and of those of an old one that they lack.

    Args:
        path: Where it is in the end.
        part: Where it is meanwhile, on the same disk.
        files: The files.
        old: The old one; None without.
    """
    try:
        with part.open("wb") as place:
            with zipfile.ZipFile(place, "w") as content:
                for name in old.namelist() if old is not None else ():
                    if name not in files:
                        assert old is not None
                        content.writestr(name, old.read(name))
                for name, file in files.items():
                    content.write(file, name)
            place.flush()
            os.fsync(place.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def is_clip(path: Path) -> bool:
    """Whether there is a clip; what cannot be read is none."""
    try:
        return is_packed(path) and clip_info(StoreReader(path)) is not None
    except StoreError:
        return False


class ClipStore(Closing):
    """The one writer of a clip that is labelled; a context manager as `EpisodeStore` is.

    All but the images and the other data is unpacked beside; after each label the file is
    replaced by one with the new label.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            StoreError: if it cannot be read, or has a writer already.
        """
        self.path = path
        with store_errors(path, "lock"):
            self._lock = lock_store(path)
        self._scratch = tempfile.TemporaryDirectory()
        self._part = path.with_name(f".{path.name}.partial")
        folder = Path(self._scratch.name) / "clip.zarr"
        try:
            with store_errors(path, "open"), zipfile.ZipFile(path) as content:
                self._part.unlink(missing_ok=True)  # of one who was killed
                names = [n for n in content.namelist() if _describes(n)]
                content.extractall(folder, names)
            self._store = EpisodeStore.open(folder)
        except BaseException:
            self.close()
            raise

    def relabel(
        self,
        index: int,
        outcome: Outcome,
        failure_type: FailureType,
        failure_step: int,
        failure_cause: str | None = None,
    ) -> EpisodeMeta:
        """As `EpisodeStore.relabel`."""
        meta = self._store.relabel(index, outcome, failure_type, failure_step, failure_cause)
        folder = self._store.path
        with store_errors(self.path, "label"), zipfile.ZipFile(self.path) as old:
            files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
            _zip(self.path, self._part, files, old)
        return meta

    def close(self) -> None:
        """Give the clip back to other writers."""
        if hasattr(self, "_store"):
            self._store.close()
        self._scratch.cleanup()
        self._lock.release()


def _describes(name: str) -> bool:
    """Whether a file of a store is needed to label it: all but the chunks of `data/`."""
    return not name.startswith("data/") or name.endswith("zarr.json")


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left of clips that it made in a folder."""
    for scratch in folder.glob(f"{SCRATCH}*"):
        try:
            lock_store(scratch / "clip.zarr").release()
        except (StoreError, OSError):
            continue  # a living one makes it
        shutil.rmtree(scratch, ignore_errors=True)
