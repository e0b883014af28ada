"""The view node: what comes over topics is in the page, whose buttons reach the services."""

import json
import math
import shutil
import threading
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fake_robot import CAMERAS
from fake_robot import Robot as RecordedRobot
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger

from salus_msgs.msg import (
    EpisodeStatus,
    FailureHorizons,
    FailureType,
    GateStatus,
    RecorderStatus,
    VlaSignals,
)
from salus_msgs.srv import LabelEpisode, StartEpisode
from salus_ros.core.errors import ConfigError
from salus_ros.episodes import StoreReader
from salus_ros.episodes.clip import clip_info
from salus_ros.nodes import convert
from salus_ros.nodes.recorder import RecorderNode
from salus_ros.nodes.view import ViewNode
from salus_ros.view.state import Seen

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "<img src=x onerror=window.broken=1>"
DEADLINE_MS = 60_000


class Robot:
    """Publishes what the page shows, and answers its buttons."""

    def __init__(self, graph):
        self.graph = graph
        self.step = 0
        self.asked = []
        self.episode = graph.talk(EpisodeStatus, "episode", status=True)
        self.signals = graph.talk(VlaSignals, "signals")
        self.horizons = graph.talk(FailureHorizons, "failure_horizons")
        self.recorder = graph.talk(RecorderStatus, "recorder_status", status=True)
        self.gate = graph.talk(GateStatus, "gate_status", status=True)
        self.diagnostics = graph.talk(DiagnosticArray, "/diagnostics")
        self.image = graph.probe.create_publisher(Image, "camera/front/image_raw", 5)
        probe = graph.probe
        probe.create_service(StartEpisode, "episode/start", self._answer)
        probe.create_service(LabelEpisode, "episode/label", self._answer)
        probe.create_service(Trigger, "recorder/stop", self._answer)
        probe.create_service(SetBool, "action_bridge/pause", self._answer)

    def _answer(self, request, response):
        self.asked.append(request)
        response.success, response.message = True, f"so it is {HOSTILE}"
        return response

    def act(self, *, risk=0.3, alarm=False, encoding="rgb8", **prediction):
        self.step += 1
        header = convert.header(self.step * 33_000_000)
        common = {"header": header, "episode_id": "a", "step": self.step}
        running = EpisodeStatus.PHASE_RUNNING
        self.episode.publish(EpisodeStatus(**common, phase=running, task=HOSTILE, rate_hz=30.0))
        valid = [index != 3 for index in range(12)]
        self.signals.publish(
            VlaSignals(**common, latent_norm=float(self.step), attention_shift=1.0, valid=valid)
        )
        given = {
            "horizons": [0.2, 0.5],
            "failure_types": [FailureType.COLLISION, FailureType.MISPLACED_RELEASE],
            "probability": [risk] * 4,
            "risk": risk,
            "threshold": 0.5,
            "episode_threshold": math.inf,
            "episode_failure": risk,
            "no_progress": math.nan,
            "most_likely_type": FailureType.COLLISION,
            "time_to_failure": 0.25,
        }
        self.horizons.publish(FailureHorizons(**common, alarm=alarm, **(given | prediction)))
        self.recorder.publish(RecorderStatus(state=RecorderStatus.STATE_RECORDING))
        self.gate.publish(GateStatus(state=GateStatus.STATE_SLOW, reason="an alarm"))
        status = DiagnosticStatus(level=DiagnosticStatus.WARN, name="vla", message=HOSTILE)
        self.diagnostics.publish(DiagnosticArray(status=[status]))
        picture = np.full((24, 32, 3), self.step % 256, np.uint8)
        message = convert.array_to_image(picture, header)
        message.encoding = encoding
        self.image.publish(message)


@pytest.fixture
def view(graph):
    """A view node, its robot, and what its page knows by name."""
    node = graph.add(ViewNode, port=0, cameras=["front", "top"])
    return node, Robot(graph)


def parts(node):
    return node.state.since(Seen()).values["parts"]


def steps(node):
    return node.state.since(Seen()).values["steps"]


def test_what_is_published_is_in_the_state(graph, view):
    node, robot = view
    graph.until(lambda: robot.act() or any(one["risk"] for one in steps(node)))
    graph.until(lambda: {"episode", "recorder", "gate"} <= set(parts(node)))
    known = parts(node)
    assert known["banner"] == {"level": "calm", "text": "no alarm"}
    assert known["episode"]["phase"] == "running"
    assert known["recorder"]["state"] == "recording"
    assert known["gate"]["state"] == "slow"
    one = steps(node)[-1]
    assert one["signals"][3] is None  # not valid, whatever its number
    assert one["episode_limit"] == "inf"
    assert one["no_progress"] is None
    form = node.state.since(Seen()).values["form"]
    assert form["kinds"] == ("collision", "misplaced_release")


def test_topics_that_never_come_are_named_and_nothing_is_calm(graph):
    node = graph.add(ViewNode, port=0)
    graph.until(lambda: "topics" in parts(node) and "banner" in parts(node))
    known = parts(node)
    assert known["topics"]["failure_horizons"] == "never"
    assert known["topics"]["front"] == "not subscribed"
    assert known["banner"]["level"] == "unknown"
    assert "there is no " in known["buttons"]["start"]


def test_nothing_that_comes_ends_it(graph, view):
    node, robot = view
    nan = math.nan
    wrong = (
        {"horizons": []},
        {"probability": [0.1]},
        {"failure_types": [99, 1]},
        {"most_likely_type": 77},
        {"risk": 3.0},
        {"horizons": np.arange(1, 40) / 10, "probability": [0.1] * 78},
        {"episode_id": "x" * 1_000_000},
    )
    for given in wrong[:-1]:
        robot.act(**given)
    graph.until(lambda: node._problem.count >= len(wrong) - 1)
    robot.episode.publish(EpisodeStatus(**wrong[-1], outcome=9, phase=77))
    robot.horizons.publish(FailureHorizons())
    robot.signals.publish(VlaSignals(**wrong[-1]))
    count = node._problem.count
    graph.until(lambda: node._problem.count >= count + 2)
    graph.until(
        lambda: (
            robot.act(risk=nan, probability=[nan] * 4)
            or parts(node)["banner"]["level"] == "unknown"
        )
    )
    assert "not known" in parts(node)["banner"]["text"]


def test_cameras_are_subscribed_while_a_page_is_open(graph, view):
    node, robot = view
    assert robot.image.get_subscription_count() == 0
    with node.state.watching():
        graph.until(lambda: robot.act() or node.state.since(Seen()).frames)
        graph.until(lambda: robot.act(encoding="yuv9") or parts(node)["cameras"]["front"])
        assert "camera 'front' sends encoding 'yuv9'" in parts(node)["cameras"]["front"]
        graph.until(lambda: robot.act() or not parts(node)["cameras"]["front"])
        assert parts(node)["cameras"]["top"] == "last image: never"
    graph.until(lambda: robot.image.get_subscription_count() == 0)


def test_buttons_reach_the_first_service_that_there_is(graph, view):
    node, robot = view
    graph.until(lambda: not any(parts(node)["buttons"][n] for n in ("start", "stop", "hold")))
    assert "there is no " in parts(node)["buttons"]["reset"]
    answers = [
        node.press("start", {"task": "lift"}),
        node.press("stop", {}),
        node.press("release", {}),
        node.press("label", {"outcome": 2, "kind": 1, "step": 7}),
        node.press("reset", {}),
    ]
    graph.until(lambda: all(one.done() for one in answers))
    assert [one.result().done for one in answers] == [True] * 4 + [False]
    assert "action_bridge/reset" in answers[-1].result().text
    asked = {type(request).__name__: request for request in robot.asked}
    assert asked["StartEpisode_Request"].task == "lift"
    assert asked["SetBool_Request"].data is False
    label = asked["LabelEpisode_Request"]
    assert (label.outcome, label.failure_type, label.failure_step) == (2, 1, 7)


def test_a_clip_that_cannot_be_saved_is_answered_with_the_reason(graph):
    node = graph.add(ViewNode, port=0)
    recorder = graph.add(RecorderNode, record=False)
    graph.until(lambda: parts(node).get("buttons", {}).get("clip") == "")
    answer = node.press("clip", {})
    graph.until(answer.done)
    assert not answer.result().done
    assert "give a folder for them, clips:=FOLDER" in answer.result().text
    graph.remove(recorder)
    graph.until(lambda: "no " in parts(node)["buttons"]["clip"])
    answer = node.press("clip", {})
    graph.until(answer.done)
    assert answer.result().text == "there is no recorder/clip"


def test_a_page_that_no_longer_waits_leaves_no_request(graph, view):
    node, _ = view
    graph.until(lambda: not parts(node)["buttons"]["stop"])
    waiting = node.press("stop", {})
    waiting.cancel()
    later = node.press("stop", {})
    graph.until(later.done)
    assert later.result().done


def test_a_port_that_is_taken_ends_it_with_a_word(graph, view):
    port = int(view[0].server.url.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(ConfigError, match="give another host or port"):
        graph.add(ViewNode, port=port)


def test_it_serves_again_after_it_was_cleaned_up(graph):
    node = graph.add(ViewNode, port=0)
    node.trigger_deactivate()
    node.trigger_cleanup()
    node.trigger_configure()
    node.trigger_activate()
    with urllib.request.urlopen(node.server.url + "about") as answer:
        assert json.load(answer)["recording"] is None


@pytest.fixture
def page(tmp_path):
    """A page of a real browser; what it complains of is an error."""
    if CHROMIUM is None:
        pytest.skip("neither chromium nor google-chrome is on the PATH: apt install chromium")
    from playwright.sync_api import sync_playwright

    complaints = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.set_default_timeout(DEADLINE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.extend(_foreign(request.url)))
        yield page
        browser.close()
    assert complaints == []


def _foreign(url):
    return [] if url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:")) else [url]


def test_a_real_browser_shows_it_and_presses_a_button(graph, view, page):
    node, robot = view
    said = {"risk": 0.3}
    with running(graph, lambda: robot.act(**said)):
        page.goto(node.server.address)
        page.wait_for_selector("#banner.calm")
        page.wait_for_selector("#kinds .plot:has-text('misplaced release')")
        page.wait_for_selector("#gate td:has-text('slow')")
        page.wait_for_selector("#diagnostics td.warn")
        until(page, "document.querySelector('figure canvas').width === 32")
        until(page, "view.steps.length > 20 && view.updates > 5")
        until(page, "document.querySelector('#cameras figcaption').innerText === 'front'")
        assert page.inner_text("#episode tr:has-text('task') td >> nth=1") == HOSTILE
        assert page.is_disabled("button[data-name=reset]")
        assert "there is no " in page.get_attribute("button[data-name=reset]", "title")
        page.fill("#task", "lift it")
        page.click("button[data-name=start]")
        page.wait_for_selector("#answer:has-text('so it is <img')")
        assert robot.asked[0].task == "lift it"
        said.update(risk=0.9, alarm=True)
        page.wait_for_selector("#banner.alarm:has-text('collision, in 0.25 s')")
        said.update(risk=math.nan, probability=[math.nan] * 4, alarm=False)
        page.wait_for_selector("#banner.unknown:has-text('not known')")
        assert page.screenshot().startswith(b"\x89PNG")
        assert not page.evaluate("window.broken")
        node.server.close()
        page.wait_for_selector("#banner.unknown:has-text('does not answer')")


def test_a_real_browser_saves_a_clip_and_says_where_it_is(graph, page, tmp_path):
    folder = tmp_path / "clips"
    given = {"clips": str(folder), "clip_before_s": 0.5, "clip_after_s": 0.2, "clips_max_mb": 1}
    robot = RecordedRobot(graph, tmp_path / "a.zarr", record=False, **given)
    node = graph.add(ViewNode, port=0, cameras=CAMERAS)
    step = iter(range(1_000_000))
    with running(graph, lambda: robot.step("a", next(step), skip=("prediction",))):
        page.goto(node.server.address)
        page.click("button[data-name=clip]:enabled")
        page.wait_for_selector("#answer:has-text('s and the next 0.2 s are saved to')")
        page.wait_for_selector("#recorder tr:has-text('last clip')", timeout=4 * DEADLINE_MS)
        place = page.inner_text("#recorder tr:has-text('last clip') td >> nth=1")
        assert page.inner_text("#answer").endswith(f"'{place}'")
        reader = StoreReader(place)
        assert [one.why for one in clip_info(reader).reasons] == ["call"]
        assert len(reader.episode(0)) > 1
        (folder / "old.zarr.zip").write_bytes(bytes(2_000_000))
        page.click("button[data-name=clip]")
        page.wait_for_selector("#answer.refused:has-text('of 1 MB (clips_max_mb)')")
    robot.close()
    with running(graph, lambda: None):
        page.wait_for_selector("button[data-name=clip]:disabled")
        assert "there is no " in page.get_attribute("button[data-name=clip]", "title")


@contextmanager
def running(graph, act: Callable[[], object]):
    """Have a robot act, and the graph spun, in a thread of their own meanwhile."""
    ended = threading.Event()

    def run():
        while not ended.is_set():
            act()
            for _ in range(5):
                graph.executor.spin_once(timeout_sec=0.01)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def until(page, expression):
    """Wait until an expression holds; the page's policy keeps playwright's own way from it."""
    for _ in range(DEADLINE_MS // 100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never: {expression}")
