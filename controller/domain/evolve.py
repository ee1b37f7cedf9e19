"""``evolve(state, event, position, at_ms)``: the next state. Pure, total over EVENT_TYPES, and trusts the event.

Events were decided before they were stored; evolve checks nothing again, so that an old log folds for ever even when the
rules of ``decide`` became stricter.
"""

from collections.abc import Iterable
from typing import Final

from controller.domain import (
    evolve_connector_keys,
    evolve_connector_tests,
    evolve_control,
    evolve_passkeys,
    evolve_people,
    evolve_personal,
    evolve_places,
    evolve_policies,
    evolve_requests,
    evolve_sign_in,
    evolve_sinks,
    evolve_tokens,
)
from controller.domain.appliers import Appliers
from controller.domain.events import Event
from controller.domain.state import PolicyState, changed
from protocol.errors import LocalError
from protocol.ids import Revision
from protocol.reasons import Reason

HANDLERS: Final[Appliers] = {
    **evolve_control.HANDLERS,
    **evolve_places.HANDLERS,
    **evolve_people.HANDLERS,
    **evolve_personal.HANDLERS,
    **evolve_policies.HANDLERS,
    **evolve_sign_in.HANDLERS,
    **evolve_tokens.HANDLERS,
    **evolve_requests.HANDLERS,
    **evolve_sinks.HANDLERS,
    **evolve_passkeys.HANDLERS,
    **evolve_connector_tests.HANDLERS,
    **evolve_connector_keys.HANDLERS,
}


def evolve(state: PolicyState, event: Event, position: int, at_ms: int) -> PolicyState:
    """Folds one event. ``position`` must be the next one: a gap would be a lost revocation (D6, T-7).

    Raises:
        LocalError: STATE_CORRUPT when the position is not the next one.
    """
    if position != state.position + 1:
        raise LocalError(Reason.STATE_CORRUPT, f"event {position} follows event {state.position}")
    after = HANDLERS[type(event)](state, event, at_ms)
    stream = event.stream
    versions = after.versions.set(stream, after.versions.get(stream, 0) + 1)
    return changed(after, position=Revision(position), at_ms=at_ms, versions=versions)


def fold(state: PolicyState, events: Iterable[tuple[int, Event, int]]) -> PolicyState:
    """Folds ``(position, event, at_ms)`` in order."""
    for position, event, at_ms in events:
        state = evolve(state, event, position, at_ms)
    return state
