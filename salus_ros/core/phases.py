"""Where an episode stands, with the numbers used in messages."""

from enum import IntEnum


class Phase(IntEnum):
    """Phase of an episode. The values equal the `PHASE_*` constants of EpisodeStatus."""

    IDLE = 0
    RUNNING = 1
    ENDED = 2
    FINISHED = 3
    DISCARDED = 4
