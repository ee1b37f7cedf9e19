"""The enforcer: exactly one record for each refusal and each flow (S-13), whatever ends it and how often."""

import ipaddress
from dataclasses import dataclass, field

import pytest
from connector_world import (
    CONNECTOR,
    DEVICE,
    GRANT,
    NETWORK,
    NOW,
    USER,
    World,
    acl,
    entry,
    flow_id,
    header,
    res,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.core.admission import RefusedProofError
from connector.core.flows import Flow
from connector.enforcer import Enforcer, Origin
from protocol.acl.model import Acl
from protocol.control import ConnectionRecord, Cutoff
from protocol.errors import RemoteError
from protocol.ids import RelayId, Revision
from protocol.limits import CLOCK_LEEWAY_S
from protocol.reasons import Reason
from protocol.tokens.claims import Access
from protocol.tokens.verify import verify_access
from runtime.clock import ManualClock

RELAY = RelayId("rel_AAAAAAAAAAAAAAAAAAAAAA")
WHITELIST = acl(entry("10.0.0.0/24", lease_s=60), entry("*.corp", number=2))
WORLD = World()


@dataclass
class Desk:
    """An enforcer with a config, one admitted tunnel, and what was aborted."""

    clock: ManualClock
    enforcer: Enforcer
    origin: Origin
    aborted: list[tuple[int, Reason]] = field(default_factory=list)
    traffic: tuple[int, int] = (0, 0)

    def open(self, number: int = 1, host: str = "10.0.0.5") -> Flow:
        return self.enforcer.open(
            header(host, number=number),
            self.origin,
            lambda reason: self.aborted.append((number, reason)),
            lambda: self.traffic,
        )

    def refusal(self, host: str = "10.0.0.5", *, number: int = 1) -> Reason:
        with pytest.raises(RemoteError) as caught:
            self.open(number, host)
        return caught.value.reason

    def records(self) -> list[ConnectionRecord]:
        return list(self.enforcer.records.next_batch(10_000).records)


def desk(whitelist: Acl = WHITELIST) -> Desk:
    clock = ManualClock(wall=NOW)
    enforcer = Enforcer(connector=CONNECTOR, network=NETWORK, clock=clock)
    enforcer.accept_config(WORLD.config_claims(whitelist))
    admission = WORLD.admission(cutoffs=enforcer.cutoffs, now=clock.monotonic())
    proof = WORLD.proof(WORLD.access(whitelist))
    admission.receive_proof(proof, keys=WORLD.keys, now=clock.monotonic(), wall=clock.wall())
    return Desk(clock, enforcer, Origin(1, RELAY, admission))


def test_a_served_flow_leaves_one_record() -> None:
    it = desk()
    flow = it.open()
    flow.address = ipaddress.ip_address("10.0.0.5")
    it.clock.advance(2.5)
    it.enforcer.close(flow.flow, Reason.NORMAL, bytes_up=3, bytes_down=4)
    it.enforcer.close(flow.flow, Reason.INTERNAL)
    (record,) = it.records()
    assert (record.flow, record.device, record.user, record.resource) == (flow_id(1), DEVICE, USER, res(1))
    assert (record.outcome, record.bytes_up, record.bytes_down, record.address) == ("normal", 3, 4, "10.0.0.5")
    assert record.ended_ms - record.started_ms == 2500
    assert (record.grants, record.revision, record.relay, record.network) == ((GRANT,), 7, RELAY, NETWORK)
    assert (it.enforcer.bytes_up, it.enforcer.bytes_down) == (3, 4)
    assert it.enforcer.outcomes == {Reason.NORMAL: 1}


def test_a_flow_that_lives_for_a_while_is_reported_as_open_once() -> None:
    it = desk()
    flow = it.open()
    flow.address = ipaddress.ip_address("10.0.0.5")
    it.clock.advance(1.5)
    it.enforcer.tick()
    assert len(it.enforcer.records) == 0  # the resource has not accepted yet
    flow.accepted = True
    it.clock.advance(1.0)
    it.enforcer.tick()
    it.enforcer.tick()
    batch = it.enforcer.records.next_batch()
    (opened,) = batch.opened
    assert (batch.records, opened.flow, opened.address, opened.path) == ((), flow_id(1), "10.0.0.5", "relay")
    it.enforcer.records.acknowledged()
    it.clock.advance(9)
    it.enforcer.close(flow.flow, Reason.NORMAL)
    (ended,) = it.records()
    assert (ended.started_ms, ended.token) == (opened.started_ms, opened.token)
    assert ended.token
    assert ended.ended_ms - ended.started_ms == 11_500


def test_an_open_flow_is_reported_again_when_its_bytes_have_grown() -> None:
    it = desk()
    flow = it.open()
    flow.accepted = True
    said: list[list[tuple[int, int]]] = []
    for moment, traffic in [(1.0, (5, 50)), (10.0, (5, 50)), (10.0, (6, 70)), (10.0, (6, 70))]:
        it.clock.advance(moment)
        it.traffic = traffic
        it.enforcer.tick()
        batch = it.enforcer.records.next_batch()
        said.append([(record.bytes_up, record.bytes_down) for record in batch.opened])
        it.enforcer.records.acknowledged()
    assert said == [[(5, 50)], [], [(6, 70)], []]


def test_a_short_flow_is_reported_at_its_end_only() -> None:
    it = desk()
    flow = it.open()
    flow.accepted = True
    it.clock.advance(0.9)
    it.enforcer.close(flow.flow, Reason.NORMAL)
    it.clock.advance(1)
    it.enforcer.tick()
    batch = it.enforcer.records.next_batch()
    assert (len(batch.records), batch.opened) == (1, ())


def test_each_refusal_leaves_one_record() -> None:
    it = desk()
    assert it.refusal("10.0.1.5") is Reason.NOT_A_RESOURCE
    it.clock.advance(300 + CLOCK_LEEWAY_S + 1)
    assert it.refusal() is Reason.TOKEN_EXPIRED
    assert [record.outcome for record in it.records()] == ["not_a_resource", "token_expired"]
    assert it.aborted == []


def test_before_a_proof_there_is_nobody_to_record() -> None:
    it = desk()
    stranger = Origin(2, RELAY, WORLD.admission())
    with pytest.raises(RemoteError) as caught:
        it.enforcer.open(header("10.0.0.5"), stranger, lambda _reason: None)
    assert caught.value.reason is Reason.PROOF_MISSING
    assert it.records() == []


def test_a_refused_proof_is_recorded_when_its_token_is_genuine() -> None:
    it = desk()
    access: Access = verify_access(
        WORLD.access(WHITELIST), keys=WORLD.keys, issuer=WORLD.issuer, connector=CONNECTOR, now=NOW
    )
    it.enforcer.proof_refused(RefusedProofError(Reason.PROOF_INVALID, "", access), flow_id(9), RELAY)
    it.enforcer.proof_refused(RefusedProofError(Reason.TOKEN_SIGNATURE, "", None), flow_id(10), RELAY)
    (record,) = it.records()
    assert (record.device, record.outcome, record.transport) == (DEVICE, "proof_invalid", "proof")
    assert it.enforcer.outcomes == {Reason.PROOF_INVALID: 1, Reason.TOKEN_SIGNATURE: 1}


def test_the_lease_counts_from_the_last_word_of_the_controller() -> None:
    it = desk()
    it.open()
    it.clock.advance(60)
    it.enforcer.tick()
    assert it.aborted == []
    it.enforcer.heard(it.clock.monotonic())
    it.clock.advance(60)
    it.enforcer.tick()
    assert it.aborted == []
    it.clock.advance(0.5)
    it.enforcer.tick()
    assert it.aborted == [(1, Reason.LEASE_EXPIRED)]
    assert it.refusal(number=2) is Reason.LEASE_EXPIRED
    it.enforcer.heard(it.clock.monotonic() - 1000)
    assert it.refusal(number=3) is Reason.LEASE_EXPIRED
    assert [record.outcome for record in it.records()] == ["lease_expired"] * 3


def test_grants_that_end_in_time_end_their_flows() -> None:
    it = desk(acl(entry("10.0.0.5", expires=NOW + 20)))
    it.open()
    it.clock.advance(19.9)
    it.enforcer.tick()
    assert it.aborted == []
    it.clock.advance(0.1)
    it.enforcer.tick()
    assert it.aborted == [(1, Reason.GRANT_EXPIRED)]


def test_a_renewal_is_applied_once_it_is_one() -> None:
    it = desk()
    it.open()
    it.enforcer.renewed(it.origin)
    assert it.aborted == []
    narrower = WORLD.proof(WORLD.access(acl(entry("*.corp", number=2))), number=2)
    it.origin.admission.receive_proof(narrower, keys=WORLD.keys, now=it.clock.monotonic(), wall=it.clock.wall())
    it.enforcer.renewed(it.origin)
    assert it.aborted == [(1, Reason.ACCESS_REVOKED)]


def test_names_are_permitted_or_recorded() -> None:
    it = desk()
    it.enforcer.permit_name(header("db.corp", None, kind="resolve"), it.origin)
    with pytest.raises(RemoteError):
        it.enforcer.permit_name(header("db.other", None, kind="resolve"), it.origin)
    (record,) = it.records()
    assert (record.host, record.transport, record.outcome) == ("db.other", "resolve", "not_a_resource")


def test_without_a_config_no_address_passes() -> None:
    enforcer = Enforcer(connector=CONNECTOR, network=NETWORK, clock=ManualClock())
    with pytest.raises(RemoteError) as caught:
        enforcer.check_egress(ipaddress.ip_address("10.0.0.5"), 80)
    assert caught.value.reason is Reason.UNAVAILABLE
    enforcer.tick()


def test_whoever_is_told_about_records_is_told() -> None:
    it = desk()
    told: list[int] = []
    it.enforcer.on_record = lambda: told.append(len(it.enforcer.records))
    it.enforcer.close(it.open().flow, Reason.NORMAL)
    assert told == [1]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("open"), st.integers(0, 9)),
            st.tuples(st.just("close"), st.integers(0, 9)),
            st.tuples(st.sampled_from(["revoke", "config", "verdict", "pass", "forged"]), st.integers(0, 3)),
        ),
        max_size=40,
    )
)
def test_s13_every_flow_and_every_refusal_has_exactly_one_record(steps: list[tuple[str, int]]) -> None:
    it, expected, revision = desk(), 0, 7
    for step, number in steps:
        before = len(it.enforcer.flows)
        match step:
            case "open":
                try:
                    it.open(number, f"10.0.0.{number}")
                except RemoteError:
                    expected += 1
            case "close":
                it.enforcer.close(flow_id(number), Reason.NORMAL)
            case "revoke":
                revision += 1
                it.enforcer.revoke(Revision(revision), [Cutoff(DEVICE, res(number), NOW + 1, "access_revoked")])
            case "config":
                revision += 1
                it.enforcer.accept_config(WORLD.config_claims(WHITELIST if number else acl(), revision=revision))
            case "verdict":
                live = [item.flow for item in it.enforcer.flows]
                it.enforcer.apply_verdict(live, live[number:])
            case "pass":
                it.clock.advance(20.0 * number)
                it.enforcer.tick()
            case "forged":
                it.enforcer.proof_refused(RefusedProofError(Reason.TOKEN_SIGNATURE, "", None), flow_id(99), RELAY)
        if step != "open":
            expected += before - len(it.enforcer.flows)
    for flow in it.enforcer.flows:
        it.enforcer.close(flow.flow, Reason.NORMAL)
        expected += 1
    assert len(it.enforcer.records) == expected
