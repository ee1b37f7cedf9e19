"""What the proxy mode does with a destination: tunnel, refuse, or leave it to the host's own network."""

from ipaddress import ip_address

import pytest
from client_packets import World
from client_policy import WALL, entry, index, tcp_ports

from client.core.classify import Denial, Target
from client.core.network_names import SUFFIX, NetworkNames
from client.core.proxied import Elsewhere, judge, judge_addresses
from protocol.acl.model import Transport
from protocol.errors import OstiaryError
from protocol.reasons import Reason


@pytest.fixture
def world() -> World:
    return World(index(entry("wiki.corp.internal", ports=tcp_ports(80)), entry("10.20.0.0/24", number=2)))


def test_resources_by_name_and_by_address(world: World) -> None:
    by_name = judge(world.classifier, "WIKI.corp.internal.", Transport.TCP, 80, WALL)
    assert isinstance(by_name, Target)
    assert (by_name.host, by_name.port, by_name.transport) == ("wiki.corp.internal", 80, Transport.TCP)
    by_address = judge(world.classifier, "10.20.0.9", Transport.UDP, 53, WALL)
    assert isinstance(by_address, Target)
    assert by_address.host == ip_address("10.20.0.9")


def test_what_a_resource_does_not_include_is_refused(world: World) -> None:
    found = judge(world.classifier, "wiki.corp.internal", Transport.TCP, 81, WALL)
    assert isinstance(found, Denial)
    assert found.reason is Reason.PORT_NOT_ALLOWED
    found = judge(world.classifier, "wiki.corp.internal", Transport.UDP, 80, WALL)
    assert isinstance(found, Denial)
    assert found.reason is Reason.PROTOCOL_NOT_ALLOWED


def test_everything_else_is_the_hosts_own(world: World) -> None:
    assert judge(world.classifier, "public.example", Transport.TCP, 443, WALL) == Elsewhere("public.example")
    assert judge(world.classifier, "192.0.2.1", Transport.TCP, 443, WALL) == Elsewhere(ip_address("192.0.2.1"))


@pytest.mark.parametrize("text", ["", "not a name", "a" * 300])
def test_what_is_neither_name_nor_address_is_refused(world: World, text: str) -> None:
    with pytest.raises(OstiaryError):
        judge(world.classifier, text, Transport.TCP, 80, WALL)


def test_the_name_of_a_network_counts_there_and_nowhere_else(world: World) -> None:
    (network,) = {each.resource.network for each in world.classifier.index.acl.entries}
    world.classifier.use(world.classifier.index, NetworkNames({network: "office"}))
    found = judge(world.classifier, f"10-20-0-9.office.{SUFFIX}", Transport.TCP, 22, WALL)
    assert isinstance(found, Target)
    assert found.host == ip_address("10.20.0.9")
    # Not granted there: it must not be looked for in this host's own network.
    refused = judge(world.classifier, f"10-30-0-9.office.{SUFFIX}", Transport.TCP, 22, WALL)
    assert isinstance(refused, Denial)
    assert refused.reason is Reason.NOT_A_RESOURCE
    with pytest.raises(OstiaryError) as caught:
        judge(world.classifier, f"10-20-0-9.elsewhere.{SUFFIX}", Transport.TCP, 22, WALL)
    assert caught.value.reason is Reason.NAME_NOT_FOUND


def test_t53_an_address_of_a_resource_decides_whatever_it_was_called(world: World) -> None:
    def found(*addresses: str, transport: Transport = Transport.TCP) -> object:
        return judge_addresses(world.classifier, addresses, transport, 22, WALL)

    target = found("192.0.2.1", "10.20.0.9")
    assert isinstance(target, Target)
    assert target.host == ip_address("10.20.0.9")
    assert found("192.0.2.1", "2001:db8::1", "fe80::1%eth0") is None
    refused = found("192.0.2.1", "10.20.0.9", transport=Transport.ICMP)
    assert isinstance(refused, Denial)
    assert refused.reason is Reason.PORT_NOT_ALLOWED
