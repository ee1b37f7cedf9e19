"""A worker of ``serve --workers``: ``python -P -m controller.cli.worker NUMBER LISTENERS [flags of serve]``.

Started by ``controller.cli.worker_process`` and by nobody else. LISTENERS are inherited descriptors of bound sockets,
separated by commas; standard input is a pipe of the parent's, whose end means that it is gone.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from controller.cli import start
from runtime.console import exit_on_error
from runtime.lifecycle import Lifecycle
from runtime.lifecycle import run as run_daemon


def main(arguments: Sequence[str]) -> int:
    """Serves until the parent says stop or is gone; returns the exit code."""
    number = int(arguments[0])
    listeners = [socket.socket(fileno=int(descriptor)) for descriptor in arguments[1].split(",")]
    with exit_on_error():
        settings = start.settings_of(start.flags_of(arguments[2:]))
    start.configure_logging(settings)
    structlog.contextvars.bind_contextvars(worker=number)
    serving = partial(start.load_server().run, settings, listeners=listeners, worker=number)
    return run_daemon(partial(_run, serving))


async def _run(serving: Callable[[Lifecycle], Coroutine[Any, Any, None]], life: Lifecycle) -> None:
    loop = asyncio.get_running_loop()
    for told in (signal.SIGTERM, signal.SIGINT):
        # A service manager may tell the whole group, and the parent each of its own: twice is no more than once here.
        loop.add_signal_handler(told, life.stop.set)
    loop.add_reader(sys.stdin.fileno(), _parent_is_gone, life)
    try:
        await serving(life)
    finally:
        loop.remove_reader(sys.stdin.fileno())


def _parent_is_gone(life: Lifecycle) -> None:
    if not os.read(sys.stdin.fileno(), 1):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        life.stop.set()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
