"""The JSON form of access lists: round trip, golden list, and no surprise on any input."""

import json
from typing import Any

import pytest
from acl_support import VECTORS, acls
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.acl.codec import (
    ENTRIES_MAX,
    RANGES_MAX,
    acl_from_json_untrusted,
    acl_to_json,
    address_from_json_untrusted,
    ports_from_json_untrusted,
    ports_to_json,
    resource_from_json_untrusted,
    resource_to_json,
)
from protocol.acl.model import ALL_PORTS, Acl, PortRange, Ports
from protocol.errors import RemoteProtocolError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(acls)
def test_round_trip(acl: Acl) -> None:
    assert acl_from_json_untrusted(json.loads(json.dumps(acl_to_json(acl)))) == acl
    for entry in acl.entries:
        assert resource_from_json_untrusted(resource_to_json(entry.resource)) == entry.resource
        assert ports_from_json_untrusted(ports_to_json(entry.resource.ports)) == entry.resource.ports


def test_golden_list() -> None:
    acl = acl_from_json_untrusted(VECTORS["acl"])
    assert json.dumps(acl_to_json(acl)) == json.dumps(VECTORS["acl"])
    lab = acl.entries[2].resource
    assert lab.ports == Ports((PortRange(80, 80), PortRange(8000, 8100)), (), icmp=True)
    assert acl.entries[1].resource.ports.tcp == (ALL_PORTS,)
    assert acl.entries[2].expires == 1_800_000_000
    assert acl.entries[4].grants == ()


@pytest.mark.parametrize("value", VECTORS["refused"], ids=lambda value: json.dumps(value)[-60:])
def test_refused_vectors(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        acl_from_json_untrusted(value)


@settings(max_examples=200)
@given(JSON)
def test_any_json_is_a_list_or_our_error(value: object) -> None:
    for parse in (acl_from_json_untrusted, resource_from_json_untrusted, ports_from_json_untrusted):
        try:
            parse(value)
        except RemoteProtocolError:
            continue


@settings(max_examples=200)
@given(st.data())
def test_any_change_of_a_good_list_is_a_list_or_our_error(data: Any) -> None:
    value = json.loads(json.dumps(VECTORS["acl"]))
    spot = value[data.draw(st.integers(0, len(value) - 1))]
    while True:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if not isinstance(spot[key], dict | list) or data.draw(st.booleans()):
            break
        spot = spot[key]
    spot[key] = data.draw(JSON)
    try:
        acl = acl_from_json_untrusted(value)
    except RemoteProtocolError:
        return
    assert acl_to_json(acl) == value


def test_bounds_are_checked() -> None:
    with pytest.raises(RemoteProtocolError, match=str(ENTRIES_MAX)):
        acl_from_json_untrusted([None] * (ENTRIES_MAX + 1))
    with pytest.raises(RemoteProtocolError, match=str(RANGES_MAX)):
        ports_from_json_untrusted({"tcp": [[1, 1]] * (RANGES_MAX + 1), "udp": [], "icmp": False})


@given(st.text(max_size=30) | st.text(alphabet="0123456789.:af/*", max_size=20))
def test_addresses_are_canonical_or_refused(text: str) -> None:
    try:
        value = address_from_json_untrusted(text)
    except RemoteProtocolError:
        return
    assert str(value) == text


@pytest.mark.parametrize(
    "text", ["DB.corp", "db.corp.", "::ffff:10.0.0.1", "10.0.0.01", "127.1", "2001:DB8::1", "10.0.0.0/08", "*.Corp", ""]
)
def test_t31_an_address_on_the_wire_must_be_canonical(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        address_from_json_untrusted(text)


@pytest.mark.parametrize("text", ["db.corp", "10.0.0.1", "2001:db8::1", "xn--strae-oqa.corp"])
def test_an_address_on_the_wire(text: str) -> None:
    assert str(address_from_json_untrusted(text)) == text
