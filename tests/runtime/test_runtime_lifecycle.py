"""Lifecycle: signals, exit codes, systemd, stalls."""

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.lifecycle import Lifecycle, StallWatch, notify, run, run_command


@pytest.fixture(autouse=True)
def _fresh_logging() -> None:
    structlog.reset_defaults()


def test_the_first_signal_asks_for_an_orderly_end() -> None:
    drained = False

    async def main(lifecycle: Lifecycle) -> None:
        nonlocal drained
        os.kill(os.getpid(), signal.SIGTERM)
        await lifecycle.stop.wait()
        drained = True

    assert run(main) == 0
    assert drained


def test_the_second_signal_ends_at_once() -> None:
    async def main(lifecycle: Lifecycle) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await lifecycle.stop.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    assert run(main) == 130


def test_errors_on_purpose_become_a_message_and_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    async def main(_: Lifecycle) -> None:
        raise LocalError(Reason.NOT_ENROLLED, "/var/lib/ostiary/connector")

    assert run(main) == 2
    assert capsys.readouterr().err.startswith("error: This component is not enrolled.")


def test_a_crash_is_logged_and_is_1() -> None:
    async def main(_: Lifecycle) -> None:
        raise ZeroDivisionError

    with capture_logs() as logs:
        assert run(main) == 1
    assert [entry["event"] for entry in logs] == ["process.crashed"]


def test_the_mains_own_exit_code_counts() -> None:
    async def main(_: Lifecycle) -> int:
        return 3

    assert run(main) == 3


def test_a_short_command_returns_its_value() -> None:
    async def command() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run_command(command()) == "uvloop"


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        async def main(lifecycle: Lifecycle) -> None:
            lifecycle.ready("2 relays")
            lifecycle.status("1 relay")
            lifecycle.stopping()

        run(main)
        assert [sock.recv(100) for _ in range(3)] == [b"READY=1\nSTATUS=2 relays", b"STATUS=1 relay", b"STOPPING=1"]


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens-here")
    notify("READY=1")


async def test_f29_a_stall_is_reported_with_the_place() -> None:
    watch = StallWatch(warn_after_s=0.05)
    with capture_logs() as logs:
        watch.start(asyncio.get_running_loop())
        end = time.monotonic() + 5
        while not logs and time.monotonic() < end:
            sys.getswitchinterval()  # the loop does not turn while we are here
        watch.stop()
    assert logs[0]["event"] == "loop.stalled"
    assert "test_runtime_lifecycle.py" in logs[0]["where"]
