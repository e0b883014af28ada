"""What a PolicyAction says of the plan that its action is of."""

from types import SimpleNamespace

import numpy as np
import pytest

from salus_ros.core.errors import ObservationError
from salus_ros.messages.plans import has_chunk, read_plan

SAMPLES = np.arange(24, dtype=np.float32).reshape(2, 4, 3)


def message(**change):
    given = {
        "action": [0.0, 1.0, 2.0],
        "chunk": SAMPLES[0].ravel(),
        "chunk_length": 4,
        "chunk_step": 0,
        "chunk_samples": SAMPLES.ravel(),
        "num_samples": 2,
        "action_scale": [1.0, 2.0, 4.0],
    }
    return SimpleNamespace(**(given | change))


def test_a_chunk_with_its_samples_is_read():
    row = read_plan(message())
    np.testing.assert_array_equal(row.chunks, SAMPLES)
    np.testing.assert_array_equal(row.scale, [1, 2, 4])
    assert row.chunk_step == 0


def test_a_chunk_alone_and_no_scale():
    row = read_plan(message(chunk_samples=[], num_samples=0, action_scale=[], chunk_step=3))
    np.testing.assert_array_equal(row.chunks, SAMPLES[:1])
    np.testing.assert_array_equal(row.scale, [1, 1, 1])


def test_an_action_that_goes_on_with_the_last_chunk():
    given = message(chunk=[], chunk_samples=[], chunk_step=9)
    assert not has_chunk(given)
    assert (read_plan(given).chunks, read_plan(given).chunk_step) == (None, 9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"action": []}, "its action has 0 values"),
        ({"action": [0.0, np.inf, 0.0]}, "its action has 3 values, finite or not"),
        ({"action_scale": [1.0, 1.0]}, "it needs 3 numbers above 0"),
        ({"action_scale": [1.0, np.nan, 1.0]}, "it needs 3 numbers above 0"),
        ({"chunk_length": 0}, "0 actions .* need 0"),
        ({"chunk_length": 2**32 - 1}, "its chunk has 12 values"),
        ({"chunk_step": 4}, "is at action 4"),
        ({"num_samples": 3}, r"3 \(num_samples\) chunks of 12 values need 36"),
        ({"chunk": []}, "its chunk has 0 values"),
        ({"chunk_samples": np.full(24, np.nan)}, "not finite, or the first of"),
        ({"chunk_samples": SAMPLES[::-1].ravel()}, "the first of chunk_samples is not chunk"),
    ],
)
def test_what_contradicts_itself_is_refused(change, said):
    given = message(**change)
    with pytest.raises(ObservationError, match=said):
        read_plan(given)
