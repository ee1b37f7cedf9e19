"""Which open flows end when the policy, or the time, has changed (C22 to C24)."""

from ipaddress import ip_address

import pytest
from client_policy import WALL, entry, index, tcp_ports

from client.core.classify import Target
from client.core.reevaluate import Ending, beyond_lease, reevaluate
from protocol.acl.model import Entry, Transport
from protocol.reasons import Reason


def target(of: Entry, host: str = "10.99.0.5", port: int = 443) -> Target:
    return Target(ip_address(host), Transport.TCP, port, of)


OLD = entry("10.99.0.0/16")
FLOWS = [("flow", target(OLD))]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([], Reason.ACCESS_REVOKED),
        ([entry("10.98.0.0/16")], Reason.ACCESS_REVOKED),
        ([entry("10.99.0.0/16", ports=tcp_ports(80))], Reason.RESOURCE_CHANGED),
        ([entry("10.99.0.0/16", ports=tcp_ports())], Reason.RESOURCE_CHANGED),
        ([entry("10.99.0.0/16", expires=WALL)], Reason.GRANT_EXPIRED),
        ([entry("10.99.0.0/16", number=2)], Reason.RESOURCE_CHANGED),
        ([entry("10.99.0.0/16", network="net_b")], Reason.RESOURCE_CHANGED),
    ],
)
def test_flow_ends_with_the_reason(entries: list[Entry], reason: Reason) -> None:
    assert reevaluate(FLOWS, index(*entries), WALL) == [Ending("flow", reason)]


@pytest.mark.parametrize(
    "entries",
    [
        [OLD],
        [entry("10.99.0.0/16", expires=WALL + 1)],
        [entry("10.0.0.0/8")],  # widened
        [OLD, entry("10.99.0.5", number=2)],  # a more specific resource beside it
        [entry("10.99.0.0/16", lease_s=60)],
    ],
)
def test_flow_goes_on(entries: list[Entry]) -> None:
    assert reevaluate(FLOWS, index(*entries), WALL) == []


def test_the_very_entry_that_permitted_it_still_expires() -> None:
    brief = entry("10.99.0.0/16", expires=WALL + 1)
    flows, acl = [("flow", target(brief))], index(brief)
    assert reevaluate(flows, acl, WALL) == []
    assert reevaluate(flows, acl, WALL + 1) == [Ending("flow", Reason.GRANT_EXPIRED)]


def test_lease_counts_from_when_the_controller_went_away() -> None:
    flows = [("short", target(entry("10.99.0.0/16", lease_s=30))), ("long", target(OLD))]
    assert beyond_lease(flows, 29.0) == []
    assert beyond_lease(flows, 30.0) == [Ending("short", Reason.LEASE_EXPIRED)]
    assert len(beyond_lease(flows, 3600.0)) == 2
