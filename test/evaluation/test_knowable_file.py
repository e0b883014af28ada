"""Limits beside precisions, from the file of the repository and from made-up ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, make_episode, make_samples

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FAILURE_TYPES
from salus_ros.evaluation.knowable_file import Limits, mean_outputs
from salus_ros.evaluation.step_evaluation import precision_by_output
from salus_ros.worlds.physics import ENV_ID

MEASURED = Path(__file__).parents[2] / "benchmark" / "results" / "knowable.json"


def test_the_limits_of_the_shipped_episodes_are_those_with_the_plan():
    limits = Limits.load(MEASURED)
    content = json.loads(MEASURED.read_text())
    known = content["observers"]["state and plan"]["by_horizon_and_type"]
    assert limits.precision["0.2 s"]["drop"] == known["0.2 s"]["drop"]["average_precision"]
    assert (limits.store, limits.world) == ("shipped:standard", ENV_ID)


def test_skill_is_precision_over_limit_and_unknown_without_either():
    limits = Limits("f", "s", "w", {"0.5 s": {"drop": 0.8, "collision": None, "other": 0.0}})
    one = {"average_precision": 0.2, "base_rate": 0.01}
    none = {"average_precision": None, "base_rate": 0.0}
    given = {"0.5 s": {"drop": one, "collision": one, "other": one, "timeout": none}}
    found = limits.beside(given | {"1 s": {"drop": one}})
    assert found["0.5 s"]["drop"] == one | {"limit": 0.8, "skill": pytest.approx(0.25)}
    assert found["0.5 s"]["collision"] == one | {"limit": None, "skill": None}
    assert found["0.5 s"]["other"] == one | {"limit": 0.0, "skill": None}
    assert found["0.5 s"]["timeout"] == none | {"limit": None, "skill": None}
    assert found["1 s"]["drop"]["skill"] is None


def test_limits_of_another_world_are_refused():
    limits = Limits("f", "s", "salus/PickPlace-v1", {})
    here, there = (
        make_samples([make_episode("a", 30, world=world)], LOW_DIM)
        for world in ("salus/PickPlace-v1", "salus/PickPlace-v0")
    )
    limits.check(here)
    limits.check(make_samples([make_episode("a", 30)], LOW_DIM))  # does not say
    with pytest.raises(ConfigError, match=r"of salus/PickPlace-v1, the episodes ran in .*v0"):
        limits.check(there)


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        '{"benchmark": "other"}',
        '{"benchmark": "knowable", "observers": {"state": {}}}',
        '{"benchmark": "knowable", "store": "s", "env_id": "w", "observers": {"state and plan": '
        '{"by_horizon_and_type": {"0.5 s": {"drop": {"average_precision": 1.5}}}}}}',
    ],
)
def test_a_file_without_limits_is_refused(tmp_path, text):
    file = tmp_path / "limits.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"has no limits .* give what benchmark/knowable.py"):
        Limits.load(file)
    with pytest.raises(ConfigError, match="cannot read the limits"):
        Limits.load(tmp_path / "absent.json")


def test_precision_of_each_output_beside_its_base_rate():
    labels = np.zeros((5, 1, 4), bool)
    labels[[0, 3], 0, 0] = True
    scores = np.array([0.9, 0.8, np.nan, 0.7, 0.1])
    found = precision_by_output(scores, labels, (0.5,), FAILURE_TYPES)["0.5 s"]
    assert found["drop"]["base_rate"] == 0.5  # of the four that were judged
    assert found["drop"]["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["collision"] == {"average_precision": None, "base_rate": 0.0}
    several = np.zeros((5, 1, 4))
    several[:, 0, 0] = [5, 1, 2, 4, 3]
    own = precision_by_output(several, labels, (0.5,), FAILURE_TYPES)["0.5 s"]
    assert own["drop"]["average_precision"] == 1.0
    nothing = precision_by_output(scores[:0], labels[:0], (0.5,), FAILURE_TYPES)["0.5 s"]
    assert nothing["drop"] == {"average_precision": None, "base_rate": None}


def test_the_mean_over_splits_is_of_those_that_define_it():
    def split(value):
        return {"0.5 s": {"drop": {"average_precision": value, "base_rate": 0.5}}}

    assert mean_outputs([split(0.25), split(None), split(0.75)]) == split(0.5)
    assert mean_outputs([split(None)]) == split(None)
