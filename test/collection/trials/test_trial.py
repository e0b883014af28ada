"""A whole trial: it goes on where it was stopped, and does not depend on where that was."""

import pytest
from recordings import CONFIG

from salus_ros.collection.trials import trial as trials
from salus_ros.collection.trials.config import TrialConfig
from salus_ros.core.errors import ConfigError


def run(config, folder, told):
    return trials.run_trial(
        config,
        folder / "none.zarr",
        folder / "courses.jsonl",
        episodes=2,
        seed=0,
        on_course=lambda done, total, words: told.append((done, total)),
    )


def test_what_is_done_is_not_done_again(model, tmp_path):
    config = TrialConfig(CONFIG, model, ("none", "hold@clock", "scripted@oracle"))
    told = []
    first = run(config, tmp_path, told)
    assert told == [(n, 4) for n in (1, 2, 3, 4)]
    assert list(first.figures["arms"]) == ["hold@clock", "scripted@oracle"]
    assert first.figures["episodes"] == 2
    assert first.figures["doubt"] == ""
    path = tmp_path / "courses.jsonl"
    path.write_text(path.read_text()[:-40])
    again = []
    assert run(config, tmp_path, again).figures == first.figures
    assert again == [(4, 4)]
    nothing = []
    assert run(config, tmp_path, nothing).figures == first.figures
    assert not nothing


def test_a_rate_that_is_not_promised_is_refused_before_anything_runs(model, tmp_path):
    for alpha, reason in ((0.01, "cannot be promised"), (0.123, "calibrated for")):
        config = TrialConfig(CONFIG, model, ("hold",), alpha)
        with pytest.raises(ConfigError, match=reason):
            run(config, tmp_path, [])
    assert not list(tmp_path.iterdir())


def test_arms_that_there_are_not_are_refused(model):
    for arms, reason in (
        (("dance@alarm",), "no recovery behaviour 'dance'"),
        (("policy",), "needs the folder of a second policy"),
        (("hold", "hold"), "given twice"),
    ):
        with pytest.raises(ConfigError, match=reason):
            TrialConfig(CONFIG, model, arms)
