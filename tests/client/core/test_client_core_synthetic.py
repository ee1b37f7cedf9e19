"""Synthetic addresses are stable while used and rest before they are given away."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.core.addresses import AddressPlan, plan_addresses
from client.core.synthetic import SyntheticPool
from protocol.errors import LocalError
from protocol.limits import SYNTHETIC_RELEASE_S
from protocol.reasons import Reason

SMALL = AddressPlan(IPv4Network("198.18.0.0/24"), None)


def test_name_keeps_its_addresses() -> None:
    pool = SyntheticPool(plan_addresses([]))
    first = pool.assign("db.prod.internal", 0.0)
    assert pool.assign("db.prod.internal", 500.0) is first
    assert first.last_used == 500.0
    assert len(pool) == 1
    assert pool.find(first.v4.packed) is first
    assert first.v6 is not None
    assert pool.find(first.v6.packed) is first
    assert pool.routes() == first.addresses


def test_addresses_are_the_same_after_a_restart() -> None:
    one, two = (SyntheticPool(plan_addresses([])).assign("db.prod.internal", 0.0) for _ in range(2))
    assert one.addresses == two.addresses


def test_unknown_address_has_no_name_but_is_ours() -> None:
    pool = SyntheticPool(SMALL)
    assert pool.find(SMALL.synthetic(0)[0].packed) is None
    assert pool.owns(SMALL.synthetic(0)[0])


def test_released_after_rest_only() -> None:
    pool = SyntheticPool(SMALL)
    item = pool.assign("a", 0.0)
    assert pool.tick(SYNTHETIC_RELEASE_S - 1) == ()
    assert pool.tick(SYNTHETIC_RELEASE_S) == (item,)
    assert pool.find(item.v4.packed) is None
    assert pool.routes() == ()


def test_open_flow_keeps_the_address_and_rest_begins_at_its_end() -> None:
    pool = SyntheticPool(SMALL)
    item = pool.assign("a", 0.0)
    pool.hold(item)
    assert pool.tick(1e6) == ()
    pool.drop(item, 1e6)
    assert pool.tick(1e6 + SYNTHETIC_RELEASE_S - 1) == ()
    assert pool.tick(1e6 + SYNTHETIC_RELEASE_S) == (item,)


def test_full_pool_is_used_to_the_last_address_and_then_refuses() -> None:
    pool = SyntheticPool(SMALL)
    items = [pool.assign(f"n{number}.internal", 0.0) for number in range(SMALL.capacity)]
    assert len({item.v4 for item in items}) == SMALL.capacity
    with pytest.raises(LocalError) as caught:
        pool.assign("one.more", 1.0)
    assert caught.value.reason is Reason.LIMIT_EXCEEDED
    assert pool.assign("n0.internal", 2.0) is items[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 400)), max_size=80))
def test_no_address_has_two_names_within_the_rest(uses: list[tuple[int, float]]) -> None:
    pool, now = SyntheticPool(SMALL), 0.0
    last: dict[object, tuple[str, float]] = {}
    for number, pause in uses:
        now += pause
        pool.tick(now)
        item = pool.assign(f"n{number}", now)
        name, used = last.get(item.v4, (item.name, now))
        assert name == item.name or now - used >= SYNTHETIC_RELEASE_S
        last[item.v4] = (item.name, now)
