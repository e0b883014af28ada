import dataclasses

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode

from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.layouts.gaps import missing, stretches

SPEC = dataclasses.replace(WITH_IMAGES, streams=("front", "state", "prediction"))
STEPS = 20


def stored(path, *, spec=SPEC, stamp_ns=None, lacking=(), **changed):
    """A reader of one episode of 20 steps; `lacking` has (array, first, stop) of what is not."""
    episode = make_episode("bag", STEPS, spec=spec)
    ages = np.tile(np.array([3.0, 1.0, np.nan], np.float32), (STEPS, 1))
    arrays = {"state": episode.state.copy(), "action": episode.action.copy()}
    for name, first, stop in lacking:
        if name == "front":
            ages[first:stop, 0] = np.nan
        else:
            arrays[name][first:stop, 2] = np.nan
    changed = {"age_ms": ages if spec.streams else None} | arrays | changed
    if stamp_ns is not None:
        changed["stamp_ns"] = stamp_ns
    with EpisodeStore.create(path / "a.zarr", spec) as store:
        store.append(dataclasses.replace(episode, **changed))
    return StoreReader(path / "a.zarr")


def cut(reader, fps=30):
    found, gaps = stretches(reader, 0, fps)
    return [(steps.start, steps.stop) for steps in found], [str(gap) for gap in gaps]


def even(rate_hz):
    return 1 + np.round(np.arange(STEPS) * 1e9 / rate_hz).astype(np.int64)


def test_a_whole_episode_is_one_stretch(tmp_path):
    assert cut(stored(tmp_path)) == ([(0, STEPS)], [])


@pytest.mark.parametrize(
    ("lacking", "found", "said"),
    [
        ([("front", 8, 12)], [(0, 8), (12, 20)], ["steps 8 to 11 left out: no front"]),
        ([("action", 0, 3)], [(3, 20)], ["steps 0 to 2 left out: no action"]),
        ([("state", 19, 20)], [(0, 19)], ["step 19 left out: no state"]),
        ([("front", 5, 9), ("action", 8, 12)], [(0, 5), (12, 20)], ["no action, no front"]),
        (
            [("front", 5, 6), ("front", 7, 8)],
            [(0, 5), (8, 20)],
            ["step 5 left out: no front", "step 6 left out: a whole step alone", "step 7"],
        ),
        ([("state", 0, 20)], [], ["steps 0 to 19 left out: no state"]),
    ],
)
def test_a_stretch_ends_where_a_step_lacks_something(tmp_path, lacking, found, said):
    parts, gaps = cut(stored(tmp_path, lacking=lacking))
    assert parts == found
    assert len(gaps) == len(said)
    for gap, words in zip(gaps, said, strict=True):
        assert words in gap
        assert gap.startswith("episode 0 ('bag'), ")


@pytest.mark.parametrize(
    ("late_s", "cuts"), [(2.0, True), (0.02, True), (-0.02, True), (0.01, False)]
)
def test_a_hole_in_time_ends_a_stretch(tmp_path, late_s, cuts):
    stamps = even(30)
    stamps[12:] += round(late_s * 1e9)
    parts, gaps = cut(stored(tmp_path, stamp_ns=stamps))
    assert parts == ([(0, 12), (12, 20)] if cuts else [(0, 20)])
    assert len(gaps) == cuts
    assert all(f"cut before step 12: {1 / 30 + late_s:.3f} s from" in gap for gap in gaps)


def test_a_hole_beside_a_gap_is_not_told_twice(tmp_path):
    stamps = even(30)
    stamps[12:] += 10**9
    _, gaps = cut(stored(tmp_path, stamp_ns=stamps, lacking=[("front", 8, 12)]))
    assert len(gaps) == 1


def test_steps_at_another_rate_are_left_out_and_theirs_is_named(tmp_path):
    assert cut(stored(tmp_path, stamp_ns=even(27))) == (
        [],
        ["episode 0 ('bag'), steps 0 to 19 left out: steps come at 27.00 per second, not at 30"],
    )
    assert cut(StoreReader(tmp_path / "a.zarr"), fps=27)[0] == [(0, STEPS)]


def test_where_no_age_is_known_every_frame_counts(tmp_path):
    reader = stored(tmp_path, age_ms=np.full((STEPS, 3), np.nan))
    assert "front" not in missing(reader, 0)
    assert cut(reader) == ([(0, STEPS)], [])


def test_a_store_without_ages_and_images(tmp_path):
    reader = stored(tmp_path, spec=dataclasses.replace(LOW_DIM, streams=()))
    assert set(missing(reader, 0)) == {"state", "action"}
