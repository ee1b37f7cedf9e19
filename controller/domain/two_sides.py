"""What client and connector say of one flow, held against each other: an honest pair cannot differ in these ways.

Nothing is decided by it. Whoever audits sees which records do not agree, and so cannot both be true (T-9, T-17): one of the two
hides something, was changed, or has a defect.
"""

from typing import Final, Literal

from protocol.acl.model import Transport
from protocol.control import ConnectionRecord
from protocol.reasons import Reason

Difference = Literal["bytes", "connector", "outcome", "target"]
DIFFERENCES: Final[tuple[Difference, ...]] = ("bytes", "connector", "outcome", "target")
"""bytes: more came out at one end than went in at the other, or an orderly end with unequal numbers; connector: the client names
another one; outcome: only one side says that the flow was served to its end; target: another resource, host, port or protocol."""

_NORMAL: Final = Reason.NORMAL.code
_UNKNOWN: Final = Reason.END_UNKNOWN.code


def differences(connector: ConnectionRecord, client: ConnectionRecord, *, over: bool) -> tuple[Difference, ...]:
    """Returns in what the records of one flow contradict each other.

    Args:
        connector: the connector's record.
        client: the client's.
        over: both have reported the end; while one has not, bytes and outcomes are still under way.
    """
    found: list[Difference] = []
    ends_known = over and _UNKNOWN not in (connector.outcome, client.outcome)
    if ends_known and not _bytes_agree(connector, client):
        found.append("bytes")
    if client.connector not in (None, connector.connector):
        found.append("connector")
    # Reasons other than `normal` may well be unlike: each side tells what it saw first.
    if ends_known and (connector.outcome == _NORMAL) != (client.outcome == _NORMAL):
        found.append("outcome")
    if not _same_target(connector, client):
        found.append("target")
    return tuple(found)


def _bytes_agree(connector: ConnectionRecord, client: ConnectionRecord) -> bool:
    """Bytes may be lost at the end of a flow, datagrams at any time; none can appear."""
    if connector.bytes_up > client.bytes_up or client.bytes_down > connector.bytes_down:
        return False
    orderly = connector.transport == Transport.TCP.value and connector.outcome == client.outcome == _NORMAL
    return not orderly or (connector.bytes_up, connector.bytes_down) == (client.bytes_up, client.bytes_down)


def _same_target(connector: ConnectionRecord, client: ConnectionRecord) -> bool:
    if (connector.host, connector.transport, connector.port) != (client.host, client.transport, client.port):
        return False
    # Who was refused may not be told what is there: a side that names no resource contradicts nobody.
    return connector.resource == client.resource or None in (connector.resource, client.resource)
