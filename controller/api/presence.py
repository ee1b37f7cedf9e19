"""What the API shows about agents and relays that are, or were, connected: the port to ``controller.publish``."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AgentPresence:
    """What is known about one client or connector. Times are Unix seconds."""

    online: bool
    since: float | None = None
    software: str = ""
    hostname: str = ""
    clock_offset_ms: int | None = None
    relays: tuple[str, ...] = ()
    flows: int = 0
    tunnels: int = 0
    enforced_revision: int = 0
    enforced_at: float | None = None
    pending_revision: int | None = None
    """The first revision that touched it and that it does not enforce yet."""


@dataclass(frozen=True, slots=True)
class RelayPresence:
    """What is known about one relay."""

    online: bool
    since: float | None = None
    software: str = ""
    clock_offset_ms: int | None = None
    attachments: int = 0
    parked: int = 0
    pairs: int = 0
    bytes_copied: int = 0


OFFLINE = AgentPresence(online=False)
RELAY_OFFLINE = RelayPresence(online=False)


class Presence(Protocol):
    """Answers from memory; never waits."""

    def agent(self, agent: str) -> AgentPresence:
        """The client (by device id) or connector; OFFLINE when nothing is known."""
        ...

    def relay(self, relay: str) -> RelayPresence:
        """The relay; RELAY_OFFLINE when nothing is known."""
        ...


class Nobody:
    """A controller without agents: the command line's, and the API's own tests'."""

    def agent(self, agent: str) -> AgentPresence:
        return OFFLINE

    def relay(self, relay: str) -> RelayPresence:
        return RELAY_OFFLINE
