"""The page's server, asked over HTTP: who is let in, what is pressed, browsers that go."""

import asyncio
import http.client
import json
import socket
import threading
from concurrent.futures import Future

import aiohttp
import numpy as np
import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.view.access import is_loopback
from salus_ros.view.buttons import Answer, read_press
from salus_ros.view.server import ViewServer
from salus_ros.view.state import ViewState

TOKEN = "a-token-of-24-characters"
DEADLINE_S = 30


class Desk:
    """Notes what was pressed."""

    def __init__(self):
        self.pressed = []

    def press(self, name, values):
        self.pressed.append((name, values))
        future = Future()
        future.set_result(Answer(name != "stop", f"{name} was pressed"))
        return future


@pytest.fixture
def serve():
    """Start servers of the live page."""
    servers = []

    def start(state=None, **options):
        servers.append(ViewServer(state or ViewState(), **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def ask(server, path, method="GET", body=None, **headers):
    """Status, headers and text of an answer; a redirection is not followed."""
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Host": f"127.0.0.1:{port}"} | named)
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, answer.headers, text


def press(server, name, body="{}", **headers):
    given = {"Origin": server.url.rstrip("/"), "Content_Type": "application/json"} | headers
    status, _, text = ask(server, f"/do/{name}", "POST", body, **given)
    return status, text


def test_the_page_needs_nothing_from_elsewhere(serve):
    server = serve()
    for path, kind in (("/", "html"), ("/view.js", "javascript"), ("/plot.js", "javascript")):
        status, headers, text = ask(server, path)
        assert status == 200
        assert kind in headers["Content-Type"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "://" not in text
        assert "innerHTML" not in text
    assert ask(server, "/../view.py")[0] == 404


def test_a_foreign_name_that_leads_here_is_refused(serve):
    assert ask(serve(), "/", Host="salus.example:80")[0] == 403


def test_only_the_page_itself_presses_buttons(serve):
    desk = Desk()
    server = serve(desk=desk)
    assert press(server, "start", '{"task": "lift"}') == (
        200,
        '{"done": true, "text": "start was pressed"}',
    )
    for origin in ("http://evil.example", "null", ""):
        assert press(server, "start", Origin=origin)[0] == 403
    assert press(server, "start", Content_Type="text/plain")[0] == 415
    assert ask(server, "/do/start")[0] == 405
    assert desk.pressed == [("start", {"task": "lift"})]
    assert press(server, "stop")[0] == 409  # refused by who was asked


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("explode", "{}", "there is no button 'explode'"),
        ("start", '{"task": 5}', "a task is a text"),
        ("start", "[]", "takes an object with task"),
        ("start", "{", "Expecting"),
        ("stop", '{"task": "x"}', "takes an object with nothing"),
        ("label", '{"outcome": "perhaps"}', "allowed is one of unknown, success, failure"),
        ("label", '{"outcome": "failure"}', "the type of the failure is missing"),
        ("label", '{"outcome": "failure", "kind": "drop", "step": 1.5}', "a whole step"),
        ("label", '{"outcome": "success", "kind": "drop"}', "has no type"),
    ],
)
def test_what_a_button_does_not_take_is_refused(serve, name, body, said):
    desk = Desk()
    status, text = press(serve(desk=desk), name, body)
    assert status == 400
    assert said in json.loads(text)["text"]
    assert desk.pressed == []


def test_a_label_is_read():
    assert read_press("label", {"outcome": "failure", "kind": "drop", "step": 3}) == {
        "outcome": Outcome.FAILURE,
        "kind": FailureType.DROP,
        "step": 3,
    }
    assert read_press("label", {"outcome": "success"})["step"] == -1


def test_a_body_without_end_is_refused(serve):
    assert press(serve(desk=Desk()), "start", '{"task": "' + "x" * 10000 + '"}')[0] == 413


def test_beyond_the_loopback_a_token_is_asked_for(serve):
    server = serve(host="0.0.0.0")
    assert len(server.address.partition("?token=")[2]) >= 32
    other = serve(host="0.0.0.0")
    assert server.address.partition("?")[2] != other.address.partition("?")[2]
    assert "token" not in serve().address
    for path in ("/", "/live", "/about", "/view.js"):
        assert ask(server, path)[0] == 401
    assert press(server, "start")[0] == 401


def test_the_token_opens_the_page_and_stays_in_a_cookie(serve):
    server = serve(token=TOKEN)
    assert ask(server, "/?token=" + "x" * 24)[0] == 401
    assert ask(server, "/?token=%C3%A9")[0] == 401
    status, headers, _ = ask(server, f"//elsewhere.example/?token={TOKEN}")
    assert (status, headers["Location"]) == (303, "/")
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert ask(server, "/", Cookie=cookie.partition(";")[0])[0] == 200
    assert ask(server, "/", Cookie=cookie.partition("=")[0] + "=wrong")[0] == 401


@pytest.mark.parametrize("token", ["short", "of many characters with spaces", "ü" * 20])
def test_a_token_that_is_none_is_refused(token):
    with pytest.raises(ConfigError, match="at least 16 letters"):
        ViewServer(ViewState(), token=token)


def test_what_is_the_loopback():
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.8.0.1", "::1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "robot", ""))


def test_a_port_that_is_taken_is_named(serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1, port {port}: "):
            serve(port=port)


async def a_page(session, server, shows):
    """Open the live connection and show so many updates; then vanish without a word."""
    live = session.ws_connect(server.url + "live", headers={"Origin": server.url.rstrip("/")})
    async with live as connection:
        updates = []
        while len(updates) < shows:
            message = await connection.receive(DEADLINE_S)
            assert message.type is aiohttp.WSMsgType.TEXT, message
            update = json.loads(message.data)
            for _ in update["frames"]:
                picture = await connection.receive(DEADLINE_S)
                assert picture.data.startswith(b"\xff\xd8")
            updates.append(update)
            await connection.send_str("shown")
        connection._response.connection.transport.abort()
    return updates


def test_ten_browsers_see_the_same_and_go_without_a_word(serve):
    state = ViewState()
    server = serve(state)
    ended = threading.Event()

    def robot():
        number = 0
        while not ended.wait(0.02):
            state.image("front", number, np.full((8, 8, 3), number % 256, np.uint8))
            state.put("episode", {"step": number})
            state.publish()
            number += 1

    async def pages():
        async with aiohttp.ClientSession() as session:
            return await asyncio.gather(*(a_page(session, server, 5) for _ in range(10)))

    thread = threading.Thread(target=robot)
    thread.start()
    try:
        told = asyncio.run(pages())
        for updates in told:
            steps = [
                one["parts"]["episode"]["step"] for one in updates if "episode" in one["parts"]
            ]
            assert steps == sorted(set(steps))
            assert len(steps) >= 4
        for _ in range(DEADLINE_S * 10):  # all are known to have gone
            if not state.watched:
                break
            ended.wait(0.1)
        assert not state.watched
    finally:
        ended.set()
        thread.join()


def test_of_too_many_pages_the_last_is_refused(serve, monkeypatch):
    monkeypatch.setattr("salus_ros.view.server.MOST_PAGES", 0)
    server = serve()
    given = {"Origin": server.url.rstrip("/"), "Upgrade": "websocket", "Connection": "upgrade"}
    assert ask(server, "/live", **given)[0] == 503


def test_a_page_of_another_site_gets_no_live_data(serve):
    given = {"Origin": "http://evil.example", "Upgrade": "websocket", "Connection": "upgrade"}
    assert ask(serve(), "/live", **given)[0] == 403
