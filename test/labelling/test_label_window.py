"""The real window, on a canvas without a screen, with real key and mouse events."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backend_bases import KeyEvent, MouseButton, MouseEvent
from synthetic_episodes import LOW_DIM, make_episode

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader, StoreSpec
from salus_ros.labelling.window import HELP, SIZE_IN, LabelWindow
from salus_ros.labelling.work import Labelling

STEPS = 30
CAMERAS = StoreSpec(
    cameras=("front", "wrist"),
    image_size=(4, 6),
    state_dim=7,
    action_dim=7,
    streams=("front", "wrist", "state"),
)
UNKNOWN = {"outcome": Outcome.UNKNOWN, "failure_type": FailureType.NONE, "failure_step": -1}


def make(name, spec):
    """Frame t of an episode is t everywhere, and 100 + t of the second camera."""
    episode = make_episode(name, STEPS, spec=spec, **UNKNOWN)
    if not spec.cameras:
        return episode
    valid = episode.signals_valid.copy()
    valid[10:15] = False
    age_ms = np.ones((STEPS, 3))
    age_ms[5, 1] = np.nan  # the second camera lost its frame there
    shape = (STEPS, *spec.image_size, 3)
    frames = {
        camera: np.broadcast_to((np.arange(STEPS) + 100 * n)[:, None, None, None], shape)
        for n, camera in enumerate(spec.cameras)
    }
    return replace(
        episode,
        signals_valid=valid,
        age_ms=age_ms,
        images={camera: values.astype(np.uint8) for camera, values in frames.items()},
        risk=np.linspace(0, 1, STEPS),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("window") / "a.zarr"
    with EpisodeStore.create(path, CAMERAS) as store:
        for name in ("a", "b", "c"):
            store.append(make(name, CAMERAS))
    return path


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made, tmp_path / "a.zarr")


@pytest.fixture
def opened():
    """Open the window on a store; returns it and a function that presses keys."""
    pyplot.switch_backend("agg")
    works = []

    def run(path, **options):
        works.append(Labelling([path], **options))
        figure = pyplot.figure(figsize=SIZE_IN, dpi=50)
        window = LabelWindow(works[-1], figure)

        def press(*keys):
            for key in keys:
                KeyEvent("key_press_event", figure.canvas, key)._process()

        return window, press

    yield run
    pyplot.close("all")
    for work in works:
        work.__exit__(None, None, None)


def endings(path):
    return [(meta.ending, meta.failure_step) for meta in StoreReader(path).episodes()]


def words(window):
    figure = window._figure
    texts = [text.get_text() for text in figure.texts]
    return "\n".join(texts + [text.get_text() for axis in figure.axes for text in axis.texts])


def shown(window, camera):
    """Value of the frame that a camera's place shows, or the words there instead."""
    image, text = window._frames[camera]
    return int(image.get_array()[0, 0, 0]) if image.get_visible() else text.get_text()


def pixels(window):
    return np.asarray(window._canvas.buffer_rgba()).copy()


def test_each_key_answers_and_the_next_episode_appears(path, opened):
    window, press = opened(path)
    assert "1 of 3" in words(window)
    assert "now: unknown" in words(window)
    assert HELP in words(window)
    press("s")
    assert endings(path) == [("success", -1), ("unknown", -1), ("unknown", -1)]
    assert "2 of 3" in words(window)
    assert "a: unknown -> success" in words(window)
    press("left", "shift+left", "left", "d")
    assert endings(path)[1] == ("drop", STEPS - 12)
    press("t")
    assert endings(path)[2] == ("timeout", STEPS)
    assert "the last of 3" in words(window)
    assert "0 have no label" in words(window)


def test_the_other_answers(path, opened):
    _, press = opened(path, everything=True)
    press("home", "c", "left", "O", "x")
    assert endings(path) == [("collision", 0), ("other", STEPS - 1), ("unknown", -1)]


def test_frames_cursor_and_words_move_with_the_step(path, opened):
    window, press = opened(path)
    assert window.step == STEPS
    assert "after the last step of 30" in words(window)
    assert (shown(window, "front"), shown(window, "wrist")) == (29, 129)
    press("home", "right", "shift+right")
    assert "step 11 of 30, 0.37 s" in words(window)
    assert (shown(window, "front"), shown(window, "wrist")) == (11, 111)
    assert [line.get_xdata()[0] for line in window._cursors[:-1]] == [11 / 30] * 4
    press("shift+left", "left", "left")
    assert window.step == 0
    press("shift+right", "shift+right", "shift+right", "right")
    assert window.step == STEPS


def test_a_lost_frame_is_named_and_not_black(path, opened):
    window, press = opened(path)
    press("home", *["right"] * 5)
    assert (shown(window, "front"), shown(window, "wrist")) == (5, "no image at this step")
    press("right")
    assert shown(window, "wrist") == 106


def test_a_damaged_frame_is_named(path, opened):
    window, press = opened(path)
    for file in (path / "data" / "images_front" / "c").rglob("*"):
        if file.is_file():
            file.unlink()
    press("left")
    assert (shown(window, "front"), shown(window, "wrist")) == (
        "this image is damaged (salus info --verify)",
        129,
    )
    press("s")
    assert endings(path)[0] == ("success", -1)


def test_without_any_age_a_frame_is_not_taken_for_lost(tmp_path, opened):
    with EpisodeStore.create(tmp_path / "a.zarr", CAMERAS) as store:
        store.append(replace(make("a", CAMERAS), age_ms=None))
    window, _ = opened(tmp_path / "a.zarr")
    assert shown(window, "wrist") == 129


def test_what_is_drawn_on_the_way_equals_a_whole_drawing(path, opened):
    window, press = opened(path)
    press("home")
    before = pixels(window)
    KeyEvent("key_press_event", window._canvas, "shift+right")._process()
    moved = pixels(window)
    window._canvas.draw()
    assert (moved != before).any()
    assert np.array_equal(moved, pixels(window))


def test_gaps_of_the_signals_are_gaps_of_the_lines(path, opened):
    window, _ = opened(path)
    lines = {line.get_label(): line for axis in window._plots for line in axis.lines}
    risk = lines["risk, predicted live"].get_ydata()
    assert np.allclose(risk, np.linspace(0, 1, STEPS))
    signal = lines["sample_variance"].get_ydata()
    assert np.flatnonzero(np.isnan(signal)).tolist() == [10, 11, 12, 13, 14]
    assert "latent_ood (none)" in lines


def test_a_click_on_a_plot_jumps_to_its_moment(path, opened):
    window, press = opened(path)

    def click(axis, seconds):
        x, y = axis.transData.transform((seconds, 0.0))
        name = "button_press_event"
        MouseEvent(name, window._canvas, x, y, button=MouseButton.LEFT)._process()

    click(window._plots[2], 0.5)
    assert window.step == 15
    click(window._figure.axes[0], 0.0)  # a camera: nothing to jump to
    assert window.step == 15
    press("d")
    assert endings(path)[0] == ("drop", 15)


def test_space_plays_at_the_speed_of_the_recording_and_stops_when_pressed_again(
    path, opened, monkeypatch
):
    window, press = opened(path)
    now = 7.0
    monkeypatch.setattr("salus_ros.labelling.window.monotonic", lambda: now)
    tick = window._timer._on_timer
    press(" ")
    assert window._timer.interval == 33
    now += 0.11
    tick()
    assert window.step == 3
    press(" ")
    now += 1.0
    tick()
    assert window.step == 3
    press(" ")
    now += 0.11
    tick()
    assert window.step == 6
    now += 1.0
    tick()
    assert window.step == STEPS
    assert not window._playing
    press(" ", "home")
    now += 1.0
    tick()
    assert window.step == 0


def test_undo_and_next(path, opened):
    window, press = opened(path)
    press("n", "home", "right", "c", "u")
    assert endings(path) == [("unknown", -1)] * 3
    assert "2 of 3" in words(window)
    assert "taken back: b: unknown -> collision at step 1" in words(window)
    press("u", "u")  # the second has nothing to go back to
    assert "1 of 3" in words(window)
    window.work.places = window.work.places[:1]
    press("s", "n", "d", "left")  # after the last there is nothing to answer
    assert endings(path) == [("success", -1), ("unknown", -1), ("unknown", -1)]
    press("u")
    assert endings(path)[0] == ("unknown", -1)


def test_a_misplaced_release_has_a_key(path, opened):
    _, press = opened(path)
    press("home", "right", "m")
    assert endings(path)[0] == ("misplaced_release", 1)


def test_what_is_taken_back_keeps_the_words_of_the_world(tmp_path, opened):
    words = {"failure_cause": "misplaced release"}
    with EpisodeStore.create(tmp_path / "b.zarr", LOW_DIM) as store:
        store.append(make_episode("a", 30, FailureType.DROP, **words))
    _, press = opened(tmp_path / "b.zarr", everything=True)
    press("c")
    assert StoreReader(tmp_path / "b.zarr").meta(0).failure_cause == ""
    press("u")
    meta = StoreReader(tmp_path / "b.zarr").meta(0)
    assert (meta.failure_type, meta.failure_cause) == (FailureType.DROP, "misplaced release")


def test_a_labelled_episode_opens_at_its_failure(path, opened):
    with EpisodeStore.open(path) as store:
        store.relabel(1, Outcome.FAILURE, FailureType.DROP, 12)
    window, _ = opened(path, index=1)
    assert window.step == 12
    assert "now: drop at step 12" in words(window)


def test_an_answer_that_fails_is_shown_and_can_be_given_again(path, opened):
    window, press = opened(path)
    group = path / "meta" / "outcome"
    group.rename(path / "meta" / "gone")
    press("s")
    assert "cannot" in words(window)
    assert "1 of 3" in words(window)
    (path / "meta" / "gone").rename(group)
    press("s")
    assert "a: unknown -> success" in words(window)
    assert endings(path)[0] == ("success", -1)


def test_an_episode_that_cannot_be_read_is_passed_over(path, opened):
    files = (path / "data" / "signals" / "c").rglob("*")
    file = next(file for file in files if file.is_file())
    file.write_bytes(file.read_bytes()[:20])
    window, press = opened(path)
    assert "damaged" in words(window)
    press("s", "left", " ")
    assert endings(path)[0] == ("unknown", -1)
    press("n")
    assert "2 of 3" in words(window)


def test_episodes_without_images_are_labelled_by_their_signals(tmp_path, opened):
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        store.append(make("a", LOW_DIM))
    window, press = opened(tmp_path / "a.zarr")
    assert len(window._figure.axes) == 4
    assert "nothing was predicted" in words(window)
    press("left", "o")
    assert endings(tmp_path / "a.zarr") == [("other", STEPS - 1)]


def test_q_closes_and_matplotlibs_own_keys_are_off(path, opened):
    window, press = opened(path)
    closed = []
    window.on_quit = lambda: closed.append(True)
    press(" ", "q", "g", "f", "h")
    assert closed == [True]
    assert not window._playing
    assert endings(path) == [("unknown", -1)] * 3
