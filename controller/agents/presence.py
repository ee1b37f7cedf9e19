"""Who is there: agents attached to this replica or another one, and relays with what they report. In memory (design
section 4); ``agents.sharing`` brings in what the other replicas know, every replica talks to every relay itself.

What agents say about themselves here (relays, load, software) chooses between paths and is shown to admins; it never gives
access.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from controller.publish import AgentKind
from protocol.control import Heartbeat, Hello
from protocol.direct import parse_all_untrusted
from protocol.errors import RemoteError
from protocol.ids import ConnectorHash, ConnectorId, RelayId, SpkiPin
from protocol.limits import AGENT_STALL_S
from protocol.rendezvous import RelayReport
from protocol.tokens.keys import parse_pin_untrusted
from protocol.tokens.verify import RELAYS_MAX

TEXT_MAX: Final = 255
"""Characters of what an agent calls itself and its software."""


@dataclass(frozen=True, slots=True)
class AgentPresence:
    """One attached agent, here or at another replica. Times are Unix seconds; ``clock_offset_ms`` is its clock minus ours."""

    agent: str
    kind: AgentKind
    since: float
    last_seen: float
    software: str
    hostname: str
    clock_offset_ms: int
    pin: SpkiPin | None = None
    next_pin: SpkiPin | None = None
    relays: tuple[RelayId, ...] = ()
    flows: int = 0
    tunnels: int = 0
    address: str | None = None
    """Where its connection comes from."""
    direct: tuple[str, ...] = ()
    """A connector's: where it listens itself (``protocol.direct``)."""


@dataclass(frozen=True, slots=True)
class RelayPresence:
    """One relay with which this replica talks, and its last report."""

    relay: RelayId
    since: float
    last_seen: float
    report: RelayReport | None = None
    attachments: frozenset[ConnectorHash] = frozenset()


class Presence:
    """Who is attached and which relays answer."""

    def __init__(self) -> None:
        self._agents: dict[str, AgentPresence] = {}
        self._elsewhere: Mapping[str, AgentPresence] = {}
        self._relays: dict[RelayId, RelayPresence] = {}

    # --- agents ------------------------------------------------------------------------------------------------------

    def arrived(
        self, agent: str, kind: AgentKind, hello: Hello, now: float, *, address: str | None = None
    ) -> AgentPresence:
        """The agent said Hello."""
        offset = hello.clock_ms - round(now * 1000)
        line = AgentPresence(
            agent,
            kind,
            since=now,
            last_seen=now,
            software=_text(hello.software),
            hostname=_text(hello.hostname),
            clock_offset_ms=offset,
            pin=_pin(hello.pin),
            next_pin=_pin(hello.next_pin),
            address=address,
        )
        self._agents[agent] = line
        return line

    def heard(self, agent: str, heartbeat: Heartbeat, now: float) -> None:
        """The agent sent a heartbeat (C5)."""
        line = self._agents.get(agent)
        if line is None:
            return
        self._agents[agent] = replace(
            line,
            last_seen=now,
            clock_offset_ms=heartbeat.clock_ms - round(now * 1000),
            pin=_pin(heartbeat.pin) or line.pin,
            next_pin=_pin(heartbeat.next_pin),
            relays=heartbeat.relays[:RELAYS_MAX],
            flows=max(0, heartbeat.flows),
            tunnels=max(0, heartbeat.tunnels),
            direct=_direct(line, heartbeat),
        )

    def left(self, agent: str) -> None:
        """The agent's connection is gone and no newer one took its place."""
        self._agents.pop(agent, None)

    def elsewhere(self, lines: Mapping[str, AgentPresence]) -> None:
        """The other replicas say who is attached to them; replaces what they said before."""
        self._elsewhere = lines

    def here(self) -> Mapping[str, AgentPresence]:
        """Returns the agents attached to this replica, by id."""
        return self._agents

    def agent(self, agent: str) -> AgentPresence | None:
        """Returns what is known of an attached agent."""
        return self._agents.get(agent) or self._elsewhere.get(agent)

    def agents(self, kind: AgentKind | None = None) -> tuple[AgentPresence, ...]:
        """Returns the attached agents, sorted by id."""
        everywhere = {**self._elsewhere, **self._agents}
        return tuple(everywhere[agent] for agent in sorted(everywhere) if kind in (None, everywhere[agent].kind))

    def connector(self, connector: ConnectorId) -> AgentPresence | None:
        """Returns what is known of an attached connector."""
        return self.agent(connector)

    # --- relays ------------------------------------------------------------------------------------------------------

    def relay_connected(self, relay: RelayId, now: float) -> None:
        """The relay took our ticket."""
        self._relays[relay] = RelayPresence(relay, since=now, last_seen=now)

    def relay_reported(self, relay: RelayId, report: RelayReport, now: float) -> None:
        """The relay said what is attached to it."""
        line = self._relays.get(relay) or RelayPresence(relay, since=now, last_seen=now)
        attachments = frozenset(ConnectorHash(name) for name in report.attachments)
        self._relays[relay] = replace(line, last_seen=now, report=report, attachments=attachments)

    def relay_lost(self, relay: RelayId) -> None:
        """The connection to the relay is gone."""
        self._relays.pop(relay, None)

    def relay(self, relay: RelayId, now: float) -> RelayPresence | None:
        """Returns the relay when it was heard within AGENT_STALL_S."""
        line = self._relays.get(relay)
        return line if line is not None and now - line.last_seen <= AGENT_STALL_S else None

    def relays(self) -> tuple[RelayPresence, ...]:
        """Returns the relays that are connected, sorted by id."""
        return tuple(self._relays[relay] for relay in sorted(self._relays))


def _pin(said: SpkiPin | None) -> SpkiPin | None:
    """What is no pin is left out: clients refuse a whole authorisation with it, other connectors' paths included."""
    try:
        return None if said is None else parse_pin_untrusted(said)
    except RemoteError:
        return None


def _direct(line: AgentPresence, heartbeat: Heartbeat) -> tuple[str, ...]:
    """What can be read of it, in one form; nearly always it is what was said before."""
    if line.kind is not AgentKind.CONNECTOR or not heartbeat.direct:
        return ()
    if heartbeat.direct == line.direct:
        return line.direct
    return tuple(str(address) for address in parse_all_untrusted(heartbeat.direct))


def _text(said: str) -> str:
    """Bounded, and without what forges a line or drives a terminal where people read it (T-74)."""
    return "".join(char if char.isprintable() else "?" for char in said[:TEXT_MAX])
