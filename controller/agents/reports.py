"""Connection records as they may be stored: an agent speaks for itself only (T-17).

A connector reports flows through itself, a client its own flows. Who they are comes from the authenticated connection; a
record that names another agent breaks the protocol. A record of a device that the log does not know, or of somebody who does
not own the device, is left out. Clients are rationed: what one of them reports must not push out what others did.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from controller.agents.authentication import Agent
from controller.domain.state import PolicyState
from controller.publish import AgentKind
from protocol.control import ConnectionRecord, Records
from protocol.errors import RemoteProtocolError
from protocol.ids import ConnectorId, FlowId, RelayId, ResourceId, Revision
from protocol.limits import CLOCK_LEEWAY_S, RECORDS_PER_MESSAGE
from protocol.reasons import Reason

CLIENT_RECORDS_PER_MINUTE: Final = 1_200
CLIENT_RECORDS_BURST: Final = 10_000
"""A client that comes back after long has 5,000 at most."""
TEXT_MAX: Final = 256
"""Characters of each text of a record."""
GRANTS_MAX: Final = 256


def check_size(message: Records) -> None:
    """Raises RemoteProtocolError when a message has more records than any agent of ours puts into one (T-9)."""
    count = len(message.records) + len(message.opened)
    if count > RECORDS_PER_MESSAGE:
        raise RemoteProtocolError(f"{count} records in a message", Reason.LIMIT_EXCEEDED)


def latest_ms(now: float) -> int:
    """Returns the latest time that a client may tell of, in Unix milliseconds."""
    return round((now + CLOCK_LEEWAY_S) * 1000)


def own_records(
    state: PolicyState, agent: Agent, records: Sequence[ConnectionRecord], now: float
) -> tuple[ConnectionRecord, ...]:
    """Returns the records that may be stored, with identities as the controller knows them. Raises RemoteProtocolError."""
    if agent.kind is not AgentKind.CLIENT:
        return tuple(
            [kept for record in records if (kept := _of_connector(state, agent, _bounded(record))) is not None]
        )
    latest = latest_ms(now)
    found = (_of_client(state, agent, _bounded(record)) for record in records)
    # The start tells records of one flow apart: one that cannot be true is left out, for if it were cut it would be another
    # one whenever it comes again.
    return tuple([_timely(kept, latest) for kept in found if kept is not None and kept.started_ms <= latest])


def _timely(record: ConnectionRecord, latest: int) -> ConnectionRecord:
    """No flow ends before it began, or in the time to come, for which it would outlive its retention."""
    if record.started_ms <= record.ended_ms <= latest:
        return record
    return replace(record, ended_ms=max(record.started_ms, min(record.ended_ms, latest)))


def _of_client(state: PolicyState, agent: Agent, record: ConnectionRecord) -> ConnectionRecord | None:
    if record.reporter != "client" or record.device != agent.id:
        raise RemoteProtocolError(f"{agent.id} reports for {record.reporter} {record.device}")
    device = state.devices.get(record.device)
    return record if device is not None and record.user == device.owner.id else None


def _of_connector(state: PolicyState, agent: Agent, record: ConnectionRecord) -> ConnectionRecord | None:
    connector = state.connectors.get(ConnectorId(agent.id))
    if record.reporter != "connector" or record.connector not in (None, agent.id):
        raise RemoteProtocolError(f"{agent.id} reports for {record.reporter} {record.connector}")
    if connector is None:
        return None
    if record.network not in (None, connector.network):
        raise RemoteProtocolError(f"{agent.id} reports for network {record.network}")
    device = state.devices.get(record.device)
    if device is None:
        if record.device not in state.former_agents:
            return None
    elif record.user != device.owner.id:
        # The device changed hands since: nothing that the connector did wrong, and nothing that can be told of anybody.
        return None
    if record.connector is None or record.network is None:
        return replace(record, connector=connector.id, network=connector.network)
    return record


def _bounded(record: ConnectionRecord) -> ConnectionRecord:
    """Texts that a hostile client chose travel through an honest connector: they are cut, not refused (T-74)."""
    if _is_bounded(record):
        return record
    return replace(
        record,
        flow=FlowId(_clean(record.flow)),
        resource=ResourceId(_clean(record.resource)) if record.resource is not None else None,
        relay=RelayId(_clean(record.relay)) if record.relay is not None else None,
        user=_clean(record.user),
        host=_clean(record.host),
        address=_clean(record.address),
        transport=_clean(record.transport),
        outcome=_clean(record.outcome),
        token=_clean(record.token),
        path=_clean(record.path),
        grants=tuple(_clean(grant) for grant in record.grants[:GRANTS_MAX]),
        port=record.port if record.port is None or 0 <= record.port <= 65535 else None,
        started_ms=max(0, record.started_ms),
        ended_ms=max(0, record.ended_ms),
        bytes_up=max(0, record.bytes_up),
        bytes_down=max(0, record.bytes_down),
        revision=Revision(max(0, record.revision)),
    )


def _is_bounded(record: ConnectionRecord) -> bool:
    """Nearly every record is: one look at all its texts together, because there are thousands in a second."""
    texts = (
        record.flow,
        record.user,
        record.host,
        record.address,
        record.transport,
        record.outcome,
        record.token,
        record.path,
        record.resource or "",
        record.relay or "",
        *record.grants,
    )
    return (
        "".join(texts).isprintable()
        and max(map(len, texts)) <= TEXT_MAX
        and len(record.grants) <= GRANTS_MAX
        and min(record.started_ms, record.ended_ms, record.bytes_up, record.bytes_down, record.revision) >= 0
        and 0 <= (record.port or 0) <= 65535
    )


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:TEXT_MAX])
