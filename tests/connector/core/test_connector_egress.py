"""Egress: the same forbidden host in every spelling, and nothing but an explicit override lets it pass."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.core.egress import EgressRules
from protocol.acl.model import IPAddress
from protocol.acl.names import parse_host
from protocol.errors import LocalError, RemoteError
from protocol.reasons import Reason

METADATA = ipaddress.ip_address("169.254.169.254")
EVERYWHERE = EgressRules()


def refused(rules: EgressRules, text: str, port: int = 80) -> bool:
    try:
        rules.check(ipaddress.ip_address(text), port)
    except RemoteError as exc:
        return exc.reason is Reason.EGRESS_FORBIDDEN
    return False


# The metadata service, written twelve ways. The textual ones never become an address (None: the host is no valid host);
# the others are judged in binary.
SPELLINGS = [
    ("169.254.169.254", "dotted"),
    ("2852039166", "decimal"),
    ("0251.0376.0251.0376", "octal"),
    ("169.254.43518", "three parts"),
    ("0xa9.0xfe.0xa9.0xfe", "hexadecimal"),
    ("::ffff:169.254.169.254", "v4-mapped"),
    ("::169.254.169.254", "v4-compatible"),
    ("64:ff9b::169.254.169.254", "NAT64"),
    ("2002:a9fe:a9fe::1", "6to4"),
    ("fe80::a9fe:a9fe%eth0", "scoped"),
    ("169.254.169.254.", "trailing dot"),
    ("１６９.254.169.254", "full-width digits"),
]


@pytest.mark.parametrize(("text", "name"), SPELLINGS, ids=[name for _, name in SPELLINGS])
def test_t31_every_spelling_of_a_forbidden_host_is_refused(text: str, name: str) -> None:
    def attempt() -> None:
        host = parse_host(text)
        assert not isinstance(host, str), "a spelling of an address must never be taken for a name"
        EVERYWHERE.check(host, 80)

    with pytest.raises((LocalError, RemoteError)) as caught:
        attempt()
    assert caught.value.reason in {Reason.INVALID_INPUT, Reason.EGRESS_FORBIDDEN}


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%lo",
        "2001:db8::1%eth0",
        "ff02::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:127.0.0.1",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "64:ff9b:1:7f00:0:100::",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:0:808:808:0:0:80ff:fffe",
        "2001:db8::5efe:127.0.0.1",
        "2001:db8::200:5efe:127.0.0.1",
    ],
)
def test_t32_these_are_refused_even_inside_a_resource_that_is_everything(text: str) -> None:
    assert refused(EVERYWHERE, text)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "8.8.8.8",
        "1.0.0.1",
        "223.255.255.255",
        "2001:db8::1",
        "fd00::1",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "::8.8.8.8",
    ],
)
def test_ordinary_addresses_pass(text: str) -> None:
    assert EVERYWHERE.check(ipaddress.ip_address(text), 80) == ipaddress.ip_address(text)
    assert not EVERYWHERE.overrides(ipaddress.ip_address(text))


def test_a_mapped_address_is_connected_to_as_ipv4() -> None:
    assert str(EVERYWHERE.check(ipaddress.ip_address("::ffff:10.0.0.1"), 80)) == "10.0.0.1"


def test_t32_an_override_lifts_one_address_only() -> None:
    rules = EgressRules.of(["169.254.169.254/32", "fe80::/64"])
    assert rules.check(METADATA, 80) == METADATA
    assert not refused(rules, "64:ff9b::169.254.169.254")
    assert not refused(rules, "fe80::1")
    assert refused(rules, "169.254.169.253")
    assert refused(rules, "127.0.0.1")
    assert refused(rules, "fe80:0:0:1::1")
    assert rules.overrides(METADATA)


def test_t32_the_connectors_own_listeners_are_never_reached() -> None:
    rules = EgressRules.of(["127.0.0.0/8"], [(None, 7000), (ipaddress.ip_address("10.0.0.9"), 7001)])
    assert refused(rules, "10.0.0.9", 7000)
    assert refused(rules, "127.0.0.1", 7000)
    assert refused(rules, "10.0.0.9", 7001)
    assert refused(rules, "::ffff:10.0.0.9", 7001)
    assert refused(rules, "64:ff9b::10.0.0.9", 7001)
    assert not refused(rules, "10.0.0.8", 7001)
    assert not refused(rules, "127.0.0.1", 80)


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_t31_no_carrier_passes_what_the_plain_address_does_not(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    carriers: list[IPAddress] = [
        ipaddress.IPv6Address(0xFFFF << 32 | number),
        ipaddress.IPv6Address(0x64FF9B << 96 | number),
        ipaddress.IPv6Address(0x2002 << 112 | number << 80 | 1),
    ]
    if number > 1:
        carriers.append(ipaddress.IPv6Address(number))
    plain = refused(EVERYWHERE, str(address))
    assert all(refused(EVERYWHERE, str(carrier)) == plain for carrier in carriers)


@settings(deadline=None)
@given(st.ip_addresses(v=6))
def test_the_check_is_total(address: ipaddress.IPv6Address) -> None:
    refused(EVERYWHERE, str(address))
