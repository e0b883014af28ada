"""The gallery of alarms on hand-made clips, of which it is known which alarms were right."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import make_episode
from typer.testing import CliRunner

from salus_ros.cli import app
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreSpec
from salus_ros.episodes.clip import ClipInfo, Ending, Reason, make_clip
from salus_ros.labelling.work import Labelling
from salus_ros.reports.numbers.alarms import Truth, load_gallery
from salus_ros.reports.pages.alarms import write_gallery

SPEC = StoreSpec(
    cameras=("front", "wrist"),
    image_size=(8, 6),
    state_dim=7,
    action_dim=7,
    streams=("front", "wrist"),
)
UNKNOWN = {"outcome": Outcome.UNKNOWN, "failure_type": FailureType.NONE, "failure_step": -1}
PERIOD_NS = round(1e9 / 30)
TRUE, LATE, FALSE, NOT_KNOWN = Truth


def stamp(step):
    return 1 + step * PERIOD_NS


def alarm(step, episode="ep", **change):
    given = {"wall_s": 1.7e9 + step, "row": step, "episode_id": episode, "step": step}
    given |= {"kind": "drop", "risk": 0.8, "threshold": 0.5}
    return Reason("alarm", stamp(step), **(given | change))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Folder of a store of one episode of 60 steps, by its id and what is known of it."""
    folders = {}

    def store(episode_id, meta):
        key = episode_id, tuple(meta.values())
        if key in folders:
            return folders[key]
        work = folders[key] = tmp_path_factory.mktemp("work") / "clip.zarr"
        episode = make_episode(episode_id, 60, spec=SPEC, **meta)
        ages = np.zeros((60, 2), np.float32)
        ages[:, 1] = np.nan  # the wrist has no image
        risk = np.linspace(0, 1, 60, dtype=np.float32)
        shown = {"age_ms": ages, "risk": risk, "alarm": np.float32(risk > 0.5)}
        shown["probability"] = np.full((60, 4, 4), 0.1)
        with EpisodeStore.create(work, SPEC) as store:
            store.append(replace(episode, **shown))
        return work

    return store


@pytest.fixture
def save(stored, tmp_path):
    """Make a clip of 60 steps for some reasons."""
    numbers = iter(range(100))

    def make(*reasons, meta=UNKNOWN, **info):
        number = next(numbers)
        work = stored(reasons[0].episode_id or "no episode", meta)
        path = tmp_path / "clips" / f"clip_{number}.zarr.zip"
        path.parent.mkdir(exist_ok=True)
        make_clip(work, path, ClipInfo(reasons, "session", **info))
        return path

    return make


def truths(tmp_path, *stores):
    return [(one.truth, one.ending) for one in load_gallery(tmp_path / "clips", stores).judged()]


@pytest.mark.parametrize(
    ("outcome", "said", "truth", "lead_s"),
    [
        ("failure", {"kind": "collision", "failure_ns": stamp(45)}, TRUE, 0.5),
        ("failure", {"kind": "collision", "failure_ns": stamp(30)}, TRUE, 0.0),
        ("failure", {"kind": "collision", "failure_ns": stamp(15)}, LATE, -0.5),
        ("failure", {"kind": "timeout"}, TRUE, None),  # at an unknown moment
        ("success", {}, FALSE, None),
        ("success", {"intervened_ns": stamp(20)}, FALSE, None),  # before the alarm
        ("success", {"intervened_ns": stamp(40)}, NOT_KNOWN, None),  # it may have saved it
        ("unknown", {}, NOT_KNOWN, None),
    ],
)
def test_an_alarm_is_judged_by_what_came_of_its_episode(
    save, tmp_path, outcome, said, truth, lead_s
):
    save(alarm(30), endings=(Ending("ep", stamp(59), outcome, **said),))
    (one,) = load_gallery(tmp_path / "clips").judged()
    assert one.truth is truth
    assert np.isnan(one.lead_s) if lead_s is None else abs(one.lead_s - lead_s) < 1e-6
    assert one.ending == ("" if outcome == "unknown" else said.get("kind", "success"))


def test_a_later_clip_says_how_an_earlier_one_ended(save, tmp_path):
    save(alarm(10))
    save(alarm(70, "next"), endings=(Ending("ep", stamp(60), "success"),))
    assert truths(tmp_path) == [(FALSE, "success"), (NOT_KNOWN, "")]


def test_an_id_that_comes_again_is_not_mistaken(save, tmp_path):
    again = Ending("ep", stamp(500), "failure", "drop", stamp(490))
    save(alarm(10), alarm(400), endings=(Ending("ep", stamp(60), "success"), again))
    assert truths(tmp_path) == [(FALSE, "success"), (TRUE, "drop")]


def test_a_person_who_labels_the_clip_is_right(save, tmp_path):
    path = save(alarm(30), endings=(Ending("ep", stamp(59), "success"),))
    with Labelling([path]) as work:
        work.answer(Outcome.FAILURE, FailureType.COLLISION, 42)
    (one,) = load_gallery(tmp_path / "clips").judged()
    assert (one.truth, one.ending, one.by) == (TRUE, "collision", "the clip")
    assert one.lead_s == pytest.approx(0.4, abs=1e-6)


def test_a_recorded_store_goes_before_and_is_matched_by_moment(save, tmp_path):
    save(alarm(30), endings=(Ending("ep", stamp(59), "success"),))
    save(alarm(900))  # of an episode of that name that is not recorded
    with EpisodeStore.create(tmp_path / "a.zarr", SPEC) as store:
        store.append(make_episode("ep", 90, FailureType.DROP, SPEC, failure_step=60))
        later = make_episode("ep", 50, spec=SPEC)
        store.append(replace(later, stamp_ns=later.stamp_ns + stamp(2000)))
    assert truths(tmp_path, tmp_path / "a.zarr") == [(TRUE, "drop"), (NOT_KNOWN, "")]
    saved = "10-20 scripted@alarm drop; 50-60 scripted@alarm drop"
    with EpisodeStore.create(tmp_path / "b.zarr", SPEC) as store:
        store.append(make_episode("ep", 90, spec=SPEC, interventions=saved))
    assert truths(tmp_path, tmp_path / "b.zarr")[0] == (NOT_KNOWN, "success")


def test_the_page_shows_counts_frames_and_what_is_no_clip(save, tmp_path):
    failed = {"outcome": Outcome.FAILURE, "failure_type": FailureType.DROP, "failure_step": 50}
    save(
        alarm(20),
        replace(alarm(50), why="failure"),
        meta=failed,
        endings=(Ending("ep", stamp(59), "failure", "drop", stamp(50)),),
        more=7,
        note="<b>short</b>",
    )
    save(alarm(70, "good"), endings=(Ending("good", stamp(90), "success"),), unsaved=4)
    save(replace(alarm(99, "lost"), why="failure", kind="timeout"))
    save(Reason("call", stamp(3), 1.71e9, 3))
    (tmp_path / "clips" / "half.zarr.zip").write_bytes(b"PK\x03\x04")
    result = CliRunner().invoke(
        app, ["report", "--alarms", str(tmp_path / "clips"), "--out", str(tmp_path / "day"),
              "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.output)
    counts = numbers["counts"]
    assert {name: counts[name] for name in ("alarms", "true", "false", "late", "not known")} == {
        "alarms": 2, "true": 1, "false": 1, "late": 0, "not known": 0,
    }  # fmt: skip
    assert counts["lead_s"] == pytest.approx(1.0, abs=1e-6)
    assert (counts["failures"], counts["failures_without_alarm"], counts["calls"]) == (2, 1, 1)
    assert (counts["without_a_clip"], counts["not_listed"], counts["unreadable"]) == (4, 7, 1)
    html = (tmp_path / "day" / "index.html").read_text()
    assert re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,|#)', html) == []  # self-contained
    assert html.count("<img") == 4
    text = re.sub(r'base64,[^"]+', "", html)
    assert "alarm: drop, risk 0.80 (threshold 0.50) in &#39;ep&#39; at step 20" in text
    assert "half.zarr.zip" in text
    assert "&lt;b&gt;short&lt;/b&gt;" in text
    assert "nan" not in text.lower()


def test_more_clips_than_are_shown_are_listed(save, tmp_path):
    for step in (1, 2, 3):
        save(alarm(step))
    html = write_gallery(tmp_path / "clips", tmp_path / "day", shown=1).read_text()
    assert html.count("<img") == 1
    assert "The newest 1 of 3 clips" in html


def test_what_cannot_be_shown_is_refused(salus, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, said in (("nowhere", "is no folder"), ("empty", "holds no clip")):
        with pytest.raises(ConfigError, match=said):
            load_gallery(tmp_path / folder)
    assert salus("report")[0] == 2
    code, _, error = salus("report", "--alarms", tmp_path, "--episode", 3)
    assert (code, "of a report on stores" in error) == (2, True)
