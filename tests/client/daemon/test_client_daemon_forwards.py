"""Port forwards: from a port on loopback to the resource, for as long as somebody wants it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from client_world import World, entry, online
from proxy_user import Streams, close, exchange, service

from client.daemon import forwards
from client.daemon.forwards import Forward, Forwards, check_listen, parse_forward
from protocol.acl.model import PortRange, Ports
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason
from runtime.status_socket import Peer, call

DB = "db.corp.internal"


@asynccontextmanager
async def forward(world: World, host: str, port: int, **args: Any) -> AsyncIterator[tuple[str, int]]:
    """`ostiary forward` as it runs; gives where it listens."""
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    asked = {"host": host, "port": port, **args}
    command = asyncio.ensure_future(call(world.settings.socket, "forward", asked, on_event=said.put_nowait))
    first = asyncio.ensure_future(said.get())
    try:
        await asyncio.wait({command, first}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        if command.done():
            command.result()
        event = first.result()
        assert event["kind"] == "forward"
        address, _, number = event["listen"].rpartition(":")
        yield address, int(number)
    finally:
        for task in (command, first):
            task.cancel()
        await asyncio.gather(command, first, return_exceptions=True)


async def open_to(where: tuple[str, int]) -> Streams:
    return await asyncio.open_connection(*where)


async def ended(reader: asyncio.StreamReader) -> None:
    """Reset or closed, and not one byte came."""
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 20) == b""


async def test_a_program_reaches_the_resource_by_a_port_of_its_own_host(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(DB)) as world:
        world.edge.targets[(DB, 5432)] = echo
        async with forward(world, DB, 5432) as where:
            assert where[0] == "127.0.0.1"
            streams = await open_to(where)
            assert await exchange(streams, b"x" * 100_000) == b"x" * 100_000
            again = await open_to(where)
            assert await exchange(again, b"hello") == b"hello"
            assert (await world.ask("status"))["flows"] == 2
            await close(streams, again)


async def test_what_is_said_before_the_resource_has_accepted_arrives_even_with_its_end(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(DB)) as world:
        world.edge.targets[(DB, 5432)] = echo
        world.edge.delay_proof_s = 0.3
        async with forward(world, DB, 5432) as where:
            reader, writer = await open_to(where)
            writer.write(b"x" * 50_000)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(50_000), 20)
            writer.close()


async def test_the_forward_ends_with_the_command_and_takes_its_connections_along(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(DB)) as world:
        world.edge.targets[(DB, 5432)] = echo
        async with forward(world, DB, 5432) as where:
            reader, writer = await open_to(where)
            assert await exchange((reader, writer), b"hello") == b"hello"
        await ended(reader)
        writer.close()
        for _ in range(400):
            try:
                _, writer = await open_to(where)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.05)
        pytest.fail("the port is still open")


async def test_what_is_not_granted_is_refused_before_a_port_is_opened(tmp_path: Path) -> None:
    only_22 = Ports(tcp=(PortRange(22, 22),))
    async with online(tmp_path, entry(DB, ports=only_22)) as world:
        for host, port, reason in (("public.example", 80, "not_a_resource"), (DB, 5432, "port_not_allowed")):
            with pytest.raises(RefusedError) as caught:
                async with forward(world, host, port):
                    pass
            assert caught.value.reason.code == reason


@pytest.mark.parametrize("args", [{"port": 0}, {"port": "5432"}, {"port": 5432, "listen": 70_000}, {"port": True}])
async def test_wrong_ports_are_told(tmp_path: Path, args: dict[str, Any]) -> None:
    async with online(tmp_path, entry(DB)) as world:
        with pytest.raises(RefusedError) as caught:
            await world.ask("forward", host=DB, **args)
        assert caught.value.reason is Reason.INVALID_INPUT


async def test_t50_a_users_forward_gets_no_port_of_the_hosts_own_services() -> None:
    unused: Any = None
    asked = {"host": DB, "port": 5432, "listen": 80}
    with pytest.raises(LocalError) as caught:
        await Forwards(unused, unused, unused, unused).verb(asked, Peer(1000, 1000, 1), unused)
    assert caught.value.reason is Reason.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("start", "listen", "uid", "allowed"),
    [
        ("1024\n", 1023, 1000, False),
        ("1024\n", 1024, 1000, True),
        ("1024\n", 0, 1000, True),
        ("1024\n", 80, 0, True),
        ("80\n", 80, 1000, True),
        ("4096\n", 4095, 1000, False),
        ("", 1023, 1000, False),
        (None, 1023, 1000, False),
        (None, 1024, 1000, True),
    ],
)
def test_t50_the_kernel_says_which_ports_are_for_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str | None, listen: int, uid: int, allowed: bool
) -> None:
    monkeypatch.setattr(forwards, "_PORT_START", tmp_path / "start")
    if start is not None:
        (tmp_path / "start").write_text(start)
    if allowed:
        check_listen(listen, Peer(uid, uid, 1))
        return
    with pytest.raises(LocalError) as caught:
        check_listen(listen, Peer(uid, uid, 1))
    assert caught.value.reason is Reason.PERMISSION_DENIED


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(DB)) as world:
        with pytest.raises(RefusedError) as caught:
            async with forward(world, DB, 5432, listen=echo[1]):
                pass
        assert caught.value.reason is Reason.PORT_IN_USE


async def test_c20_a_connection_that_the_resource_refuses_is_reset(tmp_path: Path) -> None:
    async with online(tmp_path, entry(DB)) as world, forward(world, DB, 5432) as where:
        reader, writer = await open_to(where)
        await ended(reader)
        writer.close()


async def test_c23_a_connection_after_the_grant_is_gone_is_reset(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(DB)) as world:
        world.edge.targets[(DB, 5432)] = echo
        async with forward(world, DB, 5432) as where:
            await world.push()
            reader, writer = await open_to(where)
            await ended(reader)
            writer.close()


def test_the_form_in_the_settings() -> None:
    assert parse_forward("15432=db.corp.internal:5432") == Forward(15432, "db.corp.internal", 5432)
    assert str(parse_forward("0=[fd00::1]:22").host) == "fd00::1"


@pytest.mark.parametrize("text", ["", "db:5432", "15432=db", "x=db:1", "1=db:0", "70000=db:1", "1=:5", "1=a b:5"])
def test_another_form_is_told(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        parse_forward(text)
    assert caught.value.reason is Reason.CONFIG_INVALID
