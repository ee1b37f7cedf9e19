"""Which domains a splitting resolver sends to us."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.core.dns_zones import reverse_zone, zones
from protocol.acl.model import IPNetwork


@pytest.mark.parametrize(
    ("network", "zone"),
    [
        ("10.20.0.0/24", "0.20.10.in-addr.arpa"),
        ("10.20.0.0/16", "20.10.in-addr.arpa"),
        ("10.20.16.0/20", "20.10.in-addr.arpa"),
        ("10.0.0.0/8", "10.in-addr.arpa"),
        ("10.20.0.10/32", "10.0.20.10.in-addr.arpa"),
        ("172.16.0.0/4", "in-addr.arpa"),
        ("fd00:20::/64", "0.0.0.0.0.0.0.0.0.2.0.0.0.0.d.f.ip6.arpa"),
        ("fd00::/6", "f.ip6.arpa"),
    ],
)
def test_reverse_zone_is_cut_at_whole_labels(network: str, zone: str) -> None:
    assert reverse_zone(ip_network(network, strict=False)) == zone


@given(st.integers(0, 2**32 - 1), st.integers(1, 32))
def test_every_address_of_a_network_is_in_its_zone(number: int, length: int) -> None:
    network = ip_network((number, length), strict=False)
    zone = reverse_zone(network)
    for address in (network[0], network[-1]):
        assert address.reverse_pointer.endswith(zone)


def test_names_below_another_one_need_no_zone_of_their_own() -> None:
    assert zones(["corp.internal", "wiki.corp.internal", "a.b.corp.internal", "evilcorp.internal"], []) == (
        "corp.internal",
        "evilcorp.internal",
    )


def test_a_network_that_is_everything_has_no_zone() -> None:
    everything: list[IPNetwork] = [ip_network("0.0.0.0/0"), ip_network("::/0")]
    assert zones([], everything) == ()


def test_too_many_names_are_replaced_by_their_parents() -> None:
    names = [f"host{number}.dev.corp.internal" for number in range(300)]
    assert zones([*names, "db.corp.internal"], [], limit=10) == ("db.corp.internal", "dev.corp.internal")
    tops = [f"zone{number}" for number in range(300)]
    assert zones(tops, [], limit=10) == (".",)


def test_a_search_domain_stands_for_the_names_below_it_only_when_nothing_else_is_left() -> None:
    names = [f"n{number}.t{number % 3}.corp{number % 2}.internal" for number in range(40)]
    made_up = [f"{name}.{search}" for name in names for search in ("office.example", "b.example")]
    found = zones([*names, *made_up], [], searches=("office.example", "b.example"), limit=8)
    assert len(found) <= 8
    assert {"internal.office.example", "internal.b.example"} <= set(found)
    assert all(any(("." + name).endswith("." + zone) for zone in found) for name in (*names, *made_up))
    assert zones(made_up, [], searches=("office.example", "b.example"), limit=1) == ("example",)
    assert zones(["a.x", "b.y", "c.z"], [], searches=("x",), limit=2) == (".",)
