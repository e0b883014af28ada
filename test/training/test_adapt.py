"""What few episodes of one's own can promise."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import Outcome
from salus_ros.prediction.config import PRESETS
from salus_ros.training.adapt import LARGEST_SHARE, deal, promise_of
from salus_ros.training.split import split_episodes
from salus_ros.training.train import split_fractions

TCN = PRESETS["tcn"]


def records(good, *bad):
    """So many successes, and so many failures of each kind."""
    return [
        SimpleNamespace(
            meta=SimpleNamespace(outcome=Outcome.FAILURE if kind else Outcome.SUCCESS),
            stratum=str(kind),
            key=f"{kind}-{place}",
        )
        for kind, count in enumerate((good, *bad))
        for place in range(count)
    ]


def test_as_many_are_kept_for_the_threshold_as_the_promise_needs():
    config = deal(records(60, 20), TCN, 0.05)
    assert 19 <= round(config.calibration_fraction * 60) <= 20
    before = TCN.train_fraction + TCN.calibration_fraction
    assert config.train_fraction + config.calibration_fraction == pytest.approx(before)


def test_twice_as_many_where_half_of_them_has_to_fit_the_probabilities():
    """Where no failure is left for the validation part."""
    several = records(100, *[1] * 5)
    config = deal(several, TCN, 0.05)
    part = split_episodes(
        [one.key for one in several],
        [one.stratum for one in several],
        split_fractions(config),
        config.seed,
    )["validation"]
    assert {several[place].meta.outcome for place in part} == {Outcome.SUCCESS}
    assert 38 <= round(config.calibration_fraction * 100) <= 39


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
    assert (said.needed, said.more) == (49, 19)  # 19 of four in ten
    enough = deal(records(said.needed, 20), TCN, 0.05)
    assert round(enough.calibration_fraction * said.needed) >= 19
    fewer = deal(records(said.needed - 3, 20), TCN, 0.05)
    assert round(fewer.calibration_fraction * (said.needed - 3)) < 19


def test_a_promise_that_is_made_needs_no_more():
    said = promise_of(SimpleNamespace(successes=19), records(49, 20), 0.05)
    assert said.promised
    assert said.more == 0
    assert replace(said, alpha=0.5).to_json()["interval"] == list(said.interval)
