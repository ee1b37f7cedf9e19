"""Which ways lead to a remote network now, best first (C11).

A connector counts as attached to a relay when it says so over its own connection, to whichever replica, or when the relay
reports its hash. Connectors with fewer flows come first, among equals a hash of device and connector spreads devices over
them; so do relays by their pairs. Connectors take turns in the list, so that the
second path is another connector where there is one. Pins are those that the log knows (D3): a connector proves a new key
before it is named, so that what it says of itself in heartbeats is for people.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Final

from controller.agents.presence import Presence
from controller.domain.connector_keys import pins_of
from controller.domain.model import Connector, Relay
from controller.domain.state import PolicyState
from controller.publish import Hop
from protocol.ids import DeviceId, NetworkId, relay_hash

PATHS_MAX: Final = 8
LOAD_STEP: Final = 16
"""Flows per class of load: small differences must not move every new client to one connector."""
RELAY_LOAD_STEP: Final = 64
"""Pairs per class of load of a relay."""


def paths_to(
    state: PolicyState, presence: Presence, network: NetworkId, device: DeviceId, now: float
) -> tuple[Hop, ...]:
    """Returns at most PATHS_MAX paths; none when no connector of the network is attached to any relay."""
    connectors = [state.connectors[connector] for connector in state.connectors_in.get(network, ())]
    enrolled = [connector for connector in connectors if connector.key is not None]
    if len(enrolled) > 1:
        enrolled.sort(key=lambda connector: _rank(presence, connector, device))
    ways = [list(_hops(state, presence, connector, device, now)) for connector in enrolled]
    rounds = zip_longest(*(hops for hops in ways if hops))
    return tuple(hop for one in rounds for hop in one if hop is not None)[:PATHS_MAX]


def direct_ways(presence: Presence, hops: Iterable[Hop]) -> Mapping[str, tuple[str, ...]]:
    """Returns where the connectors of ``hops`` listen themselves, as far as any does, by their ids."""
    lines = (presence.connector(connector) for connector in dict.fromkeys(hop.connector.id for hop in hops))
    return {line.agent: line.direct for line in lines if line is not None and line.direct}


def _rank(presence: Presence, connector: Connector, device: DeviceId) -> tuple[bool, int, bytes]:
    line = presence.connector(connector.id)
    load = line.flows // LOAD_STEP if line is not None else 0
    # One that is attached to no replica is the last resort: it is cut off from the controller.
    return line is None, load, _spread(device, connector.id)


def _hops(state: PolicyState, presence: Presence, connector: Connector, device: DeviceId, now: float) -> Iterator[Hop]:
    line = presence.connector(connector.id)
    hashed = relay_hash(connector.id)
    claimed = line.relays if line is not None else ()
    pins = pins_of(connector, now)
    usable: list[tuple[bool, int, Relay]] = []
    for relay in state.relays.values():
        seen = presence.relay(relay.id, now)
        reported = seen is not None and hashed in seen.attachments
        if relay.key is not None and pins and (reported or relay.id in claimed):
            pairs = seen.report.pairs if seen is not None and seen.report is not None else 0
            usable.append((not reported, pairs // RELAY_LOAD_STEP, relay))
    if len(usable) > 1:
        usable.sort(key=lambda item: (*item[:2], _spread(device, item[2].id)))
    for *_, relay in usable:
        yield Hop(connector, pins, relay)


def _spread(device: DeviceId, other: str) -> bytes:
    return hashlib.sha256(f"{device} {other}".encode()).digest()
