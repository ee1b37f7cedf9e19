"""How decisions are registered by the type of their command, without losing types on the way."""

from collections.abc import Callable
from typing import Any, TypeVar

from controller.domain.commands import Command
from controller.domain.events import Event
from controller.domain.state import PolicyState

C = TypeVar("C", bound=Command)
Decided = tuple[str, tuple[Event, ...]]
"""The stream that the command is about, and its events."""
Handlers = dict[type[Command], Callable[[PolicyState, Any], Decided]]


def about(stream: str, *events: Event) -> Decided:
    """Names the stream whose version ``expected_version`` is compared with."""
    return stream, events


def handles(
    handlers: Handlers, command: type[C]
) -> Callable[[Callable[[PolicyState, C], Decided]], Callable[[PolicyState, C], Decided]]:
    """Registers the decorated function for ``command``."""

    def register(function: Callable[[PolicyState, C], Decided]) -> Callable[[PolicyState, C], Decided]:
        handlers[command] = function
        return function

    return register
