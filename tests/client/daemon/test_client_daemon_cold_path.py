"""A cold path waits for as little as can be: what can travel together does (C11 to C16, design section 5)."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from client_world import World, entry, online
from proxy_user import close, exchange, service, socks

from client.daemon import relay_lines
from client.daemon.prewarm import Prewarmer
from protocol.control import AuthoriseRequest, Message, PushSnapshot
from protocol.reasons import Reason
from runtime import sockets

WIKI = ("wiki.corp.internal", 80)


@pytest.fixture
def nothing_ahead_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost tunnel is made again by the next connection only."""

    async def look(_prewarmer: Prewarmer) -> None:
        pass

    monkeypatch.setattr(Prewarmer, "look", look)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.005)


async def connect(world: World) -> None:
    """One connection, there and back."""
    code, streams = await socks(world, *WIKI)
    assert code == 0
    assert await exchange(streams, b"hello") == b"hello"
    await close(streams)


async def lose_the_tunnel(world: World) -> None:
    for tunnel in world.edge.tunnels:
        tunnel.close(Reason.TUNNEL_LOST)
    world.edge.tunnels.clear()
    async with asyncio.timeout(60):
        while (await world.ask("status"))["tunnels"]:
            await asyncio.sleep(0.01)
    await until(lambda: not world.edge.open_lines)


def count_questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns a list of the names that the resolver is asked for from here on."""
    asked: list[str] = []
    resolve = sockets._resolve

    async def counting(host: str, port: int) -> list[object]:
        asked.append(host)
        return await resolve(host, port)

    monkeypatch.setattr(sockets, "_resolve", counting)
    return asked


class Held:
    """The controller keeps its answers to ``authorise`` back until it is told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kept: list[Message] = []
        world.controller.on_message = self._on_message

    def _on_message(self, message: Message) -> None:
        if isinstance(message, AuthoriseRequest):
            self.kept.append(message)
        else:
            self.world.answer(message)

    def release(self) -> None:
        for message in self.kept:
            self.world.answer(message)
        self.kept.clear()


async def test_the_inner_hello_is_in_the_head_of_the_request(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        await connect(world)
        assert [size > 1_000 for size in world.edge.firsts] == [True]


async def test_the_relay_is_dialled_while_the_controller_is_asked(tmp_path: Path, nothing_ahead_of_use: None) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        await connect(world)
        await lose_the_tunnel(world)
        held = Held(world)
        connecting = asyncio.ensure_future(connect(world))
        await until(lambda: held.kept and world.edge.open_lines == 1)
        assert len(world.edge.tickets) == 1, "nothing is asked of the relay before there is a ticket"
        held.release()
        async with asyncio.timeout(60):
            await connecting
        assert (world.edge.lines, len(world.edge.tickets)) == (2, 2)


async def test_a_refused_authorisation_leaves_no_line_and_no_ticket(tmp_path: Path, nothing_ahead_of_use: None) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        await connect(world)
        await lose_the_tunnel(world)
        held = Held(world)
        world.refuse_authorise = Reason.MFA_REQUIRED
        connecting = asyncio.ensure_future(socks(world, *WIKI))
        await until(lambda: held.kept and world.edge.open_lines == 1)
        held.release()
        code, streams = await connecting
        assert code != 0
        await close(streams)
        await until(lambda: not world.edge.open_lines)
        assert len(world.edge.tickets) == 1


async def test_a_line_that_waited_too_long_is_not_used(
    tmp_path: Path, nothing_ahead_of_use: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_lines, "AHEAD_MAX_S", 0.0)
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        await connect(world)
        await lose_the_tunnel(world)
        await connect(world)
        await until(lambda: world.edge.open_lines == 1)
        assert len(world.edge.tickets) == 2


async def test_the_paths_of_the_answer_count_and_not_the_guess(tmp_path: Path, nothing_ahead_of_use: None) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0]), edges=2) as world:
        here, there = world.edges
        here.targets[WIKI] = there.targets[WIKI] = echo
        world.paths = [here.path()]
        await connect(world)
        await lose_the_tunnel(world)
        world.paths = [there.path()]
        await connect(world)
        assert len(there.tickets) == 1
        await until(lambda: not here.open_lines)
        assert len(here.tickets) == 1, "the guess was dialled, and asked for nothing"


async def test_no_resolver_is_asked_for_a_relay_that_is_known(
    tmp_path: Path, nothing_ahead_of_use: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        await connect(world)
        await lose_the_tunnel(world)
        asked = count_questions(monkeypatch)
        await connect(world)
        assert asked == []


async def test_f1_legs_of_a_connector_that_is_gone_are_used_up_until_one_lives(
    tmp_path: Path, nothing_ahead_of_use: None
) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        world.edge.dead_legs = 2
        await connect(world)
        assert len(world.edge.tickets) == 3


async def test_legs_that_all_are_dead_end_in_a_refusal(tmp_path: Path, nothing_ahead_of_use: None) -> None:
    async with online(tmp_path, entry(WIKI[0])) as world:
        world.edge.dead_legs = 1_000
        code, streams = await socks(world, *WIKI)
        assert code != 0
        await close(streams)
        assert len(world.edge.tickets) == 3


async def test_after_down_and_up_the_tunnel_is_there_ahead_of_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        await connect(world)
        await world.ask("down")
        await until(lambda: not world.edge.open_lines and not world.controller.connected)
        asked = count_questions(monkeypatch)
        coming = asyncio.ensure_future(world.ask("up"))
        async with asyncio.timeout(60):
            while not world.controller.connected:
                await asyncio.sleep(0.01)
        world.revision += 1
        await world.controller.push(PushSnapshot(world.snapshot()))
        await coming
        async with asyncio.timeout(60):
            while not (await world.ask("status"))["tunnels"]:
                await asyncio.sleep(0.01)
        tunnels = len(world.edge.tickets)
        await connect(world)
        assert len(world.edge.tickets) == tunnels
        assert asked == [], "neither for the controller nor for the relay"
