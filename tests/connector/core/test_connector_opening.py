"""The last word: both lists, cut-offs, lease; what the client says is only a question (T-30, T-35)."""

import ipaddress

import pytest
from connector_world import DEVICE, GRANT, NOW, World, acl, bare, circumstances, entry, header, res
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.core.cutoffs import Cutoffs
from connector.core.opening import decide_open, lease_of
from protocol.acl.match import AclIndex
from protocol.acl.model import Acl, Deny, Permit, PortRange, Transport
from protocol.control import Cutoff
from protocol.ids import Revision
from protocol.reasons import Reason
from protocol.streams import StreamKind

WORLD = World()
WEB = entry("10.0.0.5", tcp=(PortRange(80, 80), PortRange(443, 443)), udp=(), icmp=False)
ACL = acl(WEB, entry("*.corp.example", number=2))


def refusal(
    host: str, port: int | None = 443, *, kind: StreamKind = "tcp", token: Acl = ACL, config: Acl = ACL
) -> Reason:
    _, decision = decide_open(header(host, port, kind=kind), circumstances(token, WORLD.served(config)))
    assert isinstance(decision, Deny)
    return decision.reason


def test_c19_what_both_lists_permit_is_permitted_with_its_grants() -> None:
    request, decision = decide_open(header("10.0.0.5"), circumstances(ACL, WORLD.served(ACL)))
    assert decision == Permit(WEB)
    assert WEB.grants == (GRANT,)
    assert request is not None
    assert (request.host, request.transport, request.port) == (ipaddress.ip_address("10.0.0.5"), Transport.TCP, 443)


def test_a_name_is_permitted_in_every_case_and_with_a_trailing_dot() -> None:
    for name in ("db.corp.example", "DB.Corp.Example", "db.corp.example."):
        _, decision = decide_open(header(name), circumstances(ACL, WORLD.served(ACL)))
        assert isinstance(decision, Permit)


@pytest.mark.parametrize(
    ("host", "port", "kind", "reason"),
    [
        ("10.0.0.4", 443, "tcp", Reason.NOT_A_RESOURCE),
        ("10.0.0.6", 443, "tcp", Reason.NOT_A_RESOURCE),
        ("10.0.0.5", 442, "tcp", Reason.PORT_NOT_ALLOWED),
        ("10.0.0.5", 444, "tcp", Reason.PORT_NOT_ALLOWED),
        ("10.0.0.5", 443, "udp", Reason.PROTOCOL_NOT_ALLOWED),
        ("10.0.0.5", None, "icmp", Reason.PROTOCOL_NOT_ALLOWED),
        ("10.0.0.5", None, "tcp", Reason.INVALID_INPUT),
        ("corp.example", 443, "tcp", Reason.NOT_A_RESOURCE),
        ("evilcorp.example", 443, "tcp", Reason.NOT_A_RESOURCE),
        ("db.corp.example.evil", 443, "tcp", Reason.NOT_A_RESOURCE),
        ("other.example", None, "resolve", Reason.NOT_A_RESOURCE),
        ("10.0.0.5", None, "resolve", Reason.INVALID_INPUT),
        ("10.0.0.5", None, "dns", Reason.INVALID_INPUT),
        ("127.1", 443, "tcp", Reason.INVALID_INPUT),
        ("*.corp.example", 443, "tcp", Reason.INVALID_INPUT),
        ("", 443, "tcp", Reason.INVALID_INPUT),
    ],
)
def test_t30_t35_neighbours_are_refused(host: str, port: int | None, kind: StreamKind, reason: Reason) -> None:
    assert refusal(host, port, kind=kind) is reason


def test_t30_the_connectors_own_config_has_a_veto() -> None:
    assert refusal("10.0.0.5", config=acl()) is Reason.CONNECTOR_NOT_ALLOWED
    assert refusal("10.0.0.5", token=acl()) is Reason.NOT_A_RESOURCE
    assert refusal("db.corp.example", None, kind="resolve", config=acl()) is Reason.CONNECTOR_NOT_ALLOWED
    assert refusal("10.0.0.5", config=acl(entry("10.0.0.5", number=9))) is Reason.CONNECTOR_NOT_ALLOWED


def test_without_a_config_nothing_is_served() -> None:
    kinds: tuple[StreamKind, ...] = ("tcp", "resolve")
    for kind in kinds:
        _, decision = decide_open(header("db.corp.example", kind=kind), circumstances(ACL, None))
        assert decision == Deny(Reason.UNAVAILABLE)


@pytest.mark.parametrize("kind", ["resolve", "dns"])
def test_c18_a_name_of_a_resource_may_be_asked_for(kind: StreamKind) -> None:
    _, decision = decide_open(header("db.corp.example", None, kind=kind), circumstances(ACL, WORLD.served(ACL)))
    assert isinstance(decision, Permit)
    assert decision.entry.resource.id == res(2)


def test_an_expired_grant_is_refused_for_names_and_flows() -> None:
    ended = acl(entry("db.corp.example", expires=NOW))
    assert refusal("db.corp.example", token=ended, config=ended) is Reason.GRANT_EXPIRED
    assert refusal("db.corp.example", None, kind="resolve", token=ended, config=bare(ended)) is Reason.GRANT_EXPIRED


def test_t36_a_token_from_before_a_revocation_opens_nothing() -> None:
    cutoffs = Cutoffs()
    cutoffs.push(Revision(8), [Cutoff(DEVICE, res(1), NOW + 1, "access_revoked")])
    served = WORLD.served(ACL)
    _, decision = decide_open(header("10.0.0.5"), circumstances(ACL, served, cutoffs=cutoffs))
    assert decision == Deny(Reason.TOKEN_REVOKED, res(1))
    _, decision = decide_open(header("10.0.0.5"), circumstances(ACL, served, cutoffs=cutoffs, issued_at=NOW + 1))
    assert isinstance(decision, Permit)
    _, decision = decide_open(header("db.corp.example"), circumstances(ACL, served, cutoffs=cutoffs))
    assert isinstance(decision, Permit)


def test_c24_new_flows_end_with_the_lease() -> None:
    whole = acl(entry("10.0.0.5", lease_s=100))
    served = WORLD.served(whole)
    _, decision = decide_open(header("10.0.0.5"), circumstances(whole, served, away_s=100))
    assert isinstance(decision, Permit)
    _, decision = decide_open(header("10.0.0.5"), circumstances(whole, served, away_s=101))
    assert decision == Deny(Reason.LEASE_EXPIRED, res(1))


def test_an_expired_config_serves_nothing_new() -> None:
    served = WORLD.served(ACL, life_s=10)
    _, decision = decide_open(header("10.0.0.5"), circumstances(ACL, served, wall=NOW + 11))
    assert decision == Deny(Reason.LEASE_EXPIRED, res(1))


def test_the_lease_is_the_configs() -> None:
    mine, theirs = entry("10.0.0.5", lease_s=60), entry("10.0.0.5", lease_s=3600)
    assert lease_of(theirs, AclIndex(acl(mine))) == 60
    assert lease_of(theirs, AclIndex(acl())) == 3600


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(1, 65535), st.sampled_from(["tcp", "udp", "icmp"]))
def test_t30_nothing_beyond_both_lists_is_ever_permitted(last: int, port: int, kind: StreamKind) -> None:
    token = acl(entry("10.0.0.0/25", tcp=(PortRange(1, 1024),), udp=(), icmp=True))
    config = acl(entry("10.0.0.64/26", tcp=(PortRange(443, 2000),), udp=(PortRange(53, 53),), icmp=True))
    _, decision = decide_open(header(f"10.0.0.{last}", port, kind=kind), circumstances(token, WORLD.served(config)))
    expected = 64 <= last < 128 and (kind == "icmp" or (kind == "tcp" and 443 <= port <= 1024))
    assert isinstance(decision, Permit) == expected
