import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import (
    FAILURE_TYPES,
    FailureType,
    counted_as,
    failure_types,
    kinds_of,
)

DROP, COLLISION, TIMEOUT, OTHER = FAILURE_TYPES
MISPLACED = FailureType.MISPLACED_RELEASE


@pytest.mark.parametrize(
    ("kind", "published"),
    [
        (FailureType.NONE, FailureType.NONE),
        (DROP, DROP),
        (COLLISION, COLLISION),
        (TIMEOUT, TIMEOUT),
        (OTHER, OTHER),
        (MISPLACED, DROP),
    ],
)
def test_every_type_counts_as_a_published_one(kind, published):
    assert counted_as(kind, FAILURE_TYPES) == published


@pytest.mark.parametrize(
    ("kind", "types", "counts"),
    [
        (MISPLACED, (DROP, MISPLACED), MISPLACED),
        (MISPLACED, (MISPLACED, DROP), MISPLACED),
        (MISPLACED, (MISPLACED,), MISPLACED),
        (MISPLACED, (DROP,), DROP),
        (MISPLACED, (COLLISION,), DROP),  # of none of them; as what it was published
        (DROP, (MISPLACED, COLLISION), DROP),  # the coarser one is no kind of the finer
        (TIMEOUT, (DROP, OTHER), TIMEOUT),
        (FailureType.NONE, (DROP,), FailureType.NONE),
    ],
)
def test_a_failure_counts_as_the_finest_type_that_covers_it(kind, types, counts):
    assert counted_as(kind, types) == counts


@pytest.mark.parametrize(
    ("kind", "cause", "finest"),
    [
        (DROP, "misplaced release", MISPLACED),
        (DROP, "drop", DROP),
        (DROP, "", DROP),
        (DROP, "collision", DROP),  # contradicts the type, which stands
        (MISPLACED, "drop", MISPLACED),
        (OTHER, "misplaced release", OTHER),
        (OTHER, "out of reach", OTHER),
        (TIMEOUT, "no progress", TIMEOUT),
        (DROP, "none", DROP),
    ],
)
def test_a_cause_refines_the_type_that_it_is_a_kind_of(kind, cause, finest):
    assert kind.refined(cause) == finest


def test_the_kinds_of_a_type_are_itself_and_what_is_finer():
    assert kinds_of(DROP) == (DROP, MISPLACED)
    assert kinds_of(COLLISION, MISPLACED) == (COLLISION, MISPLACED)


def test_a_list_is_read_in_its_order():
    given = ("other", "misplaced_release", "drop")
    assert failure_types(given) == (OTHER, MISPLACED, DROP)


@pytest.mark.parametrize(
    ("labels", "said"),
    [((), "none"), (("drop", "fall"), "drop, fall"), (("none",), "none"), (("drop",) * 2, "drop")],
)
def test_a_wrong_list_is_refused_with_what_is_allowed(labels, said):
    with pytest.raises(ConfigError) as error:
        failure_types(labels)
    assert str(error.value) == (
        f"failure types are {', '.join(labels) or 'none'}; allowed is each of drop, collision, "
        "timeout, other, misplaced_release once, and one at least"
    )
    assert said in str(error.value)
