"""A lost tunnel of a network in use is made again before anybody asks for it (F-1, F-4, F-17)."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from client_world import entry, online
from proxy_user import close, exchange, service, socks

from client.daemon.prewarm import Prewarmer
from protocol.reasons import Reason


async def test_f4_a_lost_tunnel_is_made_again_ahead_of_use(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo
        _, streams = await socks(world, "wiki.corp.internal", 80)
        assert await exchange(streams, b"hello") == b"hello"
        await close(streams)
        (first,) = world.edge.tunnels
        first.close(Reason.TUNNEL_LOST)
        async with asyncio.timeout(60):
            while len(world.edge.tunnels) < 2 or not (await world.ask("status"))["tunnels"]:
                await asyncio.sleep(0.05)
        _, again = await socks(world, "wiki.corp.internal", 80)
        assert await exchange(again, b"again") == b"again"
        assert len(world.edge.tunnels) == 2
        await close(again)


async def test_a_network_that_nobody_used_has_no_tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Prewarmer] = []
    monkeypatch.setattr(Prewarmer, "run", _kept_for_the_test(made))
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        (prewarmer,) = made
        await prewarmer.look()
        assert (await world.ask("status"))["tunnels"] == []
        assert world.edge.tickets == [], "nobody knocked at the relay"


def _kept_for_the_test(made: list[Prewarmer]) -> Callable[[Prewarmer], Awaitable[None]]:
    """In the place of ``run``: the test itself says when to look."""

    async def run(prewarmer: Prewarmer) -> None:
        made.append(prewarmer)
        await asyncio.Event().wait()

    return run
