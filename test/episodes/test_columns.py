import numpy as np
import pytest

from salus_ros.core.errors import StoreError
from salus_ros.episodes.columns import columns


def test_columns_are_brought_into_our_order():
    theirs = np.array([[100.0, 200.0, 0.0], [101.0, 201.0, 1.0]])
    ours = theirs[:, columns(("a", "b", "c"), ("b", "c", "a"))]
    assert ours.tolist() == [[0, 100, 200], [1, 101, 201]]


@pytest.mark.parametrize(
    ("ours", "theirs"), [((), ("b", "a")), (("a", "b"), ()), (("a", "b"), ("a", "b"))]
)
def test_nothing_moves_where_names_are_unknown_or_the_same(ours, theirs):
    values = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(values[:, columns(ours, theirs)], values)


@pytest.mark.parametrize("theirs", [("a", "c"), ("a",), ("a", "b", "c"), ("a", "a")])
def test_other_names_are_refused_with_both_lists(theirs):
    with pytest.raises(StoreError) as error:
        columns(("a", "b"), theirs, "state")
    assert str(list(theirs)) in str(error.value)
    assert "['a', 'b']" in str(error.value)
