"""From ``main`` to exit code: uvloop, signals, systemd's notifications, stall warnings (F-2, F-29).

A daemon's main coroutine gets a ``Lifecycle``: it waits for ``stop``, drains, and returns. The first SIGTERM or SIGINT sets
``stop``; the second one cancels the main coroutine.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import structlog
import uvloop

from protocol.errors import OstiaryError
from runtime.console import FAILED, INTERRUPTED, OK, exit_code, print_error

T = TypeVar("T")

STALL_WARN_S: Final = 1.0
"""An event loop that did not turn for this long is reported with the stack that held it."""
_BEAT_S: Final = 0.5
_GC_THRESHOLDS: Final = (20_000, 20, 50)
"""Connections make many short-lived objects and few cycles: Python's default of 700 would look for cycles several times per
connection."""

_log = structlog.get_logger(__name__)


class Lifecycle:
    """What a daemon's main coroutine knows about its process."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        """Set when the process was asked to end."""

    def ready(self, status: str = "") -> None:
        """Tells systemd that start-up is over."""
        notify("READY=1" + (f"\nSTATUS={status}" if status else ""))

    def status(self, text: str) -> None:
        """Shows one line in ``systemctl status``."""
        notify(f"STATUS={text}")

    def stopping(self) -> None:
        """Tells systemd that the end has begun."""
        notify("STOPPING=1")


def run(main: Callable[[Lifecycle], Coroutine[Any, Any, int | None]]) -> int:
    """Runs a daemon until it ends by itself or by a signal; returns the exit code of the process."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_supervise(main))
    except OstiaryError as error:
        print_error(error)
        return exit_code(error.reason)
    except asyncio.CancelledError:
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED


def run_command(command: Coroutine[Any, Any, T]) -> T:
    """Runs a short command's coroutine; errors and Ctrl-C reach the caller (``console.exit_on_error``)."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(command)


def notify(state: str) -> None:
    """Sends one datagram to systemd's notification socket; does nothing outside systemd (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.sendto(state.encode(), address)
    except OSError as exc:
        _log.debug("systemd.notify_failed", error=str(exc))


async def _supervise(main: Callable[[Lifecycle], Coroutine[Any, Any, int | None]]) -> int:
    loop = asyncio.get_running_loop()
    lifecycle = Lifecycle()
    this = asyncio.current_task()
    assert this is not None

    def on_signal(name: str) -> None:
        if lifecycle.stop.is_set():
            _log.warning("process.stop_forced", signal=name)
            this.cancel()
            return
        _log.info("process.stop_requested", signal=name)
        lifecycle.stopping()
        lifecycle.stop.set()

    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, on_signal, number.name)
    stall_watch = StallWatch()
    stall_watch.start(loop)
    # Modules and settings stay for good: no collection needs to walk them again.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        code = await main(lifecycle)
    except OstiaryError:
        raise
    except Exception:  # noqa: BLE001 - the end of the process: the log gets the stack, the caller an exit code
        _log.exception("process.crashed")
        return FAILED
    finally:
        stall_watch.stop()
        for number in signals:
            loop.remove_signal_handler(number)
    return OK if code is None else code


class StallWatch:
    """A thread that notices when the event loop does not turn, and says in which line of code it is stuck.

    It also answers systemd's watchdog, from the loop itself, so that a stuck loop is restarted.
    """

    def __init__(self, *, warn_after_s: float = STALL_WARN_S) -> None:
        self._warn_after_s = warn_after_s
        self._beat = time.monotonic()
        self._end = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins to watch the running ``loop``; call it from the loop's thread."""
        self._tick(loop)
        self._thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="stall-watch", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends the watch."""
        self._end.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join(timeout=2 * _BEAT_S)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat = time.monotonic()
        if os.environ.get("WATCHDOG_USEC"):
            notify("WATCHDOG=1")
        self._timer = loop.call_later(_BEAT_S, self._tick, loop)

    def _watch(self, watched_thread: int) -> None:
        reported = 0.0
        while not self._end.wait(_BEAT_S):
            beat = self._beat
            stuck_s = time.monotonic() - beat - _BEAT_S
            if stuck_s < self._warn_after_s or beat == reported:
                continue
            reported = beat
            frame = sys._current_frames().get(watched_thread)  # noqa: SLF001 - the documented way to see another thread
            stack = "".join(traceback.format_stack(frame)[-6:]) if frame else ""
            _log.warning("loop.stalled", stalled_s=round(stuck_s, 2), where=stack)
