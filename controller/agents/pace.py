"""How often agents beat: often while that costs nothing, less often where thousands of clients do nothing else (F-3).

Connectors keep HEARTBEAT_INTERVAL_S whatever their number: a dead one must not be named in authorisations, and revocations must
reach it. A client that vanished is only shown as attached for longer.
"""

from typing import Final

from controller.publish import AgentKind
from protocol.limits import HEARTBEAT_INTERVAL_S, HEARTBEAT_SLOWEST_S

HEARTBEATS_PER_S: Final = 300
"""Of all clients of one process together: some percent of one core."""


def heartbeat_interval(kind: AgentKind, attached: int) -> float:
    """Returns how many seconds an agent is to leave between two heartbeats where ``attached`` agents are attached."""
    if kind is AgentKind.CONNECTOR:
        return HEARTBEAT_INTERVAL_S
    return min(max(HEARTBEAT_INTERVAL_S, attached / HEARTBEATS_PER_S), HEARTBEAT_SLOWEST_S)
