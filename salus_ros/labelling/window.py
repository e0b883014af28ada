"""The window of `salus label`: frames, risk and signals of an episode, one key an answer."""

from collections.abc import Callable
from time import monotonic
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import DrawEvent, KeyEvent, MouseEvent
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.schema import columns_by_kind
from salus_ros.episodes.episode import Episode
from salus_ros.labelling.work import Labelling, in_words
from salus_ros.reports.figures.colours import FAILURE_COLOUR, FAINT, INK
from salus_ros.reports.figures.timeline import draw_risk, draw_signals

SIZE_IN = (13.0, 9.0)

ANSWERS: dict[str, tuple[Outcome, FailureType]] = {
    "s": (Outcome.SUCCESS, FailureType.NONE),
    "d": (Outcome.FAILURE, FailureType.DROP),
    "m": (Outcome.FAILURE, FailureType.MISPLACED_RELEASE),
    "c": (Outcome.FAILURE, FailureType.COLLISION),
    "t": (Outcome.FAILURE, FailureType.TIMEOUT),
    "o": (Outcome.FAILURE, FailureType.OTHER),
    "x": (Outcome.UNKNOWN, FailureType.NONE),
}
STEPS = {"left": -1, "right": 1, "shift+left": -10, "shift+right": 10}
HELP = (
    "s success    failed at the step shown:  d drop   m misplaced release   c collision   "
    "t timeout   o other    x cannot be told\n"
    "left, right: a step    shift: ten    home, end    space plays    a click jumps    "
    "n next, unanswered    u undo    q quit"
)
NO_WINDOW = (
    "there is no display to open a window on (or no toolkit: Python's tkinter is one); label "
    "without it: salus label STORE --episode ID --outcome failure --type drop --step 31 (or "
    "--outcome success)"
)


def show(work: Labelling) -> None:
    """Open the window and return when it is closed.

    Raises:
        ConfigError: if this machine has no display.
    """
    from matplotlib import pyplot, rc_context
    from matplotlib.backends.registry import BackendFilter, backend_registry

    with rc_context({"toolbar": "None"}):
        try:
            figure = pyplot.figure("salus label", figsize=SIZE_IN)
        except ImportError as error:
            raise ConfigError(NO_WINDOW) from error
        if pyplot.get_backend().lower() not in backend_registry.list_builtin(
            BackendFilter.INTERACTIVE
        ):
            pyplot.close(figure)
            raise ConfigError(NO_WINDOW)
        window = LabelWindow(work, figure)
        window.on_quit = lambda: pyplot.close(figure)
        pyplot.show(block=True)


class LabelWindow:
    """Shows the current episode of a `Labelling` on a figure and answers for the keys pressed.

    Only what changes with the step is drawn again while the person moves through the episode.

    Attributes:
        step: The step that is shown, 0 to T; T is the moment after the last one.
        on_quit: Called for the key q.
    """

    def __init__(self, work: Labelling, figure: Figure) -> None:
        """Draw the first episode."""
        self.work = work
        self.step = 0
        self.on_quit = lambda: None
        self._figure = figure
        self._canvas = figure.canvas
        self._timer = self._canvas.new_timer()
        self._timer.add_callback(self._play_on)
        manager = self._canvas.manager
        if manager is not None and manager.key_press_handler_id is not None:
            # Matplotlib's own keys: s would save, q close, and so on.
            self._canvas.mpl_disconnect(manager.key_press_handler_id)
        self._canvas.mpl_connect("key_press_event", self._on_key)
        self._canvas.mpl_connect("button_press_event", self._on_click)
        self._canvas.mpl_connect("draw_event", self._on_draw)
        self._canvas.mpl_connect("close_event", lambda _: self._stop())
        self._playing = False
        self._played_from = 0, 0.0  # the step and the time at which it began
        self._background: Any = None
        self._say = ""
        self._wrong = False
        self._begin()

    def _begin(self) -> None:
        """Draw the current episode anew, or that there is none left."""
        self._stop()
        self._figure.clear()
        self._frames: dict[str, tuple[AxesImage, Text]] = {}
        self._cursors: list[Artist] = []
        self._plots: list[Axes] = []
        self._episode: Episode | None = None
        if (current := self.work.current) is None:
            self._draw_end()
        else:
            self._reader, self._index = current
            try:
                self._episode = self._reader.episode(self._index, images=False)
            except StoreError as error:
                self._say, self._wrong = f"{error}    (n goes on to the next)", True
            else:
                self._draw_episode(self._episode)
                failure_step = self.work.meta.failure_step
                self._go_to(failure_step if failure_step >= 0 else len(self._episode), draw=False)
            self._draw_words()
        self._canvas.draw_idle()

    def _draw_end(self) -> None:
        work = self.work
        text = f"that was the last of {len(work)}; {work.unlabelled} have no label\n\n"
        self._figure.text(0.5, 0.55, text + "u undo    q quit", ha="center", size=14, color=INK)
        self._figure.text(0.5, 0.4, self._say, ha="center", size=11, color=FAINT)

    def _draw_episode(self, episode: Episode) -> None:
        meta, cameras = self.work.meta, self._reader.spec.cameras
        kinds = columns_by_kind(self._reader.spec.signals)
        top = 0.88
        if cameras:
            bottom = 0.54
            grid = self._figure.add_gridspec(
                1, len(cameras), left=0.02, right=0.98, bottom=bottom, top=top, wspace=0.02
            )
            for place, camera in enumerate(cameras):
                self._draw_camera(self._figure.add_subplot(grid[place]), camera)
            top = bottom - 0.02
        rows = self._figure.add_gridspec(
            1 + len(kinds), 1, left=0.05, right=0.83, bottom=0.115, top=top - 0.03, hspace=0.12
        )
        times = np.arange(len(episode), dtype=np.float64) / meta.rate_hz
        self._plots = [self._figure.add_subplot(rows[place]) for place in range(1 + len(kinds))]
        draw_risk(self._plots[0], times, episode)
        for axis, (kind, columns) in zip(self._plots[1:], kinds.items(), strict=True):
            draw_signals(axis, times, episode, kind, columns)
        end_s = len(episode) / meta.rate_hz
        for axis in self._plots:
            last = axis is self._plots[-1]
            axis.set_xlim(-0.005 * end_s, 1.005 * end_s)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.25, linewidth=0.5)
            axis.tick_params(labelsize=8, labelbottom=last)
            axis.yaxis.label.set_fontsize(8)
            if meta.failure_step >= 0:
                moment = meta.failure_step / meta.rate_hz
                axis.axvline(moment, color=FAILURE_COLOUR, linewidth=1.5, linestyle="--")
            handles, labels = axis.get_legend_handles_labels()
            if labels:
                axis.legend(
                    handles, labels, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5),
                    frameon=False,
                )  # fmt: skip
            self._cursors.append(axis.axvline(0.0, color=INK, linewidth=1.2))
        self._plots[-1].set_xlabel("time in the episode in s", fontsize=9)
        above = self._plots[0]
        self._where = above.text(
            0.5, 1.03, "", transform=above.transAxes, ha="center", size=11, color=INK
        )
        self._cursors.append(self._where)
        for artist in self._moving():
            artist.set_animated(self._canvas.supports_blit)

    def _draw_words(self) -> None:
        work, meta = self.work, self.work.meta
        head = f"{work.place + 1} of {len(work)}    {meta.id}    now: {in_words(meta)}"
        self._figure.text(0.02, 0.965, head, size=13, color=INK, weight="bold", va="center")
        policy = f", policy {meta.policy_id}" if meta.policy_id else ""
        place = f"episode {self._index} of {self._reader.path.name}{policy}"
        about = f"{meta.task or 'task not recorded'}    ({place})"
        self._figure.text(0.02, 0.93, about, size=10, color=FAINT, va="center")
        colour = FAILURE_COLOUR if self._wrong else FAINT
        self._figure.text(0.02, 0.9, self._say, size=9, color=colour, va="center", wrap=True)
        self._figure.text(0.5, 0.03, HELP, ha="center", va="center", size=9.5, color=INK)

    def _draw_camera(self, axis: Axes, camera: str) -> None:
        height, width = self._reader.spec.image_size
        image = axis.imshow(np.zeros((height, width, 3), np.uint8))
        text = axis.text(
            0.5, 0.5, "", transform=axis.transAxes, ha="center", va="center", size=12, color=FAINT
        )
        axis.set_facecolor("#eeeeee")
        axis.set_title(camera, fontsize=9, color=FAINT, pad=3)
        axis.set_xticks([])
        axis.set_yticks([])
        self._frames[camera] = image, text

    # What moves with the step

    def _moving(self) -> list[Artist]:
        return [artist for both in self._frames.values() for artist in both] + self._cursors

    def _go_to(self, step: int, *, draw: bool = True) -> None:
        assert self._episode is not None
        meta, steps = self.work.meta, len(self._episode)
        self.step = min(max(step, 0), steps)
        for camera, (image, text) in self._frames.items():
            frame, problem = self._frame(camera, min(self.step, steps - 1))
            image.set_visible(frame is not None)
            if frame is not None:
                image.set_data(frame)
            text.set_text(problem)
        seconds = self.step / meta.rate_hz
        for cursor in self._cursors[: len(self._plots)]:
            cursor.set_xdata([seconds, seconds])  # type: ignore[attr-defined]
        name = f"step {self.step}" if self.step < steps else "after the last step"
        self._where.set_text(f"{name} of {steps}, {seconds:.2f} s")
        if draw:
            self._draw_moving()

    def _frame(self, camera: str, step: int) -> tuple[NDArray[np.uint8] | None, str]:
        """The frame of a step, or None and why there is none."""
        assert self._episode is not None
        age_ms, streams = self._episode.age_ms, self._reader.spec.streams
        # Where no age at all was noted down, a frame without one is not a lost one.
        if age_ms is not None and camera in streams:
            noted = np.isfinite(age_ms).any()
            if noted and np.isnan(age_ms[step, streams.index(camera)]):
                return None, "no image at this step"
        try:
            return self._reader.frames(camera, self._index, slice(step, step + 1))[0], ""
        except StoreError:
            return None, "this image is damaged (salus info --verify)"

    def _draw_moving(self) -> None:
        if self._background is None or not self._canvas.supports_blit:
            self._canvas.draw_idle()
            return
        self._canvas.restore_region(self._background)  # type: ignore[attr-defined]
        self._draw_artists()
        self._canvas.blit(self._figure.bbox)

    def _draw_artists(self) -> None:
        for artist in self._moving():
            self._figure.draw_artist(artist)

    def _on_draw(self, event: DrawEvent) -> None:
        if self._canvas.supports_blit:
            # Only canvases that blit have it.
            self._background = self._canvas.copy_from_bbox(  # type: ignore[attr-defined]
                self._figure.bbox
            )
            self._draw_artists()

    # What the person does

    def _on_key(self, event: KeyEvent) -> None:
        key = (event.key or "").lower()
        if key == "q":
            self._stop()
            self.on_quit()
        elif key == "u":
            self._try(self._undo)
        elif key == "n":
            self._try(self._skip)
        elif self._episode is None:
            return
        elif key in ANSWERS:
            self._try(lambda: self._answer(*ANSWERS[key]))
        elif key in (" ", "space"):
            self._stop() if self._playing else self._play()
        elif key in STEPS or key in ("home", "end"):
            self._stop()
            ends = {"home": 0, "end": len(self._episode)}
            self._go_to(ends[key] if key in ends else self.step + STEPS[key])

    def _on_click(self, event: MouseEvent) -> None:
        if event.inaxes in self._plots and event.xdata is not None:
            self._stop()
            self._go_to(round(event.xdata * self.work.meta.rate_hz))

    def _answer(self, outcome: Outcome, kind: FailureType) -> None:
        step = self.step if outcome == Outcome.FAILURE else -1
        self._say = f"{self.work.answer(outcome, kind, step)}    (u takes it back)"

    def _skip(self) -> None:
        self.work.skip()
        self._say = ""

    def _undo(self) -> None:
        change = self.work.undo()
        self._say = "" if change is None else f"taken back: {change}"

    def _try(self, act: Callable[[], None]) -> None:
        """Do what changes the store; where it fails the person stays where they are."""
        self._wrong = False
        try:
            act()
        except StoreError as error:
            self._say, self._wrong = str(error), True
        self._begin()

    def _play(self) -> None:
        assert self._episode is not None
        if self.step == len(self._episode):
            self.step = 0
        self._playing = True
        self._played_from = self.step, monotonic()
        self._timer.interval = max(1, round(1e3 / self.work.meta.rate_hz))
        self._timer.start()

    def _play_on(self) -> None:
        """Show the step that is due; called by the timer."""
        if not self._playing or self._episode is None:
            return
        first, since = self._played_from
        self._go_to(first + int((monotonic() - since) * self.work.meta.rate_hz))
        if self.step == len(self._episode):
            self._stop()

    def _stop(self) -> None:
        self._playing = False
        self._timer.stop()
