"""A reader of the event stream: one request whose answer is read part by part, for as long as the test wants."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from controller_api import Controller

DEADLINE_S = 10


@dataclass
class Reading:
    """What came so far. ``taking`` is clear while the reader takes nothing."""

    status: int = 0
    body: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    taking: asyncio.Event = field(default_factory=asyncio.Event)
    more: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def frames(self) -> list[tuple[str, dict[str, Any], str | None]]:
        """The events: name, data, id."""
        found = []
        for block in self.body.split("\n\n"):
            lines = dict(line.partition(": ")[::2] for line in block.split("\n") if line and not line.startswith(":"))
            if "event" in lines:
                found.append((lines["event"], json.loads(lines["data"]), lines.get("id")))
        return found

    def named(self, name: str) -> list[dict[str, Any]]:
        """The data of the events of one name."""
        return [data for event, data, _ in self.frames if event == name]

    async def until(self, name: str, count: int = 1) -> dict[str, Any]:
        """Waits for the ``count``-th event of a name; returns its data."""
        await self._wait(lambda: len(self.named(name)) >= count)
        return self.named(name)[count - 1]

    async def until_text(self, text: str) -> None:
        """Waits until ``text`` came."""
        await self._wait(lambda: text in self.body)

    async def _wait(self, condition: Any) -> None:
        async with asyncio.timeout(DEADLINE_S), self.more:
            await self.more.wait_for(condition)


@contextlib.asynccontextmanager
async def reading(controller: Controller, token: str, **headers: str) -> AsyncIterator[Reading]:
    """Opens a stream; leaving closes the connection."""
    found, gone, asked = Reading(), asyncio.Event(), False
    found.taking.set()
    given = {"host": "controller.example", "authorization": f"Bearer {token}", **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": "/api/v1/events/stream",
        "raw_path": b"/api/v1/events/stream",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("198.51.100.1", 50_000),
        "server": ("controller.example", 443),
    }

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await found.taking.wait()
        async with found.more:
            found.status = message.get("status", found.status)
            found.body += message.get("body", b"").decode()
            found.more.notify_all()

    async def serve() -> None:
        await controller.asgi(scope, receive, send)
        found.ended.set()
        async with found.more:
            found.more.notify_all()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(serve())
        try:
            yield found
        finally:
            found.taking.set()
            gone.set()
            await asyncio.wait_for(asyncio.shield(task), DEADLINE_S)
