"""``decide(state, command)``: the events that a command leads to, or why not. Pure and total.

The rules per noun are in ``decide_control``, ``decide_places`` and ``decide_people``; each is registered here by the type
of its command. An empty tuple means that what was asked is already so.
"""

from controller.domain import (
    decide_connector_keys,
    decide_connector_tests,
    decide_control,
    decide_passkeys,
    decide_people,
    decide_personal,
    decide_places,
    decide_policies,
    decide_requests,
    decide_sign_in,
    decide_sinks,
    decide_tokens,
)
from controller.domain.commands import Command
from controller.domain.events import Event
from controller.domain.rules import Refusal, RuleBrokenError, printable
from controller.domain.state import PolicyState
from protocol.reasons import Reason

__all__ = ["Refusal", "decide"]

_HANDLERS = {
    **decide_control.HANDLERS,
    **decide_places.HANDLERS,
    **decide_people.HANDLERS,
    **decide_personal.HANDLERS,
    **decide_policies.HANDLERS,
    **decide_sign_in.HANDLERS,
    **decide_tokens.HANDLERS,
    **decide_requests.HANDLERS,
    **decide_connector_keys.HANDLERS,
    **decide_sinks.HANDLERS,
    **decide_passkeys.HANDLERS,
    **decide_connector_tests.HANDLERS,
}


def decide(state: PolicyState, command: Command) -> tuple[Event, ...] | Refusal:
    """Applies the rules.

    Refusal reasons: NOT_FOUND, ALREADY_EXISTS, IN_USE, LAST_OWNER, INVALID_INPUT, and CONFLICT when
    ``command.expected_version`` is not the version of the stream that would change.
    """
    try:
        stream, events = _HANDLERS[type(command)](state, command)
    except RuleBrokenError as broken:
        return broken.refusal
    expected = command.expected_version
    if expected is not None and expected != state.version_of(stream):
        return Refusal(Reason.CONFLICT, f"{printable(stream)} is at version {state.version_of(stream)}")
    return events
