"""Captive networks: what is a portal's answer, and that ``status`` names it while the light is not green."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from client.daemon import captive
from client.daemon.captive import CaptiveWatch, judge
from protocol.errors import OstiaryError, RefusedError, RemoteError
from protocol.reasons import Reason

HOST = "controller.corp.example"


@pytest.mark.parametrize(
    ("head", "distrusted", "words"),
    [
        ("HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/welcome?mac=1", False, "login.hotel.example"),
        ("HTTP/1.0 307 x\r\nlocation:https://10.0.0.1/", False, "10.0.0.1"),
        ("HTTP/1.1 511 Network Authentication Required", False, "511"),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html", True, "controller's place"),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html", False, None),
        ("HTTP/1.1 308 Permanent Redirect\r\nLocation: https://controller.corp.example/x", False, None),
        ("HTTP/1.1 308 Permanent Redirect\r\nLocation: https://CONTROLLER.corp.example:8443/x", False, None),
        ("HTTP/1.1 301 Moved\r\nLocation: /elsewhere", False, None),
        ("HTTP/1.1 302 Found\r\nLocation: http://[broken/", False, None),
        ("HTTP/1.1 404 Not Found", False, None),
        ("HTTP/1.1", False, None),
        ("HTTP/1.1 \xb2 OK", True, None),
        ("HTTP/1.1 " + "5" * 5_000, True, None),
        ("SSH-2.0-OpenSSH", True, None),
        ("", True, None),
    ],
)
def test_what_is_a_portals_answer(head: str, distrusted: bool, words: str | None) -> None:
    found = judge(HOST, head.encode("latin-1") + b"\r\n\r\n", distrusted=distrusted)
    assert found is None if words is None else found is not None and words in found


@contextlib.asynccontextmanager
async def portal() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A portal that redirects whoever asks; yields its port and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], asked


async def until(fact: object, deadline_s: float = 20.0) -> None:
    assert callable(fact)
    async with asyncio.timeout(deadline_s):
        while not fact():
            await asyncio.sleep(0.01)


async def test_a_portal_is_found_while_the_controller_is_away_and_its_end_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(captive, "CHECK_EVERY_S", 0.02)
    monkeypatch.setattr(captive, "LOOK_EVERY_S", 0.02)
    error: list[OstiaryError | None] = [None]
    over: list[bool] = []
    looks: list[OstiaryError | None] = []

    def away() -> OstiaryError | None:
        looks.append(error[0])
        return error[0]

    async with portal() as (port, asked):
        watch = CaptiveWatch("127.0.0.1", away, lambda: over.append(True), mark=None, port=port)
        task = asyncio.create_task(watch.run())
        await until(lambda: len(looks) >= 3)
        assert not asked, "nobody is asked while the controller is there"
        error[0] = answered = RefusedError(Reason.SESSION_ENDED, "it answered")
        await until(lambda: looks.count(answered) >= 3)
        assert not asked, "nor when it has answered"
        error[0] = RemoteError(Reason.CONTROLLER_UNREACHABLE, "gone")
        await until(lambda: watch.found)
        assert watch.found is not None
        assert watch.found.reason is Reason.CAPTIVE_NETWORK
        assert "login.hotel.example" in watch.found.detail
        assert asked[0].startswith(b"GET ")
    await until(lambda: over)
    assert watch.found is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_whoever_says_nothing_is_no_portal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captive, "PROBE_S", 0.1)
    monkeypatch.setattr(captive, "CHECK_EVERY_S", 0.02)
    callers: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        while await reader.read(1000):
            pass
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        away = RemoteError(Reason.CONTROLLER_UNREACHABLE, "gone")
        watch = CaptiveWatch("127.0.0.1", lambda: away, lambda: None, mark=None, port=port)
        task = asyncio.create_task(watch.run())
        await until(lambda: len(callers) >= 2)
        assert watch.found is None, "the first caller was not answered, and that was judged"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.05)
