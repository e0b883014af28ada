import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salus_ros.training.split import HELD_OUT, split_episodes

ENDINGS = ("success", "drop", "collision", "timeout")
many = st.lists(
    st.tuples(st.integers(0, 60).map(str), st.sampled_from(ENDINGS)), min_size=1, max_size=80
)


SHARES = {"validation": 0.1, "calibration": 0.15, "test": 0.1}


def parts_of(pairs, shares=SHARES, seed=0):
    return split_episodes([key for key, _ in pairs], [ending for _, ending in pairs], shares, seed)


@settings(deadline=None)
@given(many, st.integers(0, 5))
def test_every_episode_is_in_exactly_one_part(pairs, seed):
    parts = parts_of(pairs, seed=seed)
    assert sorted(sum(parts.values(), ())) == list(range(len(pairs)))


@settings(deadline=None)
@given(many, st.integers(0, 5))
def test_repeats_of_an_episode_stay_together(pairs, seed):
    parts = parts_of(pairs, seed=seed)
    homes = {key: {name for name in parts for n in parts[name] if pairs[n][0] == key}
             for key, _ in pairs}  # fmt: skip
    assert all(len(home) == 1 for home in homes.values())


@settings(deadline=None)
@given(st.lists(st.sampled_from(ENDINGS), min_size=1, max_size=80), st.integers(0, 5))
def test_a_part_has_every_ending_it_can_have(endings, seed):
    parts = parts_of([(str(n), ending) for n, ending in enumerate(endings)], seed=seed)
    for ending in set(endings):
        if endings.count(ending) > len(HELD_OUT):
            for part in parts.values():
                assert ending in {endings[n] for n in part}
    assert parts["train"]
    if len(endings) > len(HELD_OUT):
        assert all(parts[part] for part in HELD_OUT)


def test_shares_of_many_episodes():
    parts = parts_of([(str(n), ENDINGS[n % 4]) for n in range(200)])
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 128,
        "validation": 20,
        "calibration": 32,  # 7.5 of 50, rounded to the even one
        "test": 20,
    }


@pytest.mark.parametrize(
    ("endings", "sizes"),
    [
        (("drop",), (1, 0, 0, 0)),
        (("drop", "success"), (1, 1, 0, 0)),
        (("drop", "drop"), (1, 1, 0, 0)),
        (("drop", "success", "timeout"), (1, 1, 0, 1)),
        (("drop", "drop", "success", "success"), (1, 1, 1, 1)),
        (("drop",) * 3 + ("success",) * 3, (2, 2, 1, 1)),
        (("drop",) * 6, (3, 1, 1, 1)),
    ],
)
def test_a_handful_of_episodes(endings, sizes):
    parts = parts_of([(str(n), ending) for n, ending in enumerate(endings)])
    assert tuple(len(part) for part in parts.values()) == sizes


def test_the_seed_decides_the_deal():
    pairs = [(str(n), ENDINGS[n % 4]) for n in range(40)]
    assert parts_of(pairs, seed=1) == parts_of(pairs, seed=1)
    assert parts_of(pairs, seed=1) != parts_of(pairs, seed=2)


def test_a_part_without_a_share_stays_empty():
    pairs = [(str(n), ENDINGS[n % 4]) for n in range(40)]
    parts = parts_of(pairs, {"validation": 0.1, "calibration": 0.0, "test": 0.1})
    assert [len(part) for part in parts.values()] == [32, 4, 0, 4]


def test_large_shares_leave_something_to_train_on():
    pairs = [(str(n), ENDINGS[n % 2]) for n in range(10)]
    parts = parts_of(pairs, {"validation": 0.33, "calibration": 0.33, "test": 0.33})
    assert [len(part) for part in parts.values()] == [2, 4, 2, 2]
