"""Open flows: each kind of change ends exactly those that it must, with the reason that users read (C23, C24, T-36)."""

from dataclasses import replace

import pytest
from connector_world import (
    DEVICE,
    NOW,
    World,
    acl,
    admitted,
    entry,
    flow,
    flow_id,
    res,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.core import flows as module
from connector.core.cutoffs import Cutoffs
from connector.core.flows import FlowRegistry, Reset
from protocol.acl.model import PortRange
from protocol.control import Cutoff, LiveFlow
from protocol.errors import RemoteError, RemoteProtocolError
from protocol.ids import DeviceId, Revision
from protocol.reasons import Reason

WORLD = World()
OTHER = DeviceId("dev_BBBBBBBBBBBBBBBBBBBBBB")


def registry(*flows: module.Flow) -> FlowRegistry:
    made = FlowRegistry()
    for item in flows:
        made.add(item)
    return made


def test_flows_come_and_go() -> None:
    flows = registry(flow(1), flow(2))
    assert len(flows) == 2
    assert flow_id(1) in flows
    assert flows.live()[0] == LiveFlow(flow_id(1), DEVICE, res(1), "tcp", 443)
    assert flows.remove(flow_id(1)) is not None
    assert flows.remove(flow_id(1)) is None
    assert flows.get(flow_id(1)) is None
    assert [item.flow for item in flows] == [flow_id(2)]


def test_t17_an_id_in_use_is_refused_even_from_another_device() -> None:
    flows = registry(flow(1))
    with pytest.raises(RemoteProtocolError):
        flows.add(flow(1, device=OTHER))


def test_the_number_of_flows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLOWS_MAX", 3)
    monkeypatch.setattr(module, "FLOWS_PER_DEVICE_MAX", 2)
    flows = registry(flow(1), flow(2))
    for number, device in ((3, DEVICE), (4, OTHER)):
        if device == DEVICE:
            with pytest.raises(RemoteError) as caught:
                flows.add(flow(number, device=device))
            assert caught.value.reason is Reason.LIMIT_EXCEEDED
        else:
            flows.add(flow(number, device=device))
    with pytest.raises(RemoteError):
        flows.add(flow(5, device=DeviceId("dev_CCCCCCCCCCCCCCCCCCCCCC")))


def test_t36_a_cutoff_ends_what_rests_on_an_older_token() -> None:
    flows = registry(flow(1, issued_at=NOW), flow(2, issued_at=NOW + 10), flow(3, resource=2), flow(4, device=OTHER))
    cutoffs = Cutoffs()
    cutoffs.push(Revision(8), [Cutoff(DEVICE, res(1), NOW + 5, "access_revoked")])
    assert flows.apply_cutoffs(cutoffs) == (Reset(flow_id(1), Reason.ACCESS_REVOKED),)
    cutoffs.push(Revision(9), [Cutoff(DEVICE, None, NOW + 11, "device_revoked")])
    assert {reset.flow for reset in flows.apply_cutoffs(cutoffs)} == {flow_id(1), flow_id(2), flow_id(3)}


def test_a_new_config_decides_again() -> None:
    flows = registry(flow(1), flow(2, host="10.0.0.6"), flow(3, port=22), flow(4, host="10.0.0.7"))
    served = WORLD.served(
        acl(
            entry("10.0.0.5", tcp=(PortRange(443, 443),), lease_s=77),
            entry("10.0.0.7", number=2),  # the same address, but another resource
        )
    )
    assert flows.apply_config(served, NOW) == (
        Reset(flow_id(2), Reason.RESOURCE_CHANGED),
        Reset(flow_id(3), Reason.RESOURCE_CHANGED),
        Reset(flow_id(4), Reason.RESOURCE_CHANGED),
    )
    kept = flows.get(flow_id(1))
    assert kept is not None
    assert kept.lease_s == 77


def test_t32_a_withdrawn_override_ends_its_flows() -> None:
    whole = acl(entry("169.254.0.0/16"))
    flows = registry(flow(1, host="169.254.169.254"), replace(flow(2, host="169.254.169.254"), address=None))
    assert flows.apply_config(WORLD.served(whole, egress_allow=("169.254.169.254/32",)), NOW) == ()
    assert flows.apply_config(WORLD.served(whole), NOW) == (Reset(flow_id(1), Reason.EGRESS_FORBIDDEN),)


def test_a_renewal_refreshes_what_it_covers_and_ends_the_rest() -> None:
    flows = registry(flow(1), flow(2, resource=2, host="10.0.0.6"), flow(3, tunnel=2, resource=2))
    renewed = admitted(acl(entry("10.0.0.5", expires=NOW + 900)), issued_at=NOW + 200)
    assert flows.apply_renewal(1, renewed, NOW + 200) == (Reset(flow_id(2), Reason.ACCESS_REVOKED),)
    kept = flows.get(flow_id(1))
    assert kept is not None
    assert (kept.issued_at, kept.expires) == (NOW + 200, NOW + 900)
    assert flows.apply_renewal(9, renewed, NOW) == ()


def test_d4_what_the_controller_does_not_know_any_more_ends() -> None:
    flows = registry(flow(1), flow(2))
    asked = {item.flow for item in flows.live()}
    flows.add(flow(3))
    flows.remove(flow_id(2))
    assert flows.apply_verdict(asked, []) == (Reset(flow_id(1), Reason.ACCESS_REVOKED),)
    assert flows.apply_verdict(asked, [flow_id(1)]) == ()


def test_f8_leases_end_flow_by_flow() -> None:
    flows = registry(flow(1, lease_s=30), flow(2, lease_s=100))
    assert flows.lease_due(1030.0, 1000.0) == ()
    assert flows.lease_due(1030.5, 1000.0) == (Reset(flow_id(1), Reason.LEASE_EXPIRED),)
    assert {reset.flow for reset in flows.lease_due(1100.5, 1000.0)} == {flow_id(1), flow_id(2)}
    assert flows.lease_due(1100.5, 1099.0) == ()


def test_c24_flows_outlive_their_token_by_their_lease() -> None:
    flows = registry(flow(1, lease_s=60), flow(2, lease_s=600))
    assert flows.tokens_due(360.0) == ()
    assert flows.tokens_due(361.0) == (Reset(flow_id(1), Reason.TOKEN_EXPIRED),)
    flows.apply_renewal(1, replace(admitted(acl(entry("10.0.0.5"))), ends=600.0), NOW)
    assert flows.tokens_due(361.0) == ()


def test_a_grant_that_runs_out_ends_its_flows() -> None:
    flows = registry(flow(1, expires=NOW + 60), flow(2))
    assert flows.grants_due(NOW + 59.9) == ()
    assert flows.grants_due(NOW + 60) == (Reset(flow_id(1), Reason.GRANT_EXPIRED),)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(0, 20)), max_size=12),
    st.lists(st.tuples(st.sampled_from([None, 1, 2, 3]), st.integers(0, 20)), max_size=4),
)
def test_t36_after_a_change_no_forbidden_flow_is_left(
    opened: list[tuple[int, int, int]], cuts: list[tuple[int | None, int]]
) -> None:
    flows = FlowRegistry()
    for number, (resource, last, age) in enumerate(opened):
        flows.add(flow(number, resource=resource, host=f"10.0.{resource}.{last}", issued_at=NOW + age))
    cutoffs = Cutoffs()
    cutoffs.push(
        Revision(8),
        [Cutoff(DEVICE, res(which) if which else None, NOW + before, "access_revoked") for which, before in cuts],
    )
    served = WORLD.served(acl(entry("10.0.1.0/24", number=1), entry("10.0.2.2", number=2)))
    for reset in (*flows.apply_cutoffs(cutoffs), *flows.apply_config(served, NOW)):
        flows.remove(reset.flow)
    for item in flows:
        address = str(item.address)
        assert (item.resource, address.startswith("10.0.1.")) == (res(1), True) or address == "10.0.2.2"
        for which, before in cuts:
            assert (which is not None and res(which) != item.resource) or item.issued_at >= NOW + before
