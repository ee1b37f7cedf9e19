"""The client's metrics over the socket that its daemon serves them on; ready means online."""

import asyncio
from pathlib import Path

from client_world import client_world, entry, online, running_daemon

from runtime.metrics import SOCKET_NAME


async def ask(path: Path, what: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(f"GET {what} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(60):
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split(" ")[1]), body


async def test_an_online_client_is_ready_and_shows_its_revision(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        await world.until("online")
        path = world.settings.runtime_dir / SOCKET_NAME
        assert (await ask(path, "/healthz/ready"))[0] == 200
        _, body = await ask(path, "/metrics")
        assert "ostiary_client_ready 1.0" in body
        assert f"ostiary_client_policy_revision {world.revision}.0" in body
        assert "wiki" not in body


async def test_a_client_that_is_not_signed_in_lives_and_is_not_ready(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world, running_daemon(world):
        path = world.settings.runtime_dir / SOCKET_NAME
        status, body = await ask(path, "/healthz/ready")
        assert (status, "not_enrolled" in body) == (503, True)
        assert (await ask(path, "/healthz/live"))[0] == 200
