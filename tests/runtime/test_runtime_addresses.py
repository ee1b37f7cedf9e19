"""Remembered addresses: first to be tried, never the only way, and gone when they are old or the host has moved."""

import asyncio
import socket
from typing import Any

import pytest

from protocol.errors import RemoteError
from protocol.reasons import Reason
from runtime import sockets
from runtime.addresses import NAMES_MAX, REMEMBER_S, AddressMemory
from runtime.sockets import connect_socket


class Now:
    """Seconds that the test sets."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def test_an_address_is_remembered_for_an_hour() -> None:
    now = Now()
    memory = AddressMemory(now)
    memory.store("relay.example", 443, [("192.0.2.1", 443)])
    assert memory.find("relay.example", 443) == (("192.0.2.1", 443),)
    assert memory.find("relay.example", 8443) == ()
    now.seconds += REMEMBER_S
    assert memory.find("relay.example", 443)
    now.seconds += 1
    assert memory.find("relay.example", 443) == ()


def test_what_is_forgotten_is_gone() -> None:
    memory = AddressMemory(Now())
    memory.store("a", 1, [("192.0.2.1", 1)])
    memory.store("a", 2, [("192.0.2.1", 2)])
    memory.store("b", 1, [("192.0.2.2", 1)])
    memory.store("c", 1, [])
    memory.forget("a")
    assert (memory.find("a", 1), memory.find("a", 2), memory.find("c", 1)) == ((), (), ())
    assert memory.find("b", 1)
    memory.clear()
    assert memory.find("b", 1) == ()


def test_the_memory_is_bounded_and_the_oldest_goes() -> None:
    memory = AddressMemory(Now())
    for number in range(NAMES_MAX + 1):
        memory.store(f"name-{number}", 1, [("192.0.2.1", 1)])
    assert memory.find("name-0", 1) == ()
    assert memory.find("name-1", 1)
    assert memory.find(f"name-{NAMES_MAX}", 1)


class Resolver:
    """In the place of the host's."""

    def __init__(self, *addresses: Any) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> list[Any]:
        self.asked += 1
        return self.addresses


async def test_the_second_connection_asks_no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        resolver = Resolver(address)
        monkeypatch.setattr(sockets, "_resolve", resolver)
        for _ in range(2):
            (await connect_socket("relay.example", address[1], deadline_s=30, known=memory)).close()
        assert resolver.asked == 1
        memory.clear()
        (await connect_socket("relay.example", address[1], deadline_s=30, known=memory)).close()
        assert resolver.asked == 2


async def test_a_server_that_moved_is_found_where_its_name_leads_now(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        memory.store("relay.example", address[1], [("127.0.0.9", address[1])])
        monkeypatch.setattr(sockets, "_resolve", Resolver(address))
        with await connect_socket("relay.example", address[1], deadline_s=30, known=memory) as sock:
            assert sock.getpeername() == address
        assert memory.find("relay.example", address[1]) == (address,)


async def test_an_address_that_swallows_everything_costs_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    with socket.socket() as full:
        # Nobody accepts, and there is no room in the backlog: SYNs get no answer.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.2", port)
        held = [socket.create_connection(("127.0.0.1", port), timeout=5)]
        async with server:
            memory.store("relay.example", port, [("127.0.0.1", port)])
            monkeypatch.setattr(sockets, "_resolve", Resolver(("127.0.0.2", port)))
            with await connect_socket("relay.example", port, deadline_s=30, known=memory) as sock:
                assert sock.getpeername() == ("127.0.0.2", port)
        for each in held:
            each.close()


async def test_nobody_anywhere_is_the_callers_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        memory.store("relay.example", port, [("127.0.0.1", port)])
        monkeypatch.setattr(sockets, "_resolve", Resolver(("127.0.0.1", port)))
        with pytest.raises(RemoteError):
            await connect_socket("relay.example", port, deadline_s=30, known=memory)


async def test_t15_what_must_be_judged_is_resolved_anew_and_judged_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    memory.store("sink.example", 443, [("127.0.0.1", 443)])
    resolver = Resolver(*[(f"127.0.0.{number}", 443) for number in range(1, 20)])
    monkeypatch.setattr(sockets, "_resolve", resolver)
    judged: list[str] = []

    def admit(address: Any) -> None:
        judged.append(str(address))
        if len(judged) == 19:
            raise RemoteError(Reason.DESTINATION_FORBIDDEN, "not that one")

    with pytest.raises(RemoteError, match="not that one"):
        await connect_socket("sink.example", 443, deadline_s=30, known=memory, admit=admit)
    assert len(judged) == 19, "also those that would not have been tried"
