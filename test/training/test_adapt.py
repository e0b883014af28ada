"""What few episodes of one's own can promise."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import Outcome
from salus_ros.prediction.config import PRESETS
from salus_ros.training.adapt import LARGEST_SHARE, deal, promise_of

TCN = PRESETS["tcn"]


def records(good, bad):
    return [
        SimpleNamespace(meta=SimpleNamespace(outcome=outcome))
        for outcome, count in ((Outcome.SUCCESS, good), (Outcome.FAILURE, bad))
        for _ in range(count)
    ]


def test_as_many_are_kept_for_the_threshold_as_the_promise_needs():
    config = deal(records(120, 20), TCN, 0.05)
    assert 38 <= round(config.calibration_fraction * 120) <= 39  # 19 of them set the threshold
    before = TCN.train_fraction + TCN.calibration_fraction
    assert config.train_fraction + config.calibration_fraction == pytest.approx(before)


def test_many_episodes_are_dealt_as_usual():
    assert deal(records(1000, 200), TCN, 0.05) == TCN


def test_the_network_keeps_episodes_to_learn_from():
    assert deal(records(30, 20), TCN, 0.01).calibration_fraction == LARGEST_SHARE


@pytest.mark.parametrize(("good", "bad"), [(4, 50), (50, 4)])
def test_too_few_episodes_are_named(good, bad):
    with pytest.raises(ConfigError, match=f"{good} successful and {bad} failed .* at least 5"):
        deal(records(good, bad), TCN, 0.05)


def test_a_promise_that_cannot_be_made_says_what_it_takes():
    said = promise_of(SimpleNamespace(successes=12), records(30, 20), 0.05)
    assert not said.promised
    assert said.least_alpha == pytest.approx(1 / 13)
    assert said.interval == (0.0, 0.0)  # nothing alarms
    assert (said.needed, said.more) == (95, 65)  # 19 and 19 of four in ten
    enough = deal(records(said.needed, 20), TCN, 0.05)
    assert round(enough.calibration_fraction * said.needed) // 2 == 19


def test_a_promise_that_is_made_needs_no_more():
    said = promise_of(SimpleNamespace(successes=19), records(95, 20), 0.05)
    assert said.promised
    assert said.more == 0
    assert replace(said, alpha=0.5).to_json()["interval"] == list(said.interval)
