"""`serve` with several workers: one parent that owns child processes, each of which is a whole replica (F-2, F-7).

The parent serves nobody. Each worker gets listening sockets of its own on the same addresses (SO_REUSEPORT): the kernel spreads
connections evenly, and those that wait for a worker which dies go with it and try again elsewhere. Only workers that serve
listen; a socket of the parent that is bound and does not listen keeps the port for them. A worker that ends is started
again, one whose loop does not turn is ended first. What a worker cannot start with, no second attempt can: if one ends before
it has served for the first time, so does the parent.
"""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from controller.cli.listening import reserved
from controller.cli.worker_folder import private_folder
from controller.cli.worker_metrics import Member, WorkerMetrics, source_of
from controller.cli.worker_process import Worker
from controller.settings import COMPONENT, WORKERS_SOCKET, Settings, worker_metrics_socket
from runtime.backoff import Backoff
from runtime.console import FAILED, OK
from runtime.lifecycle import Lifecycle
from runtime.metrics import SOCKET_NAME, MetricsServer
from runtime.tasks import TaskScope

STOP_S: Final = 20.0
"""How long workers may drain; the service manager gives the parent 30 s."""
STABLE_AFTER_S: Final = 30.0
"""A worker that served this long is started again with the shortest pause."""

_log = structlog.get_logger(__name__)


async def supervise(settings: Settings, options: Sequence[str], life: Lifecycle) -> int:
    """Starts the workers, keeps them, and lets them drain; returns the exit code.

    ``options`` are the command line's own settings, which the workers get too. Raises LocalError when the port cannot be had.
    """
    with (
        reserved(settings.listen_host, settings.listen_port) as places,
        private_folder(settings.state_dir) as folder,
    ):
        crew = Crew(settings, options, life, places, folder)
        source = source_of(COMPONENT, crew.members)
        status = MetricsServer(source, None, settings.state_dir / WORKERS_SOCKET)
        shown = WorkerMetrics(source, settings.metrics_listen, settings.state_dir / SOCKET_NAME, crew.members)
        async with status, shown:
            return await crew.run()


class Crew:
    """All workers of one parent. ``folder`` is private to it; ``places`` are the reserved addresses."""

    def __init__(
        self,
        settings: Settings,
        options: Sequence[str],
        life: Lifecycle,
        places: Sequence[socket.socket],
        folder: Path,
    ) -> None:
        self._life = life
        self._announced = False
        self._code = OK
        self._over = asyncio.Event()
        self._workers = [
            Worker(
                number,
                options,
                places,
                notices=folder / str(number),
                metrics=settings.state_dir / worker_metrics_socket(number),
                changed=self._changed,
            )
            for number in range(1, settings.workers + 1)
        ]
        self._where = f"{settings.listen_host or '*'}:{settings.listen_port}"

    def members(self) -> Sequence[Member]:
        """How each worker is now."""
        return tuple(Member(one.number, one.metrics, one.serves, one.restarts) for one in self._workers)

    async def run(self) -> int:
        """Runs until the process is asked to stop, or a worker cannot start."""
        async with TaskScope("workers") as scope:
            keepers = [scope.spawn(self._keep(worker), name=str(worker.number)) for worker in self._workers]
            asked = scope.spawn(self._life.stop.wait(), name="stop")
            failed = scope.spawn(self._over.wait(), name="failed")
            try:
                await asyncio.wait((asked, failed), return_when=asyncio.FIRST_COMPLETED)
                for worker in self._workers:
                    worker.stop()
                async with asyncio.timeout(STOP_S):
                    await asyncio.gather(*keepers)
            except TimeoutError:
                _log.warning("workers.ended_by_force", after_s=STOP_S)
            finally:
                for worker in self._workers:
                    worker.kill()
            scope.cancel()
        return self._code

    async def _keep(self, worker: "Worker") -> None:
        backoff = Backoff()
        while True:
            served_s, code = await worker.run_once()
            if worker.stopping.is_set():
                return
            if not worker.has_served:
                # Its own words are in the log. Another attempt would meet the same settings, keys and database.
                self._code = code if code > 0 else FAILED
                self._over.set()
                return
            if served_s > STABLE_AFTER_S:
                backoff.reset()
            pause = backoff.next()
            _log.error("worker.ended", worker=worker.number, code=code, again_in_s=round(pause, 2))
            if await worker.told_to_stop(within_s=pause):
                return
            worker.restarts += 1

    def _changed(self) -> None:
        """A worker began or ceased to serve."""
        serving = sum(worker.serves for worker in self._workers)
        text = f"{serving} of {len(self._workers)} workers serve on {self._where}"
        if serving == len(self._workers) and not self._announced:
            self._announced = True
            _log.info("serving", workers=serving, listen=self._where)
            self._life.ready(text)
        elif self._announced and not self._life.stop.is_set():
            self._life.status(text)
