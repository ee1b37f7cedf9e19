"""A lost tunnel of a network in use is made again before anybody asks for it (F-1, F-4, F-17)."""

import asyncio
from pathlib import Path

from client_world import entry, online
from proxy_user import close, exchange, service, socks

from protocol.reasons import Reason


async def test_f4_a_lost_tunnel_is_made_again_ahead_of_use(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo
        _, streams = await socks(world, "wiki.corp.internal", 80)
        assert await exchange(streams, b"hello") == b"hello"
        await close(streams)
        (first,) = world.edge.tunnels
        first.close(Reason.TUNNEL_LOST)
        async with asyncio.timeout(20):
            while len(world.edge.tunnels) < 2 or not (await world.ask("status"))["tunnels"]:
                await asyncio.sleep(0.05)
        _, again = await socks(world, "wiki.corp.internal", 80)
        assert await exchange(again, b"again") == b"again"
        assert len(world.edge.tunnels) == 2
        await close(again)


async def test_a_network_that_nobody_used_has_no_tunnel(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        await asyncio.sleep(1.2)
        assert world.edge.tunnels == []
