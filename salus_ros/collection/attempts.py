"""Successful attempts of an expert, kept one by one until all are there."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from salus_ros.core.errors import ConfigError
from salus_ros.core.pool import Desk, Lost, Pool
from salus_ros.policies.registry import POLICY_MODULES
from salus_ros.policies.tiny.demonstrations import Demonstrations

SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A successful episode of T steps: see `Demonstrations`."""

    task: str
    images: npt.NDArray[np.uint8]
    state: npt.NDArray[np.float32]
    action: npt.NDArray[np.float32]


class Parts:
    """A folder with a file for each attempt that succeeded, by its number.

    Args:
        folder: The folder; made, or gone on with.
        settings: JSON values that decide what is attempted.

    Raises:
        ConfigError: if it was begun with other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path, asked = folder / SETTINGS, json.dumps(dict(settings))
        if not path.exists():
            path.write_text(asked)
        elif (begun := path.read_text()) != asked:
            raise ConfigError(
                f"'{folder}' was begun with {begun:.300}, asked is {asked:.300}; give the same "
                "options or another --out, or remove the folder"
            )

    def read(self) -> dict[int, Attempt]:
        """The attempts that are there, in the order of their numbers."""
        return {int(path.stem): _load(path) for path in sorted(self._folder.glob("*.npz"))}

    def add(self, number: int, made: Attempt) -> None:
        """Keep one, whole or not at all."""
        part = self._folder / f"{number}.part"
        with part.open("wb") as file:
            np.savez(
                file, task=made.task, images=made.images, state=made.state, action=made.action
            )
        part.replace(self._folder / f"{number:012d}.npz")


def gather(
    work: Callable[[Desk[int, Attempt]], None],
    attempts: Sequence[int],
    episodes: int,
    workers: int,
    parts: Parts | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Attempt]:
    """Let workers attempt until enough episodes are kept, or all is attempted.

    Args:
        work: Body of a worker, which sends an attempt where it succeeds.
        attempts: Their numbers, ascending; which are kept does not depend on the workers.
        episodes: How many to keep at most.
        workers: Parallel processes.
        parts: Where they are kept on the way; None for memory alone.
        progress: Called with the number of episodes kept so far.
    """
    found = {} if parts is None else parts.read()
    kept = list(found.values())[:episodes]
    if progress is not None and kept:
        progress(len(kept))
    if len(kept) == episodes:
        return kept
    last = max(found, default=-1)
    rest = [number for number in attempts if number > last]
    with Pool(
        work, rest, workers, restart=True, ahead=8 * workers, preload=POLICY_MODULES
    ) as pool:
        for number, made in pool.results():
            assert not isinstance(made, Lost)  # what a worker lost is run again
            kept.append(made)
            if parts is not None:
                parts.add(number, made)
            if progress is not None:
                progress(len(kept))
            if len(kept) == episodes:
                break
    return kept


def joined(kept: Sequence[Attempt], cameras: tuple[str, ...]) -> Demonstrations:
    """One attempt after the other."""
    return Demonstrations(
        images=np.concatenate([one.images for one in kept]),
        state=np.concatenate([one.state for one in kept]),
        action=np.concatenate([one.action for one in kept]),
        ends=np.cumsum([len(one.state) for one in kept]),
        tasks=tuple(one.task for one in kept),
        cameras=cameras,
    )


def _load(path: Path) -> Attempt:
    with np.load(path, allow_pickle=False) as f:
        return Attempt(str(f["task"]), f["images"], f["state"], f["action"])
