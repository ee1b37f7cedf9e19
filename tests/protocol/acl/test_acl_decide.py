"""Policy algebra: deny by default, in every way of asking (T-35, C19)."""

import ipaddress
from typing import Any

import pytest
from acl_support import VECTORS, acls, covers, make_entry, moments, permits, requests, specificity
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.acl.codec import acl_from_json_untrusted
from protocol.acl.decide import decide, decide_both
from protocol.acl.match import AclIndex
from protocol.acl.model import ALL_PORTS, Acl, Deny, Entry, Permit, PortRange, Ports, Request, Transport
from protocol.acl.names import parse_host, parse_pattern
from protocol.ids import GrantId, NetworkId
from protocol.reasons import Reason

HOST = "db.corp"
EVERYTHING = Ports((ALL_PORTS,), (ALL_PORTS,), icmp=True)


def _acl(ports: Ports, pattern: str = HOST, letter: str = "A", expires: int | None = None) -> Acl:
    return Acl((make_entry(letter, parse_pattern(pattern), ports, expires=expires),))


def _reference(acl: Acl, request: Request, now: float) -> Entry | None:
    permitting = [entry for entry in acl.entries if permits(entry, request, now)]
    permitting.sort(key=lambda entry: ([-part for part in specificity(entry)], entry.resource.id))
    return permitting[0] if permitting else None


@settings(max_examples=300)
@given(acls, requests, moments)
def test_decide_agrees_with_the_reference(acl: Acl, request: Request, now: float) -> None:
    expected = _reference(acl, request, now)
    decision = decide(acl, request, now)
    if expected is not None:
        assert decision == Permit(expected)
    else:
        assert isinstance(decision, Deny)
        visible = [entry for entry in acl.entries if covers(entry.resource.address, request.host)]
        assert (decision.reason is Reason.NOT_A_RESOURCE) == (not visible)
        assert (decision.resource is None) == (not visible)
    assert decide(AclIndex(acl), request, now) == decision


@settings(max_examples=200)
@given(acls, requests, moments, st.data())
def test_removing_an_entry_never_permits_more(acl: Acl, request: Request, now: float, data: Any) -> None:
    kept = tuple(entry for entry in acl.entries if data.draw(st.booleans()))
    if isinstance(decide(Acl(kept), request, now), Permit):
        assert isinstance(decide(acl, request, now), Permit)


@settings(max_examples=200)
@given(acls, acls, requests, moments, st.data())
def test_removing_an_entry_from_either_list_never_permits_more(
    token: Acl, config: Acl, request: Request, now: float, data: Any
) -> None:
    fewer_token = Acl(tuple(entry for entry in token.entries if data.draw(st.booleans())))
    fewer_config = Acl(tuple(entry for entry in config.entries if data.draw(st.booleans())))
    if isinstance(decide_both(fewer_token, fewer_config, request, now), Permit):
        assert isinstance(decide_both(token, config, request, now), Permit)


@given(requests, moments)
def test_empty_list_permits_nothing(request: Request, now: float) -> None:
    assert decide(Acl(), request, now) == Deny(Reason.NOT_A_RESOURCE)


@given(acls, requests)
def test_time_only_takes_away(acl: Acl, request: Request) -> None:
    if isinstance(decide(acl, request, 15.0), Permit):
        assert isinstance(decide(acl, request, 5.0), Permit)


@settings(max_examples=200)
@given(acls, acls, requests, moments)
def test_c19_both_lists_must_permit_by_one_resource(token: Acl, config: Acl, request: Request, now: float) -> None:
    served = {entry.resource.id for entry in config.entries if permits(entry, request, now)}
    common = Acl(tuple(entry for entry in token.entries if entry.resource.id in served))
    expected = _reference(common, request, now)
    decision = decide_both(token, config, request, now)
    if expected is not None:
        assert decision == Permit(expected)
    elif _reference(token, request, now) is None:
        assert decision == decide(token, request, now)
    else:
        assert isinstance(decision, Deny)
        assert decision.reason is Reason.CONNECTOR_NOT_ALLOWED
        assert decision.resource is not None


def test_c19_refused_outside_either_list() -> None:
    request = Request(HOST, Transport.TCP, 443)
    allowed, nothing = _acl(EVERYTHING), Acl()
    resource = allowed.entries[0].resource.id
    assert isinstance(decide_both(allowed, allowed, request, 0), Permit)
    assert decide_both(nothing, allowed, request, 0) == Deny(Reason.NOT_A_RESOURCE)
    assert decide_both(allowed, nothing, request, 0) == Deny(Reason.CONNECTOR_NOT_ALLOWED, resource)
    other = _acl(EVERYTHING, letter="B")
    assert decide_both(allowed, other, request, 0) == Deny(Reason.CONNECTOR_NOT_ALLOWED, resource)
    narrower = _acl(Ports(tcp=(PortRange(80, 80),)))
    assert decide_both(allowed, narrower, request, 0) == Deny(Reason.CONNECTOR_NOT_ALLOWED, resource)
    assert decide_both(narrower, allowed, request, 0) == Deny(Reason.PORT_NOT_ALLOWED, resource)


def test_c19_permit_holds_the_grants_of_the_token() -> None:
    pattern = parse_pattern(HOST)
    granted = make_entry("A", pattern, EVERYTHING, grants=(GrantId("gra_" + "G" * 22),))
    config = make_entry("A", pattern, EVERYTHING)
    decision = decide_both(Acl((granted,)), Acl((config,)), Request(HOST, Transport.ICMP), 0)
    assert decision == Permit(granted)


def test_c19_less_specific_resource_serves_what_the_more_specific_one_is_not_here_for() -> None:
    narrow = make_entry("A", parse_pattern(HOST), EVERYTHING, network=NetworkId("net_" + "M" * 22))
    wide = make_entry("B", parse_pattern("*.corp"), EVERYTHING)
    request = Request(HOST, Transport.TCP, 1)
    assert decide_both(Acl((narrow, wide)), Acl((wide,)), request, 0) == Permit(wide)


@pytest.mark.parametrize(
    ("ports", "transport", "port", "reason"),
    [
        (Ports(), Transport.TCP, 80, Reason.PROTOCOL_NOT_ALLOWED),
        (Ports(), Transport.UDP, 80, Reason.PROTOCOL_NOT_ALLOWED),
        (Ports(), Transport.ICMP, None, Reason.PROTOCOL_NOT_ALLOWED),
        (Ports(tcp=(ALL_PORTS,)), Transport.UDP, 80, Reason.PROTOCOL_NOT_ALLOWED),
        (Ports(tcp=(ALL_PORTS,)), Transport.ICMP, None, Reason.PROTOCOL_NOT_ALLOWED),
        (Ports(udp=(ALL_PORTS,)), Transport.TCP, 80, Reason.PROTOCOL_NOT_ALLOWED),
        (Ports(udp=(ALL_PORTS,)), Transport.ICMP, None, Reason.PROTOCOL_NOT_ALLOWED),
        (Ports(icmp=True), Transport.TCP, 80, Reason.PROTOCOL_NOT_ALLOWED),
        (Ports(icmp=True), Transport.UDP, 80, Reason.PROTOCOL_NOT_ALLOWED),
        (Ports(tcp=(PortRange(80, 81),)), Transport.TCP, 79, Reason.PORT_NOT_ALLOWED),
        (Ports(tcp=(PortRange(80, 81),)), Transport.TCP, 82, Reason.PORT_NOT_ALLOWED),
        (Ports(tcp=(ALL_PORTS,)), Transport.TCP, None, Reason.PORT_NOT_ALLOWED),
        (Ports(tcp=(ALL_PORTS,)), Transport.TCP, 0, Reason.PORT_NOT_ALLOWED),
        (Ports(udp=(ALL_PORTS,)), Transport.UDP, 65536, Reason.PORT_NOT_ALLOWED),
        (Ports(icmp=True), Transport.ICMP, 8, Reason.PORT_NOT_ALLOWED),
    ],
)
def test_t35_each_protocol_is_denied_by_default(
    ports: Ports, transport: Transport, port: int | None, reason: Reason
) -> None:
    acl = _acl(ports)
    assert decide(acl, Request(HOST, transport, port), 0) == Deny(reason, acl.entries[0].resource.id)


@pytest.mark.parametrize(
    ("transport", "port"), [(Transport.TCP, 1), (Transport.TCP, 65535), (Transport.UDP, 53), (Transport.ICMP, None)]
)
def test_everything_is_an_explicit_value(transport: Transport, port: int | None) -> None:
    assert isinstance(decide(_acl(EVERYTHING), Request(HOST, transport, port), 0), Permit)


def test_expired_entry_does_not_hide_a_wider_one() -> None:
    wide, narrow = _acl(EVERYTHING, "*.corp", "B"), _acl(EVERYTHING, HOST, "A", expires=100)
    both = Acl(wide.entries + narrow.entries)
    request = Request(HOST, Transport.TCP, 1)
    assert decide(both, request, 99.9) == Permit(narrow.entries[0])
    assert decide(both, request, 100.0) == Permit(wide.entries[0])
    assert decide(narrow, request, 100.0) == Deny(Reason.GRANT_EXPIRED, narrow.entries[0].resource.id)


@pytest.mark.parametrize(
    "row", VECTORS["decisions"], ids=lambda row: f"{row['host']}/{row['transport']}/{row['port']}@{row['now']}"
)
def test_decision_vectors(row: dict[str, Any]) -> None:
    acl = acl_from_json_untrusted(VECTORS["acl"])
    host = ipaddress.ip_address(row["host"]) if row["host"].startswith("::ffff") else parse_host(row["host"])
    decision = decide(acl, Request(host, Transport(row["transport"]), row["port"]), row["now"])
    if isinstance(decision, Permit):
        assert (row["outcome"], row["resource"]) == ("permit", decision.entry.resource.id)
    else:
        assert (row["outcome"], row["resource"]) == (decision.reason.code, decision.resource)
