"""The episodes of a store with what is seen ahead along the plan, by parallel workers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from salus_ros.core.errors import ConfigError
from salus_ros.core.pool import Desk, Lost, Pool
from salus_ros.episodes.derived import derived_store
from salus_ros.episodes.episode import Episode, EpisodeMeta
from salus_ros.episodes.reader import StoreReader
from salus_ros.prediction.lookahead import StepLookahead, look_ahead, with_lookahead
from salus_ros.worlds.cells import cell_name
from salus_ros.worlds.mujoco import PHYSICS


def lookahead_store(
    reader: StoreReader,
    out: str | Path,
    cell: str = "",
    *,
    workers: int = 1,
    images: bool = True,
    on_episode: Callable[[int], None] | None = None,
) -> int:
    """Write the episodes of a store with what is seen ahead at each step.

    All else stays as it was recorded. The same call goes on after a kill, and with the episodes
    that the store has got since.

    Args:
        reader: The store; its episodes have plan and joints.
        out: Folder of the new store.
        cell: Where they are looked ahead in, see `make_lookahead`; empty for the built-in world
            that they ran in.
        workers: Parallel processes.
        images: Whether to keep the images.
        on_episode: Called after each episode with the number of those that are there.

    Returns:
        How many episodes the new store has.

    Raises:
        ConfigError: if there is no such cell, or the episodes lack plan or joints.
        StoreError: if the new store cannot be written, or holds something else.
    """
    if not len(reader):
        raise ConfigError(f"'{reader.path}' has no episode to look ahead in; record some first")
    cell = cell or _cell_of(reader.episodes())
    spec = with_lookahead(reader.spec, StepLookahead(cell))
    if not images:
        spec = replace(spec, cameras=())
    with derived_store(reader, out, spec) as store:
        done = len(store)
        if on_episode is not None:
            on_episode(done)
        with Pool(
            partial(_work, str(reader.path), cell, images),
            range(done, len(reader)),
            workers,
            restart=True,
            ahead=4 * max(1, workers),
            size=lambda episode: sum(frames.nbytes for frames in episode.images.values()),
        ) as pool:
            for _, episode in pool.results():
                assert not isinstance(episode, Lost)  # what a worker lost is run again
                store.append(episode)
                if on_episode is not None:
                    on_episode(len(store))
        return len(store)


def _cell_of(metas: Sequence[EpisodeMeta]) -> str:
    """The cell that episodes of a built-in world ran in, whatever engine moved it.

    One without a world is of an arm of somebody's own, however its joints are called: the stores
    from before the world was kept have no plan.
    """
    cells = sorted({cell_name(meta.world) for meta in metas})
    if len(cells) != 1 or cells[0] not in PHYSICS:
        ran_in = ", ".join(cell or "a cell that they do not name" for cell in cells)
        raise ConfigError(
            f"the episodes ran in {ran_in}; a cell of one of {', '.join(PHYSICS)} is known by "
            "itself, name another with --cell"
        )
    return cells[0]


def _work(path: str, cell: str, images: bool, desk: Desk[int, Episode]) -> None:
    """Body of a worker."""
    reader, look = StoreReader(path), StepLookahead(cell)
    for index in desk:
        if index is not None:
            episode = reader.episode(index, images=images)
            desk.send(index, look_ahead(episode, reader.spec, look))
            desk.done(index)
