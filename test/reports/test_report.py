"""The report on hand-made episodes, whose every number can be said beforehand."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode, make_store

from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.episodes import EpisodeStore
from salus_ros.reports.figures.colours import ENDING_COLOURS
from salus_ros.reports.figures.filmstrip import MOMENTS, filmstrips
from salus_ros.reports.figures.timeline import draw_risk
from salus_ros.reports.numbers.episodes import faults, outcomes
from salus_ros.reports.numbers.missing import missing_data
from salus_ros.reports.numbers.recordings import load_recordings
from salus_ros.reports.numbers.signals import (
    ALL,
    CLOCK,
    NO_TIMEOUT,
    describe_signal,
    signal_values,
    way_to_failure,
)
from salus_ros.reports.pages.recordings import write_report

DROP, TIMEOUT, NONE = FailureType.DROP, FailureType.TIMEOUT, FailureType.NONE
COLLISION, MISPLACED = FailureType.COLLISION, FailureType.MISPLACED_RELEASE
FIGURES = {
    "outcomes.png", "lengths.png", "failure_times.png", "signals.png", "aurocs.png",
    "before_failure.png", "episode.png",
}  # fmt: skip


def unlabelled(name, length=30):
    meta = {"outcome": Outcome.UNKNOWN, "failure_type": NONE, "failure_step": -1}
    return make_episode(name, length, **meta)


def write(path, episodes, spec=LOW_DIM):
    with EpisodeStore.create(path, spec) as store:
        for episode in episodes:
            store.append(episode)
    return path


def report(stores, out, **options):
    """Write the report; returns the page, and the numbers after a check that both are whole."""
    page = write_report(stores, out, **options)
    html = page.read_text()
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)', html) == []  # self-contained
    drawn = [file for file in out.iterdir() if file.suffix == ".png"]
    assert html.count("<img") == len(drawn)
    assert all(file.read_bytes()[:4] == b"\x89PNG" for file in drawn)
    assert "nan" not in re.sub(r'base64,[^"]+', "", html).lower().replace("stored as nan", "")
    return html, json.loads((out / "report.json").read_text())


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Two stores of two conditions, with faults and an unlabelled episode."""
    folder = tmp_path_factory.mktemp("report")
    standard = [
        make_episode("s0", 60, task="a <b>", condition="standard"),
        make_episode("s1", 62, task="c", condition="standard"),
        make_episode("d0", 50, DROP, task="a <b>", condition="standard", fault="slip",
                     fault_step=20, fault_strength=0.1, failure_step=44),
        make_episode("d1", 50, DROP, task="c", condition="standard", fault="slip", fault_step=46,
                     failure_step=40),
        make_episode("t0", 90, TIMEOUT, task="c", condition="standard", fault="slip",
                     fault_step=120),
        replace(unlabelled("u0"), meta=replace(unlabelled("u0").meta, condition="standard")),
    ]  # fmt: skip
    shifted = [make_episode("s2", 61, task="c", condition="shifted", seed=6)]
    return write(folder / "a.zarr", standard), write(folder / "b.zarr", shifted)


def test_the_page_of_two_stores_is_whole_and_its_numbers_are_right(mixed, tmp_path):
    html, numbers = report(mixed, tmp_path / "deep" / "report")
    head = numbers["overview"]
    assert (head["episodes"], head["unlabelled"], head["steps"]) == (7, 1, 403)
    assert head["hours"] == pytest.approx(403 / 30 / 3600)
    assert head["conditions"] == {"standard": 6, "shifted": 1}
    assert (head["success"]["count"], head["success"]["of"]) == (3, 6)
    assert head["success"]["low"] < 0.5 < head["success"]["high"]
    assert [store["episodes"] for store in head["stores"]] == [6, 1]
    assert "a &lt;b&gt;" in html
    assert "<b>a <b></b>" not in html
    assert "never valid" in html  # the twelfth signal of every synthetic episode
    written = {file.name for file in (tmp_path / "deep" / "report").iterdir()}
    assert written == FIGURES | {"fault_delays.png", "index.html", "report.json"}


def test_outcomes_count_every_group_and_keep_unlabelled_episodes_apart(mixed):
    groups = outcomes(load_recordings(mixed))
    assert set(groups) == {"all", "task", "fault", "condition"}  # one policy: no group of it
    by_task = {group["name"]: group for group in groups["task"]}
    assert by_task["c"]["endings"]["success"]["count"] == 2
    slip = next(group for group in groups["fault"] if group["name"] == "slip")
    assert (slip["episodes"], slip["endings"]["drop"]["count"]) == (3, 2)
    collision = slip["endings"]["collision"]  # seen 0: shown as 0 of 3 with what that allows
    assert (collision["count"], collision["share"], collision["low"]) == (0, 0.0, 0.0)
    assert collision["high"] == pytest.approx(0.5615, abs=1e-3)
    standard = next(group for group in groups["condition"] if group["name"] == "standard")
    assert (standard["episodes"], standard["unlabelled"]) == (6, 1)
    assert standard["endings"]["success"]["of"] == 5


def test_the_types_of_the_store_or_those_given_are_told_apart(tmp_path):
    spec = replace(LOW_DIM, failure_types=(MISPLACED, DROP, COLLISION))
    episodes = [
        make_episode("d", 50, DROP, failure_cause="drop"),
        make_episode("m", 50, DROP, failure_cause="misplaced release"),
        make_episode("p", 50, MISPLACED, seed=1),
        make_episode("t", 60, TIMEOUT),
        make_episode("s", 40),
    ]
    paths = [write(tmp_path / "a", episodes, spec), write(tmp_path / "b", episodes)]
    own, default = (load_recordings([path]) for path in paths)
    assert own.kinds == ("misplaced_release", "drop", "collision", "timeout")
    assert own.ending.tolist() == ["drop", *["misplaced_release"] * 2, "timeout", "success"]
    assert default.kinds == ("drop", "collision", "timeout", "other")
    assert default.ending.tolist() == ["drop"] * 3 + ["timeout", "success"]
    assert default.failed.sum() == own.failed.sum() == 4
    given = load_recordings(paths, (DROP, TIMEOUT))
    assert given.kinds == ("drop", "timeout")
    both = load_recordings(paths)
    assert both.kinds == ("misplaced_release", "drop", "collision", "timeout", "other")
    html, numbers = report(paths, tmp_path / "out")
    assert numbers["outcomes"]["all"][0]["endings"]["misplaced_release"]["count"] == 4
    assert ENDING_COLOURS["misplaced_release"] in html


def test_every_way_to_end_has_a_colour_of_its_own():
    assert set(ENDING_COLOURS) >= {"success", *(kind.label for kind in FailureType if kind)}
    assert len(set(ENDING_COLOURS.values())) == len(ENDING_COLOURS)


def test_what_was_predicted_live_of_the_whole_episode_is_drawn():
    episode = make_episode("d", 20, DROP, WITH_IMAGES)
    axis = Figure().subplots()
    draw_risk(axis, np.arange(20.0), episode)
    lines = {line.get_label(): line.get_ydata() for line in axis.lines}
    assert list(lines) == ["episode failure, live", "no progress, live"]
    np.testing.assert_array_equal(lines["no progress, live"], episode.episode_outputs[:, 1])


def test_a_failure_counts_as_after_a_fault_only_when_it_is(mixed):
    found = {fault["fault"]: fault for fault in faults(load_recordings(mixed))}
    slip = found["slip"]
    assert (slip["episodes"], slip["over_before"], slip["failed_before"]) == (3, 1, 1)
    assert (slip["failed_after"]["count"], slip["failed_after"]["of"]) == (1, 2)
    assert slip["delay_s"]["p50"] == pytest.approx(24 / 30)
    assert slip["types_after"] == {"drop": 1, "collision": 0, "timeout": 0, "other": 0}
    assert (found["none"]["failed_after"]["count"], found["none"]["failed_after"]["of"]) == (0, 3)


def test_only_fresh_and_valid_values_of_the_right_steps_count(tmp_path):
    failing = make_episode("d", 60, DROP, failure_step=50)
    path = write(tmp_path / "a.zarr", [failing, make_episode("s", 40), unlabelled("u")])
    recordings = load_recordings([path])
    values = signal_values(recordings, SIGNAL_NAMES[0])
    steps = {group: values.mask(group) for group in ("success", "failed", "last")}
    assert steps["success"].sum() == 14  # steps 0, 3, ... 39
    assert steps["failed"].sum() == 20
    assert np.round(values.second[steps["last"]] * 30).tolist() == list(range(21, 50, 3))
    expected = failing.signals[21:50:3, 0]
    assert values.value[steps["last"]] == pytest.approx(expected)
    delayed = signal_values(recordings, SIGNAL_NAMES[3])  # not valid at step 0
    assert delayed.mask("success").sum() == 13
    assert signal_values(recordings, SIGNAL_NAMES[11]).value.size == 0


def test_the_auroc_finds_the_signal_that_announces_a_type(tmp_path):
    kinds = (NONE, DROP, TIMEOUT) * 8
    recordings = load_recordings([make_store(tmp_path / "a.zarr", kinds, lengths=(60, 90))])
    rising = describe_signal(signal_values(recordings, SIGNAL_NAMES[DROP]))["auroc"]
    assert rising["drop"]["low"] > 0.6
    assert rising["timeout"]["low"] < 0.5 < rising["timeout"]["high"]
    assert rising[NO_TIMEOUT] == rising["drop"]
    assert rising["timeout"]["auroc"] < rising[ALL]["auroc"] < rising["drop"]["auroc"]
    assert (rising["drop"]["episodes"], rising["drop"]["success_episodes"]) == (8, 8)
    assert rising["collision"]["auroc"] is None
    clock = describe_signal(signal_values(recordings, CLOCK))
    assert clock["auroc"]["drop"]["auroc"] > 0.7  # the end of an episode is late in it


def test_the_way_into_a_failure_is_aligned_at_it(tmp_path):
    def with_clock(episode):
        """Signal 5 is the time since the start in s."""
        signals = episode.signals.copy()
        signals[:, 5] = np.arange(len(episode)) / 30
        return replace(episode, signals=signals)

    successes = [with_clock(make_episode(f"s{i}", 120)) for i in range(6)]
    failing = with_clock(make_episode("d", 110, DROP, failure_step=102))
    path = write(tmp_path / "a.zarr", [*successes, failing])
    way = way_to_failure(signal_values(load_recordings([path]), SIGNAL_NAMES[5]))
    drop = way["drop"]
    assert (drop["failures"], drop["matched"]) == (1, 1.0)
    at = np.asarray(drop["seconds"])
    assert at[[0, -1]] == pytest.approx([-1.95, -0.05])
    assert np.asarray(drop["failure"]["p50"]) == pytest.approx(102 / 30 + at, abs=0.051)
    assert np.asarray(drop["success"]["p50"]) == pytest.approx(102 / 30 + at, abs=0.051)
    assert way["timeout"]["failures"] == 0


def test_missing_data_is_counted_and_not_hidden(mixed, tmp_path):
    state = np.ones((30, 7))
    state[:3] = np.nan  # no value at all
    state[5, 2] = np.nan  # a part of it
    gappy = make_episode("g", 30)
    stamps = gappy.stamp_ns + np.where(np.arange(30) >= 10, 10**9, 0)
    age = np.full((30, 2), 5.0)
    age[:6, 0] = np.nan
    age[6, 0] = 50.0  # older than a control period
    path = write(tmp_path / "a.zarr", [replace(gappy, state=state, stamp_ns=stamps, age_ms=age)])
    found = missing_data(load_recordings([path]))
    arrays = {part["name"]: part for part in found["arrays"]}
    assert arrays["state"]["missing"]["share"] == 0.1
    assert arrays["state"]["partly_missing"]["count"] == 1
    assert arrays["risk"]["missing"]["share"] is None  # no predictor ran: nothing is missing
    assert found["predicted"] == {"episodes": 0, "of": 1, "steps": 0}
    assert arrays["embedding"]["not_in"] == [str(path)]
    assert arrays["embedding"]["missing"]["share"] == 1.0
    assert (found["gaps"]["gaps"], found["gaps"]["episodes"]) == (1, 1)
    first, second = found["streams"]
    assert (first["missing"]["count"], first["late"]["count"]) == (6, 1)
    assert (second["missing"]["count"], second["age_ms"]["p50"]) == (0, 5.0)
    signals = {part["name"]: part for part in found["signals"]}
    assert signals[SIGNAL_NAMES[11]]["valid"]["count"] == 0
    assert signals[SIGNAL_NAMES[3]]["valid"]["count"] == 29
    assert signals[SIGNAL_NAMES[3]]["fresh_and_valid"]["count"] == 9
    assert missing_data(load_recordings(mixed))["episodes"]["outcome unknown"] == 1


def test_filmstrips_show_each_ending_up_to_its_failure(tmp_path):
    episodes = [
        make_episode("s", 40, spec=WITH_IMAGES),
        make_episode("d", 40, DROP, WITH_IMAGES, failure_step=25),
        make_episode("t", 3, TIMEOUT, WITH_IMAGES),
    ]
    path = write(tmp_path / "a.zarr", episodes, WITH_IMAGES)
    success, drop, timeout = filmstrips(load_recordings([path]))
    assert (success.failure_place, success.steps[-1], len(success.frames)) == (-1, 39, MOMENTS)
    assert (drop.failure_place, drop.steps[-1]) == (5, 25)
    assert (drop.frames[5] == episodes[1].images["front"][25]).all()
    assert timeout.steps == (0, 1, 2)  # no frame twice
    html, _ = report(path, tmp_path / "report")
    assert "Without such an episode: collision, other." in html


def test_other_signal_names_horizons_and_rates_are_shown_as_they_are(tmp_path):
    other = replace(LOW_DIM, signals=("heat", SIGNAL_NAMES[0]), horizons_s=(1.0,), streams=())
    episodes = [
        replace(
            make_episode(str(i), 40, kind, rate_hz=10.0),
            signals=np.ones((40, 2)),  # constant, too
            signals_valid=np.ones((40, 2), dtype=bool),
        )
        for i, kind in enumerate((NONE, DROP) * 2)
    ]
    path = write(tmp_path / "a.zarr", episodes, other)
    _, numbers = report(path, tmp_path / "one")
    assert [signal["name"] for signal in numbers["signals"]] == ["heat", SIGNAL_NAMES[0]]
    last = numbers["signals"][0]["distributions"]["last"]
    assert (last["values"], last["p50"]) == (8, 1.0)  # 10 steps are a second here
    twelve = make_store(tmp_path / "b.zarr", (NONE, DROP))
    _, numbers = report([path, twelve], tmp_path / "both")
    assert len(numbers["signals"]) == 13
    heat = numbers["missing"]["signals"][0]
    assert heat["valid"]["count"] == 160  # of none of the second store's steps


@pytest.mark.parametrize(
    ("episodes", "said"),
    [
        ([], "There is no episode yet."),
        ([make_episode("s", 40)], "No failure has a known moment."),
        ([make_episode("d", 40, DROP)], "It takes successes and failures with a known moment"),
        ([make_episode("d", 40, DROP, failure_step=-1)], "No failure has a known moment."),
        (
            [make_episode("d", 1, DROP, failure_step=0)],
            "no failure with a known moment and values",
        ),
        ([unlabelled("u")], "No episode with a known outcome has images."),
    ],
    ids=["empty", "successes", "failures", "unknown moment", "failed at once", "unlabelled"],
)
def test_a_section_says_what_is_missing_instead_of_failing(tmp_path, episodes, said):
    html, numbers = report(write(tmp_path / "a.zarr", episodes), tmp_path / "report")
    assert said in html
    assert numbers["overview"]["episodes"] == len(episodes)


def test_a_store_twice_no_store_and_a_file_in_the_way_are_refused(mixed, tmp_path):
    with pytest.raises(ConfigError, match="each once"):
        write_report([mixed[0], mixed[0]], tmp_path)
    with pytest.raises(ConfigError, match="one or more"):
        write_report([], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write the report"):
        write_report(mixed, tmp_path / "file" / "report")
    with pytest.raises(StoreError, match="no episode 6"):
        write_report(mixed, tmp_path / "r", episode=6)
