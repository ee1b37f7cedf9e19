"""NAT64: the examples of RFC 6052 section 2.4, and a host without IPv4."""

import asyncio
import errno
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest

from runtime import sockets
from runtime.nat64 import find_prefixes, synthesise

EXAMPLES = {
    "2001:db8::/32": "2001:db8:c000:221::",
    "2001:db8:100::/40": "2001:db8:1c0:2:21::",
    "2001:db8:122::/48": "2001:db8:122:c000:2:2100::",
    "2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
    "2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100::",
    "2001:db8:122:344::/96": "2001:db8:122:344::192.0.2.33",
    "64:ff9b::/96": "64:ff9b::192.0.2.33",
}


@pytest.mark.parametrize(("prefix", "address"), EXAMPLES.items())
def test_the_standards_examples(prefix: str, address: str) -> None:
    network = IPv6Network(prefix)
    assert synthesise(IPv4Address("192.0.2.33"), network) == IPv6Address(address)
    assert find_prefixes([synthesise(IPv4Address("192.0.0.170"), network)]) == (network,)


def test_what_holds_no_well_known_address_is_no_nat64() -> None:
    assert find_prefixes([IPv6Address("2001:db8::1"), IPv6Address("64:ff9b::192.0.2.1")]) == ()


async def test_an_ipv4_literal_without_ipv4_is_reached_over_the_nat64(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled = []

    async def dial(address: tuple[object, ...], **_: object) -> socket.socket:
        dialled.append(address)
        if len(address) == 2:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return socket.socket()

    async def resolve(host: str, port: int | None, **_: object) -> list[object]:
        if host == "ipv4only.arpa":
            return [(10, 1, 6, "", ("64:ff9b::c000:aa", 0, 0, 0))]
        return [(2, 1, 6, "", (host, port))]

    monkeypatch.setattr(sockets, "connect_one", dial)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    (await sockets.connect_socket("192.0.2.33", 443, deadline_s=20)).close()
    assert dialled == [("192.0.2.33", 443), ("64:ff9b::c000:221", 443, 0, 0)]
