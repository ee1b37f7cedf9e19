"""One worker as its parent sees it: started, heard over a notification socket (sd_notify(3)), ended.

The worker says READY=1 when it serves and WATCHDOG=1 as long as its event loop turns, as it would to systemd. Its standard input
is a pipe of the parent's: when that one dies, however it does, the pipe ends and the worker drains.
"""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from controller.cli.listening import shared
from runtime.console import FAILED
from runtime.tasks import TaskScope

SILENT_MAX_S: Final = 30.0
"""A worker whose event loop did not turn for so long is ended, as the unit's WatchdogSec would do."""
CHECK_S: Final = 1.0
NOTICE_MAX_BYTES: Final = 4096
_CHILD: Final = ("-P", "-m", "controller.cli.worker")
"""-P: no code out of the working directory."""

_log = structlog.get_logger(__name__)


class Worker:
    """One child process after the other.

    Args:
        number: from 1 on.
        options: of the command line, for the worker's settings.
        places: addresses that ``listening.reserved`` keeps.
        notices: where the socket for its notifications is made; in a folder that nobody else may enter.
        metrics: where it serves metrics and health.
        changed: called whenever ``serves`` has changed.
        silent_max_s: after how much silence it is ended.
    """

    def __init__(
        self,
        number: int,
        options: Sequence[str],
        places: Sequence[socket.socket],
        *,
        notices: Path,
        metrics: Path,
        changed: Callable[[], None],
        silent_max_s: float = SILENT_MAX_S,
    ) -> None:
        self.number = number
        self.metrics = metrics
        self.serves = False
        self.has_served = False
        """Once, in this process or an earlier one."""
        self.restarts = 0
        self.stopping = asyncio.Event()
        self._options = options
        self._places = places
        self._notices = notices
        self._changed = changed
        self._silent_max_s = silent_max_s
        self._process: Process | None = None
        self._since = 0.0
        self._heard = 0.0

    async def run_once(self) -> tuple[float, int]:
        """Starts the process and waits for its end; returns for how many seconds it served, and its exit code."""
        loop = asyncio.get_running_loop()
        self._notices.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as notices:
            notices.bind(str(self._notices))
            loop.add_reader(notices, self._hear, notices)
            try:
                return await self._run()
            except OSError as exc:
                # No memory, no descriptors: those that serve go on, and this one is tried again.
                _log.error("worker.not_started", worker=self.number, error=str(exc))
                return 0.0, FAILED
            finally:
                loop.remove_reader(notices)
                self._process = None
                self._set_serves(False)

    async def told_to_stop(self, *, within_s: float) -> bool:
        """Waits; returns whether ``stop`` was called meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.stopping.wait()
        return self.stopping.is_set()

    def stop(self) -> None:
        """Lets it drain, and start no more."""
        self.stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    def kill(self) -> None:
        """Ends it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _run(self) -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        process = self._process = await self._start()
        _log.info("worker.started", worker=self.number, pid=process.pid)
        if self.stopping.is_set():
            process.terminate()
        async with TaskScope(f"worker {self.number}") as scope:
            scope.spawn(self._watch(process), name="watch")
            code = await process.wait()
            scope.cancel()
        return (loop.time() - self._since if self.serves else 0.0), code

    async def _start(self) -> Process:
        listeners = shared(self._places)
        descriptors = [listener.fileno() for listener in listeners]
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *_CHILD,
                str(self.number),
                ",".join(map(str, descriptors)),
                *self._options,
                stdin=PIPE,
                pass_fds=descriptors,
                # A Ctrl-C is the parent's to hand on.
                start_new_session=True,
                env={**os.environ, "NOTIFY_SOCKET": str(self._notices), "WATCHDOG_USEC": str(int(SILENT_MAX_S * 1e6))},
            )
        finally:
            for listener in listeners:
                listener.close()

    async def _watch(self, process: Process) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_S)
            # A start may fold a long log in one go.
            if self.serves and loop.time() - self._heard > self._silent_max_s:
                _log.error("worker.stuck", worker=self.number, silent_s=round(loop.time() - self._heard))
                process.kill()
                return

    def _hear(self, notices: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                lines = notices.recv(NOTICE_MAX_BYTES).split(b"\n")
                self._heard = asyncio.get_running_loop().time()
                if b"READY=1" in lines:
                    self._since = self._heard
                    self._set_serves(True)

    def _set_serves(self, serves: bool) -> None:
        if self.serves is not serves:
            self.serves = serves
            self.has_served |= serves
            self._changed()
