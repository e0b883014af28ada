"""What an expert does where a policy goes wrong: demonstrations that begin at an alarm.

In DAgger's way (Ross et al. 2011, arXiv 1011.0686) the expert takes over in the states that the
policy comes to; of them those in which a recovery takes the arm.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salus_ros.collection.attempts import Attempt, Parts, gather, joined
from salus_ros.collection.demonstrate import attempt
from salus_ros.collection.replay import advance, world_of
from salus_ros.collection.trials.plan import NEVER, first_alarms
from salus_ros.collection.trials.trial import recorded_episodes
from salus_ros.core.errors import StoreError
from salus_ros.core.pool import Desk
from salus_ros.episodes import EpisodeMeta
from salus_ros.policies.tiny.demonstrations import Demonstrations
from salus_ros.prediction.predictor import Predictor
from salus_ros.recovery.guards import SPEED
from salus_ros.recovery.watch import Watch
from salus_ros.training.dataset import samples_for
from salus_ros.worlds.catalogue import world_form

ROUNDS = 3
"""An episode's alarm is begun at so often at most, each time with other noise on the motion."""


@dataclass(frozen=True, slots=True, eq=False)
class Alarmed:
    """An episode up to its first alarm.

    Attributes:
        meta: The episode's.
        actions: Float32 (t, 7), those done before the step of the alarm.
    """

    meta: EpisodeMeta
    actions: NDArray[np.float32]


def alarmed_in(store: str | Path, model: Path, alpha: float) -> list[Alarmed]:
    """The episodes of a store in which a predictor alarms.

    Those that it was trained on are among them: what is learnt here is the expert's.

    Args:
        store: Episodes of a built-in world.
        model: A calibrated predictor whose inputs they have.
        alpha: Rate of its alarm, see `AlarmRate`.

    Raises:
        ConfigError: if the predictor has no such rate, or the episodes lack what it reads.
        StoreError: if there is no alarm in any.
    """
    predictor = Predictor.load(model)
    watch = Watch(predictor, alpha)
    recorded = recorded_episodes(samples_for(predictor, [store]), predictor, watch)
    steps = first_alarms([one.forecasts for one in recorded])
    found = [
        Alarmed(one.meta, one.actions[:step])
        for one, step in zip(recorded, steps, strict=True)
        if step != NEVER
    ]
    if not found:
        raise StoreError(
            f"the predictor alarms in none of the {len(recorded)} episodes of '{store}'; give "
            "more episodes, or a larger alpha"
        )
    return found


def record_corrections(
    alarmed: Sequence[Alarmed],
    episodes: int,
    seed: int,
    size_px: int,
    workers: int = 1,
    parts: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Demonstrations:
    """Record what the expert of the world does from alarms on, where it succeeds.

    It keeps to the speed that a behaviour is allowed (`SPEED`).

    Args:
        alarmed: Where to begin, one after the other in an order of chance.
        episodes: How many to keep at most.
        seed: Of that order and of the noise on the motion.
        size_px: Side of the images that are kept.
        workers: Parallel processes; the result does not depend on it.
        parts: Folder for the episodes on the way, see `Parts`; the same call goes on with it.
        progress: Called with the number of episodes kept so far.

    Raises:
        ConfigError: if the episodes are not of one built-in world, or `parts` are of another call.
        StoreError: if the expert never succeeds.
    """
    env_id = world_of([one.meta for one in alarmed])
    order = np.random.default_rng(seed).permutation(len(alarmed)).tolist()
    ordered = [alarmed[place] for place in order]
    work = partial(_work, env_id, ordered, seed, size_px)
    begun = [(one.meta.seed, len(one.actions)) for one in ordered]
    settings = {"env_id": env_id, "begun_at": begun, "seed": seed, "size_px": size_px}
    made = None if parts is None else Parts(parts, settings)
    attempts = range(ROUNDS * len(ordered))
    kept = gather(work, attempts, episodes, workers, made, progress)
    if not kept:
        raise StoreError(f"the expert succeeds from none of {len(alarmed)} alarms")
    return joined(kept, world_form(env_id).cameras)


def _work(
    env_id: str, alarmed: Sequence[Alarmed], seed: int, size_px: int, desk: Desk[int, Attempt]
) -> None:
    """Body of a worker."""
    form = world_form(env_id)
    env = form.make(0)
    for number in desk:
        assert number is not None  # one at a time
        where = alarmed[number % len(alarmed)]
        begin = partial(advance, env, where.meta, where.actions)
        made = attempt(form, env, begin, seed + number, size_px, SPEED)
        if made is not None:
            desk.send(number, made)
        desk.done(number)
    env.close()
