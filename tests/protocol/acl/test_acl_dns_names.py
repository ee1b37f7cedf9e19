"""Whom a question is about: services belong to their host, reverse names to their address (T-54)."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.acl.dns_names import match_question, reverse_address, service_owner
from protocol.acl.match import AclIndex
from protocol.acl.model import ALL_PORTS, Acl, Entry, Ports, Resource
from protocol.acl.names import parse_pattern
from protocol.ids import NetworkId, ResourceId


def index(*addresses: str) -> AclIndex:
    ports = Ports(tcp=(ALL_PORTS,))
    return AclIndex(
        Acl(
            tuple(
                Entry(Resource(ResourceId(text), text, NetworkId("net_a"), parse_pattern(text), ports, 60))
                for text in addresses
            )
        )
    )


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("wiki.corp", "wiki.corp"),
        ("_8443._https.wiki.corp", "wiki.corp"),
        ("_dmarc.corp", "corp"),
        ("a._tcp.corp", "a._tcp.corp"),
        ("_only", "_only"),
        ("_a._b", "_b"),
    ],
)
def test_services_belong_to_their_host(name: str, owner: str) -> None:
    assert service_owner(name) == owner


@given(st.ip_addresses())
def test_every_address_comes_back_from_its_reverse_name(address: IPv4Address | IPv6Address) -> None:
    assert reverse_address(address.reverse_pointer) == address


@pytest.mark.parametrize(
    "name",
    ["20.10.in-addr.arpa", "256.0.0.10.in-addr.arpa", "01.0.0.10.in-addr.arpa", "x.in-addr.arpa", "0.ip6.arpa", "wiki"],
)
def test_what_is_no_whole_address_is_none(name: str) -> None:
    assert reverse_address(name) is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("_https.wiki.corp", ["wiki.corp", "*.corp"]),
        ("_ldap._tcp.corp", ["*.corp"]),
        ("10.0.20.10.in-addr.arpa", ["10.20.0.0/24"]),
        ("10.1.20.10.in-addr.arpa", []),
        ("0.20.10.in-addr.arpa", []),
        ("sub.wiki.other", []),
        ("_https.other", []),
    ],
)
def test_entries_of_a_question(name: str, found: list[str]) -> None:
    entries = match_question(index("wiki.corp", "*.corp", "10.20.0.0/24"), name)
    assert [entry.resource.id for entry in entries] == found
