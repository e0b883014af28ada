"""What the page is told: the steps, the banner, and only what is new."""

import math

import numpy as np
import pytest

from salus_ros.core.failures import FailureType
from salus_ros.messages.signals import PredictionRow
from salus_ros.view import state as view_state
from salus_ros.view.course import LONGEST, Limits
from salus_ros.view.state import Seen, ViewState
from salus_ros.view.verdict import Level, judge

MS = 1_000_000


def signals(value=0.5):
    values = np.full(12, value, np.float32)
    values[3] = np.nan
    return values


def prediction(risk=0.3, alarm=False, horizons_s=(0.2, 0.5), **given):
    kinds = (FailureType.DROP, FailureType.COLLISION)
    probability = np.full((len(horizons_s), 2), risk, np.float32)
    return PredictionRow(probability, risk, alarm, "m", horizons_s, kinds, **given)


def predict(state, step, episode="a", row=None, limits=None, kind=FailureType.DROP, lead_s=0.25):
    given = (row or prediction(), limits or Limits(0.5, math.inf), kind, lead_s)
    state.prediction(episode, step, step * MS, *given)


@pytest.mark.parametrize(
    ("given", "level", "text"),
    [
        ({"risk": 0.2, "alarm": False}, Level.CALM, "no alarm"),
        ({"risk": math.nan, "alarm": False}, Level.UNKNOWN, "the risk is not known"),
        ({"risk": math.nan, "alarm": True}, Level.ALARM, "the risk is not known"),
        ({"risk": 0.2, "alarm": False, "can_alarm": False}, Level.UNKNOWN, "no alarm is possible"),
        (
            {"risk": 0.9, "alarm": True, "kind": "misplaced_release", "lead_s": 0.25},
            Level.ALARM,
            "misplaced release, in 0.25 s",
        ),
        (
            {"risk": 0.1, "alarm": True, "kind": "none", "longest_s": 0.5},
            Level.ALARM,
            "the episode is likely to fail, later than 0.5 s",
        ),
        ({"risk": 0.9, "alarm": True}, Level.ALARM, "risk 0.90; kind and lead"),
    ],
)
def test_only_a_known_risk_below_a_threshold_is_calm(given, level, text):
    verdict = judge(**given)
    assert verdict.level == level
    assert verdict.text.startswith(text)


def test_a_page_is_told_all_at_first_and_then_what_is_new():
    state = ViewState()
    state.episode("a", 0, 0, running=True)
    state.signals("a", 0, 0, signals())
    predict(state, 0)
    first = state.since(Seen())
    assert first.values["anew"]
    assert first.values["form"]["kinds"] == ("drop", "collision")
    (step,) = first.values["steps"]
    assert (step["risk"], step["limit"], step["episode_limit"]) == (0.3, 0.5, "inf")
    assert step["probability"] == [0.3] * 4
    assert step["signals"][2:5] == [0.5, None, 0.5]  # what does not exist is no number
    assert state.since(first.seen).values["steps"] == []
    predict(state, 1)
    state.put("gate", {"state": "pass"})
    second = state.since(first.seen)
    assert [one["step"] for one in second.values["steps"]] == [1]
    assert second.values["parts"] == {"gate": {"state": "pass"}}
    assert "form" not in second.values
    state.put("gate", {"state": "pass"})
    assert state.since(second.seen).seen == second.seen


def test_another_episode_begins_anew_and_what_comes_late_of_the_old_is_left_out():
    state = ViewState()
    state.episode("a", 0, 0, running=True)
    predict(state, 0)
    predict(state, 5)
    seen = state.since(Seen()).seen
    state.episode("b", 0, 10 * MS, running=True)
    predict(state, 6)  # of a
    predict(state, 11, "b")
    update = state.since(seen).values
    assert update["anew"]
    assert [one["step"] for one in update["steps"]] == [11]
    predict(state, 20, "c")  # its status is under way yet
    assert [one["step"] for one in state.since(seen).values["steps"]] == [20]


def test_the_same_episode_again_begins_anew():
    state = ViewState()
    for step in (7, 8):
        state.episode("a", step, step * MS, running=True)
        predict(state, step)
    state.episode("a", 0, 0, running=True)
    predict(state, 0)
    assert [one["step"] for one in state.since(Seen()).values["steps"]] == [0]


def test_steps_of_another_form_lose_what_was_predicted():
    state = ViewState()
    predict(state, 0)
    seen = state.since(Seen()).seen
    predict(state, 1, row=prediction(horizons_s=(1.0,)))
    update = state.since(seen).values
    assert update["form"]["horizons_s"] == (1.0,)
    assert [one["probability"] for one in update["steps"]] == [None, [0.3, 0.3]]


def test_an_endless_episode_stays_bounded():
    state = ViewState()
    for step in range(LONGEST + 10):
        predict(state, step)
    steps = state.since(Seen()).values["steps"]
    assert (len(steps), steps[0]["step"]) == (LONGEST, 10)


def test_what_is_not_heard_is_not_calm(monkeypatch):
    now_s = 100.0
    monkeypatch.setattr(view_state.time, "monotonic", lambda: now_s)
    state = ViewState()
    assert state.verdict().level == Level.UNKNOWN  # nothing at all
    state.episode("", 0, 0, running=False)
    assert state.verdict().level == Level.IDLE
    state.episode("a", 0, 0, running=True)
    assert state.verdict().text == "the episode has just begun"
    now_s += 3
    assert state.verdict().level == Level.UNKNOWN
    predict(state, 1)
    assert state.verdict().level == Level.CALM
    now_s += 3
    assert state.verdict().text.startswith("no prediction for 3 s")
    predict(state, 2, row=prediction(alarm=True))
    assert state.verdict().level == Level.ALARM
    now_s += 3
    assert state.verdict().level == Level.UNKNOWN
    assert "the last one was an alarm" in state.verdict().text
    predict(state, 3)
    state.episode("a", 3, 3 * MS, running=False)
    assert state.verdict().level == Level.IDLE


def test_one_image_a_camera_is_kept_and_made_a_jpeg_once():
    state = ViewState()
    for value in (0, 255):
        state.image("front", value * MS, np.full((600, 800, 3), value, np.uint8))
    update = state.since(Seen())
    assert update.values["frames"] == [["front", 0.255]]
    (frame,) = update.frames
    assert frame.jpeg.startswith(b"\xff\xd8")
    assert state.since(Seen()).frames[0].jpeg is frame.jpeg
    assert state.since(update.seen).frames == []
