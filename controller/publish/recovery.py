"""The table of enforcement after a restart: from what was stored, and from the log's last events."""

from collections.abc import Iterable

from controller.domain.affected import affected_by
from controller.domain.log import Change
from controller.domain.state import PolicyState
from controller.publish.enforcement import EnforcementTable
from protocol.ids import ConnectorId, DeviceId, Epoch, Revision


def restore_enforcement(
    table: EnforcementTable,
    state: PolicyState,
    recent: Iterable[Change],
    acks: Iterable[tuple[str, Epoch, Revision, float]],
) -> None:
    """Fills an empty table: who enforced what since when, and who is behind.

    An agent that was touched by one of the recent changes, and has not acknowledged it, is behind from that one on. What
    happened before them is taken as enforced if it was ever acknowledged.

    Args:
        table: of a hub that has just been made.
        state: the end of the log.
        recent: the last changes, oldest first.
        acks: agent, epoch, revision, Unix seconds.
    """
    for agent, epoch, revision, at in acks:
        if DeviceId(agent) in state.devices or ConnectorId(agent) in state.connectors:
            table.acknowledge(agent, epoch, revision, at, newest_touch=Revision(0))
    known = {line.agent: line.revision for line in table.lines()}
    for change in recent:
        affected = affected_by(change.before, change.after.state, change.event)
        agents = known.keys() if affected.everybody else (affected.devices | affected.connectors) & known.keys()
        for agent in agents:
            if known[agent] < change.position:
                table.touch(agent, change.position)
