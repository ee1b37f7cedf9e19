"""A client daemon for tests of the commands: the real status socket in a thread, with answers that the test gives."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol.errors import OstiaryError, RefusedError
from protocol.reasons import Reason
from runtime.status_socket import Emit, Peer, StatusServer


@dataclass
class FakeDaemon:
    """``results`` and ``events`` by verb; ``asked`` is what came. A verb in ``hang`` is never answered."""

    path: Path
    results: dict[str, Mapping[str, Any] | OstiaryError] = field(default_factory=dict)
    events: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    hang: set[str] = field(default_factory=set)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    async def answer(self, verb: str, args: Mapping[str, Any], _peer: Peer, emit: Emit) -> Mapping[str, Any]:
        self.asked.append((verb, dict(args)))
        for event in self.events.get(verb, []):
            await emit(event)
        if verb in self.hang:
            await asyncio.Event().wait()
        result = self.results.get(verb, RefusedError(Reason.INVALID_INPUT, f"unknown verb {verb}"))
        if isinstance(result, OstiaryError):
            raise result
        return result


@contextmanager
def fake_daemon(path: Path) -> Iterator[FakeDaemon]:
    """Serves on the Unix socket ``path`` until the end of the block."""
    daemon = FakeDaemon(path)
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with StatusServer(path, daemon.answer):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="fake-daemon", daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield daemon
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
