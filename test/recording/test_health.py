import math

import pytest

from salus_ros.recording.assembly import Row
from salus_ros.recording.health import WINDOW_STEPS, StreamHealth

MS = 1_000_000


class Watched:
    """A health of two streams, whose newest stamps the test sets."""

    def __init__(self):
        self.newest_ns = {"front": -1, "signals": -1}
        ages = {"front": 50.0, "signals": 50.0}
        self.health = StreamHealth(ages, ("front",), self.newest_ns.__getitem__)

    def rows(self, *ages_ms, first=0):
        for step, age_ms in enumerate(ages_ms, first):
            self.health.add(Row(step, step, age_ms={"front": age_ms, "signals": 0.0}))

    @property
    def front(self):
        return self.health.figures()[0]


def test_without_a_step_nothing_is_known():
    figures = Watched().front
    assert all(math.isnan(v) for v in (figures.age_p50_ms, figures.age_p95_ms, figures.gap_share))


def test_ages_are_of_the_samples_that_were_used():
    watched = Watched()
    watched.rows(*range(1, 21), math.nan, math.nan, math.nan, math.nan, math.nan)
    assert (watched.front.age_p50_ms, watched.front.age_p95_ms) == (10, 19)
    assert watched.front.gap_share == pytest.approx(0.2)


def test_only_the_last_steps_count_and_an_episode_begins_anew():
    watched = Watched()
    watched.rows(*[math.nan] * 10, *[1.0] * WINDOW_STEPS)
    assert watched.front.gap_share == 0
    watched.rows(math.nan)
    assert watched.front.gap_share == 1


@pytest.mark.parametrize(
    ("newest_ms", "said"),
    [
        ((-1, -1), ""),
        ((-1, 100), "'front' has never arrived"),
        ((100, -1), ""),
        ((5000, 5000), ""),
        ((5000, 3500), "'signals' stopped 1.5 s ago"),
        ((3500, 5000), "'front' stopped 1.5 s ago"),
    ],
)
def test_a_stream_that_is_behind_the_others_has_stopped(newest_ms, said):
    watched = Watched()
    watched.rows(0.0)
    watched.newest_ns |= dict(zip(watched.newest_ns, (m * MS for m in newest_ms), strict=True))
    assert watched.health.warning() == said


def test_more_gaps_than_a_tenth_are_said():
    watched = Watched()
    watched.newest_ns |= {"front": 5, "signals": 5}
    watched.rows(*[0.0] * 18, math.nan, math.nan)
    assert watched.health.warning() == ""
    watched.rows(math.nan, first=20)
    assert watched.health.warning() == (
        "'front' was missing or over 50 ms old in 3 of the last 21 steps"
    )
