"""Moments of a store's episodes played on by parallel workers, for two observers.

What the world and the policy would do is known; what they draw from a moment on is not. The share
of its futures in which something happens is its probability for one who knows the state.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from salus_ros.collection.branches import Branches, Start
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.core.pool import Desk, Pool
from salus_ros.episodes.reader import StoreReader
from salus_ros.evaluation.limits import Fate
from salus_ros.policies.registry import POLICY_MODULES
from salus_ros.worlds.physics import ENV_ID

OBSERVERS = ("state", "state and plan")
"""Who knows the true state, and who knows the plan that was just drawn too."""


ACTION_ATOL = 0.01
"""How far an action may be from the recorded one; that processors round apart is far less."""

Fates = dict[str, list[Fate]]
"""How the futures of a moment went, for each of `OBSERVERS`."""


@dataclass(frozen=True, slots=True)
class BranchConfig:
    """What the futures of a store's moments depend on.

    Attributes:
        store: The store of the episodes.
        policy: Folder of the policy that acted in them.
        env_id: World that they ran in.
        replan_every: Steps between its replans there.
        noise_memory: Of the policy there, see `PolicyRunner`.
        branches: Futures for each observer.
        horizon: Steps after the moment within which failures are to be known.
        seed: Of all new noise.
        device: Torch device of the policy.
    """

    store: str
    policy: Path
    env_id: str = ENV_ID
    replan_every: int = 3
    noise_memory: float | None = None
    branches: int = 4
    horizon: int = 15
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Moment:
    """A step of an episode at which the policy planned anew.

    Attributes:
        episode: Index in the store.
        step: The step.
        to_the_end: Whether its futures run to their end, and not only until the horizon.
    """

    episode: int
    step: int
    to_the_end: bool = False


def moment_pool(
    config: BranchConfig, moments: Sequence[Moment], workers: int
) -> Pool[Moment, Fates | None]:
    """A pool that plays the futures of each moment, see `play_moment`.

    What it gives for a moment depends on that and `config` alone.
    """
    return Pool(
        partial(_work, config),
        moments,
        workers,
        restart=True,
        ahead=16 * max(1, workers),
        advice="use fewer --workers or --branches",
        preload=POLICY_MODULES,
    )


def _work(config: BranchConfig, desk: Desk[Moment, Fates | None]) -> None:
    """Body of a worker."""
    reader = StoreReader(config.store)
    branches = Branches(
        config.policy,
        config.env_id,
        config.branches * len(OBSERVERS),
        config.replan_every,
        config.noise_memory,
        config.device,
    )
    checked = False
    for moment in desk:
        if moment is not None:
            if not checked and moment.step > 0:  # before, both kinds of noise are alike
                check_policy(config, reader, branches, moment)
                checked = True
            desk.send(moment, play_moment(config, reader, branches, moment))
            desk.done(moment)
    branches.close()


def check_policy(
    config: BranchConfig, reader: StoreReader, branches: Branches, moment: Moment
) -> None:
    """Let the policy act at a moment with the episode's own noise.

    Raises:
        ConfigError: if it does not do what was done, so that its other futures mean nothing.
    """
    rows = reader.rows(moment.episode)
    action, state = reader.to_numpy(["action", "state"], rows).values()
    meta, step = reader.meta(moment.episode), moment.step
    own = branches.play(meta, action, state[: step + 1], [Start(None)], horizon=1)
    if own is not None and np.abs(own[0].actions[0] - action[step]).max() > ACTION_ATOL:
        raise ConfigError(
            f"at step {step} of episode {moment.episode} of '{config.store}' the policy does not "
            f"do what it did, with a noise memory of {config.noise_memory} steps (None: its own); "
            "give --noise-memory as the episodes were collected with"
        )


def play_moment(
    config: BranchConfig, reader: StoreReader, branches: Branches, moment: Moment
) -> Fates | None:
    """How the futures of a moment go; None if the replay does not come to its recorded state.

    Who knows the plan knows of it the actions that the episode did, until its next replan.
    """
    meta, rows = reader.meta(moment.episode), reader.rows(moment.episode)
    recorded = reader.to_numpy(["action", "state"], rows)
    seeds = [_seed(config.seed, meta.seed, moment.step, n) for n in range(config.branches)]
    futures = branches.play(
        meta,
        recorded["action"],
        recorded["state"][: moment.step + 1],
        [Start(seed, follow) for follow in (0, config.replan_every) for seed in seeds],
        None if moment.to_the_end else config.horizon,
    )
    if futures is None:
        return None
    fates, count = [future.fate for future in futures], config.branches
    return {name: fates[n * count : (n + 1) * count] for n, name in enumerate(OBSERVERS)}


def _seed(*parts: int) -> int:
    """A seed of its own for each future, far from those of any episode."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


class PlayedMoments:
    """What has been played, kept in a file a line for each moment.

    Attributes:
        fates: By moment; None where the replay did not come to the recorded state.

    Args:
        path: The file, gone on with where it is there; None to keep nothing.
        settings: JSON values that decide what is played.

    Raises:
        ConfigError: if the file was begun with other settings.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self.fates: dict[Moment, Fates | None] = {}
        self._file = None if path is None else path.open("a+")
        if self._file is None:
            return
        self._file.seek(0)
        text, asked = self._file.read(), json.dumps(settings)
        head, *lines = text.splitlines() or [asked]
        if head != asked:
            raise ConfigError(
                f"'{path}' was begun with {head:.500}, asked is {asked}; give the same options, "
                "or another file"
            )
        if not text:
            self._write(settings)
        elif not text.endswith("\n"):
            self._file.write("\n")
        for line in lines:
            try:
                *moment, found = json.loads(line)
            except ValueError:  # cut off by a kill
                continue
            self.fates[Moment(*moment)] = found and {
                name: [Fate(length, FailureType(kind), step) for length, kind, step in some]
                for name, some in found.items()
            }

    def add(self, moment: Moment, fates: Fates | None) -> None:
        """Keep what became of a moment."""
        self.fates[moment] = fates
        self._write((moment.episode, moment.step, moment.to_the_end, fates))

    def _write(self, values: Any) -> None:
        if self._file is not None:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()
