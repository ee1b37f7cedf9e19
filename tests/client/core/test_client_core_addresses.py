"""Which pools are taken, and what collides."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest

from client.core.addresses import POOL_V6, POOLS_V4, AddressPlan, host_route, plan_addresses
from protocol.errors import LocalError
from protocol.reasons import Reason


def test_default_plan() -> None:
    plan = plan_addresses([])
    assert plan.own_v4 == IPv4Address("100.96.0.1")
    assert plan.peer_v4 == IPv4Address("100.96.0.2")
    assert plan.probe_v4 == IPv4Address("100.96.0.3")
    assert plan.own_v6 == IPv6Address("fd6f:7374:6961::1")
    assert plan.peer_v6 == IPv6Address("fd6f:7374:6961::2")
    assert plan.probe_v6 == IPv6Address("fd6f:7374:6961::3")


def test_plan_without_ipv6() -> None:
    plan = plan_addresses([], pool_v6=None)
    assert (plan.own_v6, plan.peer_v6, plan.probe_v6) == (None, None, None)
    assert plan.synthetic(0)[1] is None
    assert not plan.contains(IPv6Address("fd6f:7374:6961::20"))


@pytest.mark.parametrize("used", ["100.64.0.0/10", "100.96.0.0/16", "100.96.7.9/32", "100.96.0.0/12"])
def test_next_pool_is_taken_on_collision(used: str) -> None:
    plan = plan_addresses([ip_network(used)], pools_v4=[POOLS_V4[0], IPv4Network("198.18.0.0/16")])
    assert plan.pool_v4 == IPv4Network("198.18.0.0/16")


@pytest.mark.parametrize("used", ["0.0.0.0/1", "64.0.0.0/2", "10.0.0.0/8", "100.97.0.0/16", "::/1", "fd6f::/7"])
def test_wide_routes_and_others_are_no_collision(used: str) -> None:
    plan = plan_addresses([ip_network(used, strict=False)])
    assert (plan.pool_v4, plan.pool_v6) == (POOLS_V4[0], POOL_V6)


def test_ipv6_is_left_out_on_collision() -> None:
    assert plan_addresses([IPv6Network("fd6f:7374:6961::/48")]).pool_v6 is None


def test_collision_everywhere_is_named() -> None:
    with pytest.raises(LocalError, match=r"100\.96\.0\.0/16 collides with 100\.64\.0\.0/10") as caught:
        plan_addresses([IPv4Network("100.64.0.0/10"), IPv4Network("198.18.0.0/15")])
    assert caught.value.reason is Reason.ADDRESS_COLLISION


def test_too_small_a_pool_is_refused() -> None:
    with pytest.raises(LocalError, match="too small") as caught:
        plan_addresses([], pools_v4=[IPv4Network("198.18.0.0/25")])
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_synthetic_addresses_leave_out_our_own_and_broadcast() -> None:
    plan = AddressPlan(IPv4Network("198.18.0.0/24"), POOL_V6)
    pairs = [plan.synthetic(index) for index in range(plan.capacity)]
    assert plan.capacity == 239
    assert len({v4 for v4, _ in pairs}) == 239
    assert pairs[0][0] == IPv4Address("198.18.0.16")
    assert pairs[-1] == (IPv4Address("198.18.0.254"), IPv6Address("fd6f:7374:6961::fe"))
    assert all(plan.contains(address) for pair in pairs for address in pair if address is not None)
    assert not plan.contains(ip_address("198.19.0.1"))


def test_host_route() -> None:
    assert host_route(ip_address("10.0.0.1")) == ip_network("10.0.0.1/32")
    assert host_route(ip_address("fd00::1")) == ip_network("fd00::1/128")


def test_where_everything_is_taken_the_owner_is_named() -> None:
    shared, benchmarks = ip_network("100.64.0.0/10"), ip_network("198.18.0.0/15")
    assert plan_addresses([shared]).pool_v4 == IPv4Network("198.18.0.0/16")
    with pytest.raises(LocalError) as caught:
        plan_addresses([shared, benchmarks], owners={shared: "tailscale0"})
    assert caught.value.reason is Reason.ADDRESS_COLLISION
    assert "100.96.0.0/16 collides with 100.64.0.0/10 on tailscale0" in caught.value.detail
    assert "198.18.0.0/15" in caught.value.detail
