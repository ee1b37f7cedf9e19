"""How many records an agent may report: in one message, and a client over time (T-9)."""

from typing import cast

import pytest
from flow_records import flow_record

from controller.agents.authentication import Agent
from controller.agents.record_intake import RecordIntake
from controller.agents.reports import CLIENT_RECORDS_BURST, CLIENT_RECORDS_PER_MINUTE
from controller.agents.tally import Tally
from controller.publish import AgentKind, Hub
from controller.store import Store
from protocol.control import Records
from protocol.errors import RemoteProtocolError
from protocol.limits import RECORDS_PER_MESSAGE
from protocol.reasons import Reason
from runtime.clock import ManualClock
from runtime.record_queue import RECORDS_MAX

FULL = Records(1, (flow_record(),) * RECORDS_PER_MESSAGE, ())
CLIENT, CONNECTOR = AgentKind.CLIENT, AgentKind.CONNECTOR


def an_agent(kind: AgentKind, name: str = "agent_1") -> Agent:
    return Agent(name, kind, cast("object", None))  # type: ignore[arg-type]


def an_intake(clock: ManualClock) -> RecordIntake:
    nothing = cast("object", None)
    return RecordIntake(cast("Store", nothing), cast("Hub", nothing), clock, Tally())


@pytest.mark.parametrize("kind", [CLIENT, CONNECTOR])
def test_t9_a_message_with_too_many_records_is_refused(kind: AgentKind) -> None:
    intake = an_intake(ManualClock())
    assert intake.admits(an_agent(kind), FULL)
    with pytest.raises(RemoteProtocolError) as refused:
        intake.admits(an_agent(kind), Records(1, FULL.records, (flow_record(),)))
    assert refused.value.reason is Reason.LIMIT_EXCEEDED


def test_t9_a_client_that_reports_too_much_is_put_off() -> None:
    clock = ManualClock()
    intake = an_intake(clock)
    busy = an_agent(CLIENT)
    taken = 0
    while intake.admits(busy, FULL):
        taken += RECORDS_PER_MESSAGE
    assert taken == CLIENT_RECORDS_BURST
    assert intake.admits(an_agent(CLIENT, "agent_2"), FULL)
    for _ in range(10):
        clock.advance(60)
        while intake.admits(busy, FULL):
            taken += RECORDS_PER_MESSAGE
    beyond = taken - CLIENT_RECORDS_BURST - 10 * CLIENT_RECORDS_PER_MINUTE
    assert abs(beyond) <= RECORDS_PER_MESSAGE


def test_connectors_are_not_put_off() -> None:
    """They report what all their clients do, and what they report is the evidence."""
    intake = an_intake(ManualClock())
    assert all(intake.admits(an_agent(CONNECTOR), FULL) for _ in range(2 * RECORDS_MAX // RECORDS_PER_MESSAGE))
