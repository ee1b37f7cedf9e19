"""What there is and how it does, added up: the parts of the home page."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from controller.api.presence import Presence
from controller.api.schemas.common import from_ms
from controller.api.schemas.summary import Step, SummaryBucket, SummaryCount
from controller.domain.state import PolicyState
from controller.store.record_counts import Counted
from protocol.reasons import Reason

TROUBLED_MAX: Final = 10
_DENIED: Final = frozenset(reason.code for reason in Reason if 20 <= reason.number <= 69)
"""Policy, tokens and proofs: somebody decided that it must not be."""


@dataclass(frozen=True, slots=True)
class Places:
    """The health of what carries traffic."""

    networks: SummaryCount
    connectors: SummaryCount
    relays: SummaryCount


def places(state: PolicyState, presence: Presence) -> Places:
    """Adds up networks, connectors and relays."""
    online = {item for item in state.connectors if presence.agent(item).online}
    reachable = {state.connectors[item].network for item in online}
    relays = {item for item in state.relays if presence.relay(item).online}
    return Places(count(state.networks, reachable), count(state.connectors, online), count(state.relays, relays))


def count(all_of_them: Iterable[str], well: Collection[str], *, tell: bool = True) -> SummaryCount:
    """Counts, and names the first that are not well."""
    everything = sorted(all_of_them)
    troubled = [item for item in everything if item not in well]
    healthy = len(everything) - len(troubled)
    return SummaryCount(total=len(everything), healthy=healthy, troubled=troubled[:TROUBLED_MAX] if tell else [])


def next_step(state: PolicyState, here: Places) -> Step:
    """The first thing that is missing on the way to a first connection."""
    if not state.networks:
        return "network"
    if not state.connectors:
        return "connector"
    if not here.connectors.healthy:
        return "connector_online"
    if not here.relays.healthy:
        return "relay"
    if not state.resources:
        return "resource"
    if not state.grants:
        return "grant"
    return "connection" if state.devices else "client"


def buckets(counted: Sequence[Counted]) -> list[SummaryBucket]:
    """Sorts outcomes into allowed, denied and failed."""
    found: dict[int, list[int]] = {}
    for item in counted:
        numbers = found.setdefault(item.start_ms, [0, 0, 0])
        kind = 0 if item.outcome == Reason.NORMAL.code else 1 if item.outcome in _DENIED else 2
        numbers[kind] += item.count
    return [
        SummaryBucket(start=from_ms(start), allowed=allowed, denied=denied, failed=failed)
        for start, (allowed, denied, failed) in sorted(found.items())
    ]


def denied_outcomes() -> list[str]:
    """The outcomes that are denials."""
    return sorted(_DENIED)
