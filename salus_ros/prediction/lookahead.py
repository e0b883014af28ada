"""Looking ahead along the plan at each step, live and of recorded episodes alike."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.episodes.episode import Episode
from salus_ros.episodes.spec import StoreSpec
from salus_ros.messages.joints import joint_keys
from salus_ros.messages.signals import SignalsRow
from salus_ros.prediction.predictor import Predictor
from salus_ros.worlds.cells import Lookahead, cell_name, make_lookahead

QUANTITIES = ("position", "velocity")
"""What is read of the joints."""


class StepLookahead:
    """Looks ahead at the steps of one episode after the other.

    A step that does not follow on the last one begins anew: what the arm was told in between is
    not known.

    Attributes:
        keys: What is read of the joints, `joint_keys`.
        parts: What it consists of, as `extras.Parts` says it.

    Args:
        cell: Name of the cell, see `make_lookahead`.

    Raises:
        ConfigError: if there is no such cell.
    """

    def __init__(self, cell: str) -> None:
        self._look: Lookahead = make_lookahead(cell)
        self.keys = joint_keys(self._look.joint_names, QUANTITIES)
        self.parts = (cell_name(cell), *self._look.columns)
        self._last = -1

    @classmethod
    def of(cls, parts: tuple[str, ...]) -> "StepLookahead":
        """The one that a model was trained with.

        Raises:
            ConfigError: if there is no such cell any more, or it tells something else.
        """
        made = cls(parts[0])
        if made.parts != parts:
            raise ConfigError(
                f"the model was trained with a look-ahead in '{parts[0]}' that tells "
                f"{list(parts[1:])}, this version tells {list(made.parts[1:])}; train it again"
            )
        return made

    def reset(self) -> None:
        """Begin an episode."""
        self._last = -1
        self._look.reset()

    def read(
        self, said: SignalsRow, step: int, joints: NDArray[np.floating] | None
    ) -> NDArray[np.float16] | None:
        """Look ahead from a step.

        Args:
            said: What the policy says of it.
            step: Of the episode.
            joints: (1, W) by `keys`, NaN for what is not known; None where nothing is.

        Returns:
            (1, W); None where joints or plan are missing.
        """
        if said.plan is None or said.plan.ndim != 2 or joints is None:
            self.reset()
            return None
        if step != self._last + 1:
            self.reset()
        self._last = step
        positions, velocities = joints.reshape(len(QUANTITIES), -1)
        told = self._look.step(positions, velocities, said.plan, said.plan_step)
        if np.isnan(told).any():
            self.reset()
            return None
        return told[None]

    def add(
        self,
        extras: dict[str, NDArray[np.floating]],
        said: SignalsRow,
        step: int,
        joints: NDArray[np.floating] | None,
    ) -> None:
        """Look ahead, and put what is seen beside the other inputs of the step; see `read`."""
        seen = self.read(said, step, joints)
        if seen is not None:
            extras["lookahead"] = seen


def with_lookahead(spec: StoreSpec, look: StepLookahead) -> StoreSpec:
    """The sizes of a store whose episodes are looked ahead in.

    Raises:
        ConfigError: if the episodes lack the plan or a joint of the cell.
    """
    cell, *names = look.parts
    joints = {key.split(" ", 1)[1] for key in look.keys}
    lack = [name for name in sorted(joints) if name not in spec.joint_names]
    lack += [f"joint_{q}" for q in QUANTITIES if q not in spec.joint_quantities]
    lack += [] if spec.plan_length else ["plan"]
    if lack:
        raise ConfigError(
            f"to look ahead in '{cell}' the episodes lack {', '.join(lack)}; record the whole "
            "plan and the positions and velocities of all joints (salus collect does)"
        )
    return replace(spec, lookahead_cell=cell, lookahead_names=tuple(names))


def as_seen_live(episode: Episode, spec: StoreSpec, predictor: Predictor) -> Episode:
    """An episode with what a predictor that looks ahead saw live, which no recorder keeps.

    The same episode where it is there already, cannot be made, or is not read.
    """
    parts = predictor.checkpoint.features.parts.get("lookahead")
    if parts is None or episode.lookahead is not None:
        return episode
    look = StepLookahead.of(parts)
    try:
        with_lookahead(spec, look)
    except ConfigError:
        return episode
    return look_ahead(episode, spec, look)


def look_ahead(episode: Episode, spec: StoreSpec, look: StepLookahead) -> Episode:
    """An episode with what is seen ahead at each step.

    Args:
        episode: It has plan and joints.
        spec: Sizes of its store.
        look: Looks ahead.
    """
    assert episode.plan is not None
    assert episode.plan_step is not None
    keys = joint_keys(spec.joint_names, QUANTITIES)
    there = (episode.joint_position, episode.joint_velocity)
    joints = np.concatenate([values for values in there if values is not None], axis=1)
    joints = joints[:, [keys.index(key) for key in look.keys]]
    seen = np.full((len(episode), len(look.parts) - 1), np.nan, np.float16)
    look.reset()
    for step in range(len(episode)):
        present = episode.plan_step[step]
        if np.isnan(present):
            look.reset()
            continue
        said = SignalsRow(
            episode.signals[step],
            episode.signals_valid[step],
            bool(episode.signals_fresh[step]),
            np.zeros(0, np.float16),
            plan=episode.plan[step],
            plan_step=int(present),
        )
        told = look.read(said, step, joints[step][None])
        if told is not None:
            seen[step] = told[0]
    return replace(episode, lookahead=seen)
