"""What replicas share about agents, so that any of them answers for all.

Each round says that this replica lives and what has changed about its agents, and reads what the others said. An agent that
came to another replica has left this one, whether its connection here knows that already or not: it is ended as a second
connection here would end it (T-20's rule). A replica that falls silent takes its agents along with it.

Without the database nobody learns anything new, and what is known stays: agents' connections do not need it (C24).
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from typing import Final

import structlog

from controller.agents.presence import AgentPresence, Presence
from controller.publish import AgentKind, Hub
from controller.store import Store, replicas
from controller.store.replicas import Held
from protocol.acl.model import IPAddress
from protocol.ids import DeviceId, RelayId, SpkiPin
from protocol.version import SOFTWARE
from runtime.clock import Clock

ROUND_S: Final = 1.0
FULL_EVERY: Final = 30
"""Rounds between two readings of everything."""
LOAD_EVERY_S: Final = 10.0
"""How often an agent's load alone is worth telling: flows, tunnels, clock."""
CLAIMS_MAX: Final = 2_000
"""Agents told in one transaction."""

_log = structlog.get_logger(__name__)


class Sharing:
    """One per process, for stores that are shared. ``replica`` names this process among the others."""

    def __init__(
        self, store: Store, presence: Presence, hub: Hub, clock: Clock, *, replica: str, hostname: str
    ) -> None:
        self._store = store
        self._presence = presence
        self._hub = hub
        self._clock = clock
        self._replica = replica
        self._hostname = hostname
        self._told: dict[str, tuple[AgentPresence, float]] = {}
        self._others: dict[str, tuple[str, AgentPresence]] = {}
        self._places: dict[DeviceId, str | None] = {}
        self._read_up_to: float | None = None
        self._rounds = 0

    async def round(self) -> None:
        """Tells and hears once. Raises LocalError(UNAVAILABLE)."""
        await self._tell()
        await self._hear()

    async def leave(self) -> None:
        """Says that this replica ends: its agents are elsewhere soon. Raises LocalError(UNAVAILABLE)."""
        async with self._store.transact() as connection:
            await replicas.leave(connection, self._replica)

    async def _tell(self) -> None:
        now = self._clock.monotonic()
        here = dict(self._presence.here())
        new, changed = self._news(here, now)
        gone = [(agent, _attachment(line)) for agent, (line, _) in self._told.items() if agent not in here]
        async with self._store.transact() as connection:
            await replicas.beat(connection, self._replica, hostname=self._hostname, software=SOFTWARE)
            await replicas.claim(connection, self._replica, _held(new))
        # Each in a transaction of its own, in order of the agents: replicas never wait for each other in a circle.
        if changed:
            async with self._store.transact() as connection:
                lost = await replicas.refresh(connection, self._replica, _held(changed))
            self._end(lost)
        if gone:
            async with self._store.transact() as connection:
                await replicas.release(connection, self._replica, gone)
        for agent, _ in gone:
            del self._told[agent]
        for line in (*new, *changed):
            self._told[line.agent] = (line, now)
        for line in new:
            self._others.pop(line.agent, None)

    def _news(self, here: dict[str, AgentPresence], now: float) -> tuple[list[AgentPresence], list[AgentPresence]]:
        new: list[AgentPresence] = []
        changed: list[AgentPresence] = []
        for agent, line in here.items():
            told, at = self._told.get(agent, (None, 0.0))
            if told is None or told.since != line.since:
                new.append(line)
            elif _steady(told) != _steady(line) or (now - at >= LOAD_EVERY_S and _load(told) != _load(line)):
                changed.append(line)
        return new[:CLAIMS_MAX], changed[:CLAIMS_MAX]

    async def _hear(self) -> None:
        full = self._rounds % FULL_EVERY == 0
        self._rounds += 1
        async with self._store.read() as connection:
            living = {item.id for item in await replicas.living(connection)}
            rows = await replicas.held_elsewhere(connection, self._replica, None if full else self._read_up_to)
        if full:
            self._others.clear()
        for row in rows:
            self._read_up_to = max(self._read_up_to or 0.0, row.changed)
            if row.online:
                self._others[row.agent] = (row.replica, _line(row.agent, row.line))
            else:
                self._others.pop(row.agent, None)
        alive = {agent: line for agent, (replica, line) in self._others.items() if replica in living}
        self._presence.elsewhere(alive)
        self._place(alive.values(), again=full)
        self._end(agent for agent in alive if agent in self._told)

    def _place(self, lines: Iterable[AgentPresence], *, again: bool) -> None:
        """Conditions ask where devices are: this replica's connectors must hear of those that are attached elsewhere too."""
        places = {DeviceId(line.agent): line.address for line in lines if line.kind is AgentKind.CLIENT}
        for device in self._places.keys() - places.keys():
            self._hub.left_elsewhere(device)
        told: dict[DeviceId, str | None] = {}
        for device, address in places.items():
            new = again or device not in self._places or self._places[device] != address
            # While an old connection hangs here, it is said again each round.
            if not new or self._hub.seen_elsewhere(device, _address(address)):
                told[device] = address
        self._places = told

    def _end(self, agents: Iterable[str]) -> None:
        """These were claimed by another replica after this one had claimed them: their connections here are old."""
        for agent in list(agents):
            told = self._told.get(agent)
            line = self._presence.here().get(agent)
            if told is not None and line is not None and line.since == told[0].since:
                _log.info("agent.moved", agent=agent)
                self._hub.moved(agent)


def _attachment(line: AgentPresence) -> str:
    return repr(line.since)


def _held(lines: Iterable[AgentPresence]) -> list[Held]:
    return [Held(line.agent, _attachment(line), _text(line)) for line in lines]


def _load(line: AgentPresence) -> tuple[int, int, int]:
    return line.flows, line.tunnels, line.clock_offset_ms // 100


def _steady(line: AgentPresence) -> AgentPresence:
    return replace(line, last_seen=0.0, flows=0, tunnels=0, clock_offset_ms=0)


def _text(line: AgentPresence) -> str:
    return json.dumps(
        {
            "kind": line.kind.value,
            "since": line.since,
            "last_seen": line.last_seen,
            "software": line.software,
            "hostname": line.hostname,
            "clock_offset_ms": line.clock_offset_ms,
            "pin": line.pin,
            "next_pin": line.next_pin,
            "relays": line.relays,
            "flows": line.flows,
            "tunnels": line.tunnels,
            "address": line.address,
            "direct": line.direct,
        },
        separators=(",", ":"),
    )


def _line(agent: str, text: str) -> AgentPresence:
    said = json.loads(text)
    return AgentPresence(
        agent,
        AgentKind(said["kind"]),
        since=said["since"],
        last_seen=said["last_seen"],
        software=said["software"],
        hostname=said["hostname"],
        clock_offset_ms=said["clock_offset_ms"],
        pin=SpkiPin(said["pin"]) if said["pin"] is not None else None,
        next_pin=SpkiPin(said["next_pin"]) if said["next_pin"] is not None else None,
        relays=tuple(RelayId(relay) for relay in said["relays"]),
        flows=said["flows"],
        tunnels=said["tunnels"],
        address=said["address"],
        # A replica of the version before does not say it.
        direct=tuple(said.get("direct", ())),
    )


def _address(text: str | None) -> IPAddress | None:
    try:
        return ip_address(text.partition("%")[0]) if text is not None else None
    except ValueError:
        return None
