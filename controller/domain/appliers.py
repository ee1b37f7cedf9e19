"""How folds are registered by the type of their event, without losing types on the way."""

from collections.abc import Callable
from typing import Any, TypeVar

from controller.domain.events import Event
from controller.domain.state import PolicyState

E = TypeVar("E", bound=Event)
Appliers = dict[type[Event], Callable[[PolicyState, Any, int], PolicyState]]


def applies(
    appliers: Appliers, event: type[E]
) -> Callable[[Callable[[PolicyState, E, int], PolicyState]], Callable[[PolicyState, E, int], PolicyState]]:
    """Registers the decorated function ``(state, event, at_ms)`` for ``event``."""

    def register(
        function: Callable[[PolicyState, E, int], PolicyState],
    ) -> Callable[[PolicyState, E, int], PolicyState]:
        appliers[event] = function
        return function

    return register
