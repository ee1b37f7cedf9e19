"""Names and patterns in canonical form (T-31, T-34)."""

import ipaddress
from typing import Any

import pytest
from acl_support import VECTORS
from hypothesis import given
from hypothesis import strategies as st

from protocol.acl.match import AclIndex
from protocol.acl.model import ALL_PORTS, Acl, CidrPattern, Entry, NamePattern, Ports, Resource
from protocol.acl.names import (
    is_canonical_name,
    is_display_name,
    normalise_name,
    parse_address,
    parse_host,
    parse_pattern,
    unmapped,
)
from protocol.errors import LocalError
from protocol.ids import NetworkId, ResourceId
from protocol.reasons import Reason


def _explained(error: LocalError) -> bool:
    assert error.reason is Reason.INVALID_INPUT
    assert error.detail
    return True


def _outcome(pattern: str, name: str) -> str:
    try:
        resource = Resource(ResourceId("r"), "r", NetworkId("n"), parse_pattern(pattern), Ports((ALL_PORTS,)), 60)
        found = AclIndex(Acl((Entry(resource),))).match(normalise_name(name))
    except LocalError as error:
        return "invalid" if _explained(error) else "unexplained"
    return "match" if found else "no"


def test_t34_table_is_long_enough() -> None:
    assert len({(row["pattern"], row["name"]) for row in VECTORS["names"]}) >= 60


@pytest.mark.parametrize("row", VECTORS["names"], ids=lambda row: ascii(f"{row['pattern']}~{row['name']}")[:60])
def test_t34_name_against_pattern(row: dict[str, Any]) -> None:
    assert _outcome(row["pattern"], row["name"]) == row["outcome"]


@pytest.mark.parametrize(
    "name", ["a\0.corp", "*.corp", ".corp", "A.corp", "a.corp.", "a..corp", "", "a b.corp", "\ud800.corp"]
)
def test_t34_index_never_matches_what_is_not_canonical(name: str) -> None:
    resource = Resource(ResourceId("r"), "r", NetworkId("n"), parse_pattern("*.corp"), Ports((ALL_PORTS,)), 60)
    assert AclIndex(Acl((Entry(resource),))).match_name(name) == ()


@given(st.text(max_size=40) | st.text(alphabet="aAß.*-_。xn1９\0а", max_size=20))
def test_normalise_name_is_total_and_idempotent(text: str) -> None:
    try:
        name = normalise_name(text)
    except LocalError as error:
        _explained(error)
        return
    assert is_canonical_name(name)
    assert normalise_name(name) == name
    assert normalise_name(name.upper() + ".") == name


@given(st.text(max_size=40) | st.text(alphabet="0123456789./:af*%", max_size=24))
def test_parse_pattern_is_total_and_canonical(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except LocalError as error:
        _explained(error)
        return
    assert parse_pattern(str(pattern)) == pattern


@given(st.ip_addresses(), st.data())
def test_host_bits_name_the_right_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, data: Any) -> None:
    prefix = data.draw(st.integers(0, address.max_prefixlen))
    right = ipaddress.ip_network((address, prefix), strict=False)
    mapped = ipaddress.IPv6Network("::ffff:0:0/96")
    if isinstance(right, ipaddress.IPv6Network) and right.subnet_of(mapped):
        return
    if right.network_address == address:
        assert parse_pattern(f"{address}/{prefix}") == CidrPattern(right)
        return
    with pytest.raises(LocalError) as caught:
        parse_pattern(f"{address}/{prefix}")
    assert caught.value.reason is Reason.INVALID_INPUT
    assert caught.value.detail.endswith(f"the network is {right}")


def test_host_bits_message() -> None:
    with pytest.raises(LocalError, match=r"'10\.1\.2\.3/8' has host bits set; the network is 10\.0\.0\.0/8"):
        parse_pattern("10.1.2.3/8")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:DB8:0::/48", "2001:db8::/48"),
        ("2001:db8::1/128", "2001:db8::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("DB.Prod.Internal.", "db.prod.internal"),
        ("*.Straße.Example", "*.xn--strae-oqa.example"),
    ],
)
def test_pattern_forms(text: str, canonical: str) -> None:
    assert str(parse_pattern(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/08",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "/8",
        "db.corp/24",
        "256.0.0.1",
        "010.0.0.1",
        "0x7f.0.0.1",
        "fe80::1%eth0",
        "fe80::%eth0/64",
        "[::1]",
        "::ffff:10.0.0.0/104",
        "１0.0.0.1",
        "a" * 2000,
        "",
    ],
)
def test_t31_pattern_refused(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        parse_pattern(text)
    assert caught.value.reason is Reason.INVALID_INPUT


def test_wildcard_that_no_name_could_match_is_refused() -> None:
    assert len(str(parse_pattern("*." + "a." * 125 + "a"))) == 253
    with pytest.raises(LocalError, match="longer than 253"):
        parse_pattern("*." + "a." * 125 + "aa")


def test_parse_host_tells_names_and_addresses_apart() -> None:
    assert parse_host("DB.corp.") == "db.corp"
    assert parse_host("10.0.0.1") == ipaddress.ip_address("10.0.0.1")
    assert parse_host("::FFFF:10.0.0.1") == ipaddress.ip_address("10.0.0.1")
    assert parse_host("2001:db8::1") == ipaddress.ip_address("2001:db8::1")
    assert isinstance(parse_pattern("4.3.2.1.in-addr.arpa"), NamePattern)
    for text in ("127.1", "2130706433", "fe80::1%1", "1.2.3.4.5", "1.2.3.999"):
        with pytest.raises(LocalError):
            parse_host(text)


def test_parse_address_refuses_names() -> None:
    with pytest.raises(LocalError, match="not an IP address"):
        parse_address("db.corp")


def test_unmapped_leaves_other_addresses_alone() -> None:
    for text in ("10.0.0.1", "::1", "64:ff9b::a00:1"):
        address = ipaddress.ip_address(text)
        assert unmapped(address) == address


@pytest.mark.parametrize("name", ["", "a\nb", "a\x1b[31m", "a\0", "a\u202eb", "x" * 257, "\ud800"])
def test_t41_display_name_refused(name: str) -> None:
    assert not is_display_name(name)


@pytest.mark.parametrize("name", ["Büro (2. Stock)", "x" * 256, "$(id) `x` '\"%", "数据库"])
def test_display_name_accepted(name: str) -> None:
    assert is_display_name(name)
