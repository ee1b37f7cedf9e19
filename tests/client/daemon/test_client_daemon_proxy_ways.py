"""What a destination of the proxy mode leads to once its name is looked up, and how many look-ups there are at once."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from client_packets import World as Packets
from client_policy import entry, index, tcp_ports
from client_world import client_world, online, running_daemon
from client_world import entry as granted
from proxy_user import close, exchange, service, socks

from client.core.classify import Classifier, Denial, Target
from client.core.dns_guard import NameGuard, withheld_patterns
from client.daemon import proxy_ways
from client.daemon.identity import NAMES_FILE
from client.daemon.proxy_ways import Direct, Ways
from protocol.acl.model import Transport
from protocol.errors import RemoteError
from protocol.reasons import Reason
from runtime.clock import SystemClock
from runtime.files import StateDir

REAL = socket.getaddrinfo


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Addresses by name; all else is asked as ever. What was asked for is appended to ``asked``."""
    known: dict[str, list[str]] = {"asked": []}

    def resolve(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        known["asked"].append(host)
        if host not in known:
            return REAL(host, port, *args, **kwargs)
        return [
            (socket.AF_INET6, 1, 6, "", (each, port, 0, 0)) if ":" in each else (socket.AF_INET, 1, 6, "", (each, port))
            for each in known[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A resolver that answers nobody until the event is set."""
    free = threading.Event()

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        free.wait(20)
        return [(socket.AF_INET, 1, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield free
    free.set()


@pytest.fixture
def classifier() -> Classifier:
    return Packets(index(entry("wiki.corp.internal"), entry("10.20.0.0/24", number=2, ports=tcp_ports(80)))).classifier


@pytest.fixture
async def ways(classifier: Classifier) -> AsyncIterator[Ways]:
    made = Ways(classifier, SystemClock())
    yield made
    made.close()


async def test_t53_a_public_name_with_a_resources_address_goes_into_the_tunnel(
    tmp_path: Path, resolver: dict[str, list[str]]
) -> None:
    resolver["public.example"] = ["10.20.0.9"]
    async with service() as echo, online(tmp_path, granted("10.20.0.0/24")) as world:
        world.edge.targets[("10.20.0.9", 80)] = echo
        code, streams = await socks(world, "public.example", 80)
        assert code == 0
        assert await exchange(streams, b"hello") == b"hello"
        assert len(world.edge.opened) == 1
        await close(streams)


@pytest.mark.parametrize(
    "addresses", [["10.20.0.9"], ["198.51.100.1", "10.20.0.9"], ["2001:db8::1", "::ffff:10.20.0.9"]]
)
async def test_t53_whichever_of_a_names_addresses_is_a_resources_decides(
    ways: Ways, resolver: dict[str, list[str]], addresses: list[str]
) -> None:
    resolver["public.example"] = addresses
    found = await ways.find("public.example", Transport.TCP, 80)
    assert isinstance(found, Target)
    assert str(found.host) == "10.20.0.9"
    refused = await ways.find("public.example", Transport.UDP, 80)
    assert isinstance(refused, Denial)
    assert refused.reason is Reason.PROTOCOL_NOT_ALLOWED


async def test_addresses_of_no_resource_are_dialled_as_the_resolver_orders_them(
    ways: Ways, resolver: dict[str, list[str]]
) -> None:
    resolver["public.example"] = ["2001:db8::1", "fe80::1%lo", "198.51.100.1"]
    found = await ways.find("public.example", Transport.TCP, 443)
    assert found == Direct((("2001:db8::1", 443, 0, 0), ("fe80::1%lo", 443, 0, 0), ("198.51.100.1", 443)))


async def test_an_address_needs_no_resolver(ways: Ways, resolver: dict[str, list[str]]) -> None:
    assert await ways.find("198.51.100.1", Transport.UDP, 53) == Direct((("198.51.100.1", 53),))
    assert await ways.find("2001:db8::1", Transport.TCP, 53) == Direct((("2001:db8::1", 53, 0, 0),))
    assert resolver["asked"] == []


async def test_this_host_stays_this_host(resolver: dict[str, list[str]]) -> None:
    everything = Packets(index(entry("0.0.0.0/0"))).classifier
    resolver["here.example"] = ["127.0.0.1"]
    ways = Ways(everything, SystemClock())
    assert await ways.find("here.example", Transport.TCP, 80) == Direct((("127.0.0.1", 80),))
    ways.close()


async def test_a_name_that_nobody_knows_is_not_found(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(RemoteError) as caught:
        await ways.find("public.example", Transport.TCP, 80)
    assert caught.value.reason is Reason.NAME_NOT_FOUND


async def test_a_resolver_that_hangs_holds_up_nobody_else(
    ways: Ways, stuck: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_ways, "WAITING_MAX", 3)
    asked = [asyncio.ensure_future(ways.find(f"n{number}.example", Transport.TCP, 80)) for number in range(20)]
    await asyncio.sleep(0)
    refused = [each for each in (await asyncio.wait(asked, timeout=0.3))[0] if each.exception() is not None]
    assert len(refused) == 20 - proxy_ways.AT_ONCE - 3
    assert {getattr(each.exception(), "reason", None) for each in refused} == {Reason.LIMIT_EXCEEDED}
    # Threads that others wait for are not ours.
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 5) == 7
    stuck.set()
    assert sum([isinstance(await each, Direct) for each in asked if each not in refused]) == proxy_ways.AT_ONCE + 3


async def test_a_look_up_that_nobody_waits_for_keeps_its_place_until_it_ends(
    ways: Ways, stuck: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_ways, "LOOK_UP_DEADLINE_S", 0.05)
    for _ in range(2):
        found = await asyncio.gather(
            *(ways.find("public.example", Transport.TCP, 80) for _ in range(proxy_ways.AT_ONCE)),
            return_exceptions=True,
        )
        assert {getattr(each, "reason", None) for each in found} == {Reason.TIMEOUT}
    assert sum("proxy-names" in each.name for each in threading.enumerate()) == proxy_ways.AT_ONCE
    stuck.set()
    monkeypatch.setattr(proxy_ways, "LOOK_UP_DEADLINE_S", 20)
    assert isinstance(await ways.find("public.example", Transport.TCP, 80), Direct)


async def test_t55_a_guarded_name_is_refused_and_nobody_is_asked(
    classifier: Classifier, resolver: dict[str, list[str]]
) -> None:
    guard = NameGuard(strict=True)
    guard.keep(withheld_patterns(["*.lab.internal", "wiki.corp.internal"]))
    ways = Ways(classifier, SystemClock(), guard)
    for blocked, reason in ((None, Reason.NAME_WITHHELD), (Reason.SIGN_IN_REQUIRED, Reason.SIGN_IN_REQUIRED)):
        classifier.blocked = blocked
        found = await ways.find("x.lab.internal", Transport.TCP, 80)
        assert isinstance(found, Denial)
        assert found.reason is reason
    assert isinstance(await ways.find("wiki.corp.internal", Transport.TCP, 80), Target)
    assert resolver["asked"] == []
    ways.close()


async def test_t55_strict_dns_holds_in_the_proxy_mode_while_nobody_is_signed_in(
    tmp_path: Path, resolver: dict[str, list[str]]
) -> None:
    resolver["x.lab.internal"] = ["127.0.0.1"]
    state = StateDir(tmp_path / "state")
    state.ensure()
    state.write_json(NAMES_FILE, {"names": ["*.lab.internal"]})
    async with service() as echo, client_world(tmp_path) as world:
        world.strict_dns = True
        async with running_daemon(world):
            code, streams = await socks(world, "x.lab.internal", echo[1])
            assert code != 0
            await close(streams)
    assert "x.lab.internal" not in resolver["asked"]


async def test_t55_strict_dns_in_the_proxy_mode_keeps_the_names_of_the_newest_list(tmp_path: Path) -> None:
    async with online(tmp_path, granted("wiki.corp.internal"), strict_dns=True):
        assert StateDir(tmp_path / "state").read_json(NAMES_FILE) == {"names": ["wiki.corp.internal"]}
