"""Decisions about sinks: each leaves its trace in the log."""

from typing import Final

from controller.domain import commands_sinks as s
from controller.domain import events as e
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.rules import RuleBrokenError
from controller.domain.state import PolicyState
from protocol.ids import is_id
from protocol.reasons import Reason

HANDLERS: Handlers = {}

TEXT_MAX: Final = 512


@handles(HANDLERS, s.AddSink)
def _add(_: PolicyState, command: s.AddSink) -> Decided:
    if not is_id(command.sink, "sink"):
        raise RuleBrokenError(Reason.INVALID_INPUT, "sink: it is not an id of a sink")
    for name in ("name", "kind", "destination", "content"):
        text = getattr(command, name)
        if not text or len(text) > TEXT_MAX or not text.isprintable():
            raise RuleBrokenError(Reason.INVALID_INPUT, f"{name}: 1 to {TEXT_MAX} printable characters")
    event = e.SinkCreated(command.sink, command.name, command.kind, command.destination, command.content)
    return about(command.sink, event)


@handles(HANDLERS, s.RemoveSink)
def _remove(_: PolicyState, command: s.RemoveSink) -> Decided:
    return about(command.sink, e.SinkRemoved(command.sink, command.name))
