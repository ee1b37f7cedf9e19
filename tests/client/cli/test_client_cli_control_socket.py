"""The blocking client of the control socket: where it looks, and what it makes of a broken daemon."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from client.cli.control_socket import call, socket_path
from protocol.errors import OstiaryError
from protocol.reasons import Reason


@contextmanager
def saying(path: Path, answer: bytes) -> Iterator[None]:
    """A daemon that says these bytes to whoever asks, and closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", Reason.DAEMON_NOT_RUNNING),
        (b'{"ok": true, "resu', Reason.DAEMON_NOT_RUNNING),
        (b"nonsense\n", Reason.PROTOCOL_ERROR),
        (b"[" * 100_000 + b"\n", Reason.PROTOCOL_ERROR),
        (b'{"ok": true}\n', Reason.PROTOCOL_ERROR),
        (b'{"ok": false, "error": {"reason": "from_the_future", "detail": "x"}}\n', Reason.INTERNAL),
        (b'{"ok": false, "error": {"reason": "sign_in_required", "detail": "x"}}\n', Reason.SIGN_IN_REQUIRED),
    ],
)
def test_broken_answers_are_named(tmp_path: Path, answer: bytes, reason: Reason) -> None:
    with saying(tmp_path / "s", answer), pytest.raises(OstiaryError) as caught:
        call("status", path=tmp_path / "s")
    assert caught.value.reason is reason


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.cli.control_socket.REPLY_MAX_BYTES", 1000)
    with saying(tmp_path / "s", b"x" * 2000), pytest.raises(OstiaryError) as caught:
        call("status", path=tmp_path / "s")
    assert caught.value.reason in (Reason.PROTOCOL_ERROR, Reason.DAEMON_NOT_RUNNING)


def test_events_come_before_the_result(tmp_path: Path) -> None:
    events: list[object] = []
    answer = b'{"event": {"n": 1}}\n{"event": {"n": 2}}\n{"ok": true, "result": {"done": true}}\n'
    with saying(tmp_path / "s", answer):
        assert call("up", {"a": 1}, path=tmp_path / "s", on_event=events.append) == {"done": True}
    assert events == [{"n": 1}, {"n": 2}]


def test_where_the_socket_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.cli.control_socket.RUNTIME_DIR", tmp_path / "system")
    system, own = tmp_path / "system" / "ostiary.sock", tmp_path / "user" / "ostiary" / "ostiary.sock"
    assert socket_path({"OSTIARY_SOCKET": "/a/b.sock", "OSTIARY_RUNTIME_DIR": "/c"}) == Path("/a/b.sock")
    assert socket_path({"OSTIARY_RUNTIME_DIR": "/c"}) == Path("/c/ostiary.sock")
    assert socket_path({"XDG_RUNTIME_DIR": str(tmp_path / "user")}) == system
    own.parent.mkdir(parents=True)
    own.touch()
    assert socket_path({"XDG_RUNTIME_DIR": str(tmp_path / "user")}) == own
    system.parent.mkdir()
    system.touch()
    assert socket_path({"XDG_RUNTIME_DIR": str(tmp_path / "user")}) == system
