"""The page's server: one connection a page, which is told what is new when it can take it."""

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from aiohttp import web

from salus_ros import __version__
from salus_ros.core.errors import ConfigError, SalusError
from salus_ros.core.failures import ALL_FAILURE_TYPES
from salus_ros.view.access import Access
from salus_ros.view.buttons import BUTTONS, Answer, Desk, read_press
from salus_ros.view.state import Seen, ViewState
from salus_ros.view.stored import Recording

ASSETS = Path(__file__).parent.parent / "assets" / "view"
FILES = {"/": "index.html", "/view.js": "view.js", "/plot.js": "plot.js", "/view.css": "view.css"}
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}

MOST_PAGES = 32
BEAT_S = 1.0
"""How often a page hears from the server at least; by this it knows that it still does."""

ACKNOWLEDGE_S = 20.0
"""How long a page may take over one update before it counts as gone."""

ANSWER_S = 10.0
LARGEST_BODY = 4096
END_S = 5.0


class ViewServer:
    """Serves the page in a thread of its own.

    A page that is slow, or a browser that has gone, costs what it is behind by: nothing is queued,
    it gets the newest state once it has said that it has shown the last one.
    """

    def __init__(
        self,
        shown: ViewState | Recording,
        desk: Desk | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = "",
    ) -> None:
        """Listen.

        Args:
            shown: The live state, or recorded episodes.
            desk: Who does what the buttons ask for; None: nobody.
            host: Address to listen on.
            port: Port; 0 takes a free one.
            token: See `Access`.

        Raises:
            ConfigError: if it cannot listen there, or the token is not allowed.
        """
        self._shown, self._desk = shown, desk
        self._access = Access(host, token)
        self._loop = asyncio.new_event_loop()
        self._tick = asyncio.Event()
        self._pages = 0
        self._closing = False
        started: Future[int] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(host, port, started), name="view", daemon=True
        )
        self._thread.start()
        try:
            bound = started.result()
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}, port {port}: {error.strerror or error}; give another "
                "host or port"
            ) from error
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{bound}/"
        """Address of the page."""
        if isinstance(shown, ViewState):
            shown.on_publish(self._on_publish)

    @property
    def address(self) -> str:
        """The address with the token, where there is one: what a person opens."""
        return self.url + (f"?token={self._access.token}" if self._access.token else "")

    def close(self) -> None:
        """Say goodbye to the pages and end."""
        self._closing = True
        self._on_publish()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(END_S)

    # The thread

    def _run(self, host: str, port: int, started: "Future[int]") -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(host, port, started))
        finally:
            self._loop.close()

    async def _serve(self, host: str, port: int, started: "Future[int]") -> None:
        self._ended = asyncio.Event()
        app = web.Application(middlewares=[self._access.middleware], client_max_size=LARGEST_BODY)
        app.add_routes(
            [
                *(web.get(path, self._file) for path in FILES),
                web.get("/favicon.ico", _no_icon),
                web.get("/about", self._about),
                web.get("/live", self._live),
                web.get("/episode/{episode}", self._episode),
                web.get("/frame/{episode}/{camera}/{step}", self._frame),
                web.post("/do/{name}", self._do),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
        except OSError as error:
            await runner.cleanup()
            started.set_exception(error)
            return
        started.set_result(runner.addresses[0][1])
        await self._ended.wait()
        await runner.cleanup()

    def _on_publish(self) -> None:
        """Wake the pages; called in the node's thread."""
        if not self._pages:
            return
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            return  # it has ended

    def _wake(self) -> None:
        self._tick.set()
        self._tick = asyncio.Event()

    # What is served

    async def _file(self, request: web.Request) -> web.StreamResponse:
        file = ASSETS / FILES[request.path]
        return web.Response(
            text=file.read_text(), content_type=KINDS[file.suffix], charset="utf-8"
        )

    async def _about(self, request: web.Request) -> web.StreamResponse:
        live = isinstance(self._shown, ViewState)
        about: dict[str, Any] = {
            "version": __version__,
            "kinds": [kind.label for kind in ALL_FAILURE_TYPES],
            "buttons": [
                {"name": name, "text": one.text, "title": one.title, "asks": one.asks}
                for name, one in BUTTONS.items()
            ],
            "recording": None if live else self._shown.about(),  # type: ignore[union-attr]
        }
        return web.json_response(about)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        state = self._shown
        if not isinstance(state, ViewState):
            raise web.HTTPNotFound(text="these are recorded episodes")
        if self._pages >= MOST_PAGES:
            raise web.HTTPServiceUnavailable(text=f"{MOST_PAGES} pages are open; close one")
        socket = web.WebSocketResponse(compress=False, max_msg_size=LARGEST_BODY)
        await socket.prepare(request)
        self._pages += 1
        try:
            with state.watching():
                await self._tell(socket, state)
        except (ConnectionError, TimeoutError):
            pass  # the browser has gone
        finally:
            self._pages -= 1
        return socket

    async def _tell(self, socket: web.WebSocketResponse, state: ViewState) -> None:
        """Tell a page what is new, as fast as it can show it, until it is gone."""
        seen = Seen()
        beat_s = self._loop.time()
        while not (socket.closed or self._closing):
            tick = self._tick
            update = state.since(seen)
            new = update.seen != seen
            if new or self._loop.time() - beat_s >= BEAT_S:
                beat_s = self._loop.time()
                await socket.send_str(json.dumps(update.values, allow_nan=False))
                for frame in update.frames:
                    await socket.send_bytes(frame.jpeg)
                seen = update.seen
                answer = await socket.receive(timeout=ACKNOWLEDGE_S)
                if answer.type is not web.WSMsgType.TEXT:
                    return
            try:
                await asyncio.wait_for(tick.wait(), BEAT_S)
            except TimeoutError:
                continue

    async def _episode(self, request: web.Request) -> web.StreamResponse:
        recording = self._recording()
        index = _whole(request, "episode")
        return web.json_response(await self._read(lambda: recording.update(index)))

    async def _frame(self, request: web.Request) -> web.StreamResponse:
        recording, camera = self._recording(), request.match_info["camera"]
        index, step = _whole(request, "episode"), _whole(request, "step")
        jpeg = await self._read(lambda: recording.jpeg(index, camera, step))
        return web.Response(body=jpeg, content_type="image/jpeg")

    def _recording(self) -> Recording:
        if not isinstance(self._shown, Recording):
            raise web.HTTPNotFound(text="this is live")
        return self._shown

    async def _read[T](self, read: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(read)
        except SalusError as error:
            raise web.HTTPNotFound(text=str(error)) from error

    async def _do(self, request: web.Request) -> web.StreamResponse:
        """Press a button."""
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="send JSON")
        try:
            values = read_press(request.match_info["name"], await request.json())
        except (ConfigError, ValueError) as error:
            return _answered(Answer(False, str(error)), 400)
        if self._desk is None:
            return _answered(Answer(False, "a recorded episode: there is nothing to press"), 409)
        pressed = self._desk.press(request.match_info["name"], values)
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(pressed), ANSWER_S)
        except TimeoutError:
            answer = Answer(False, f"no answer for {ANSWER_S:g} s; it may still be done")
        return _answered(answer, 200 if answer.done else 409)


async def _no_icon(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


def _answered(answer: Answer, status: int) -> web.Response:
    return web.json_response({"done": answer.done, "text": answer.text}, status=status)


def _whole(request: web.Request, name: str) -> int:
    text = request.match_info[name]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise web.HTTPNotFound(text=f"{name} is a whole number")
    return int(text)
