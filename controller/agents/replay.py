"""Assertions are spent once: a bounded memory of the ``jti`` values seen while they could still be valid (D7)."""

from collections import OrderedDict
from typing import Final

from protocol.errors import RefusedError
from protocol.limits import CLOCK_LEEWAY_S
from protocol.reasons import Reason
from protocol.tokens.claims import Assertion

CAPACITY: Final = 100_000
"""About 20 MiB. Only verified assertions come in, and agents are limited in how often they connect."""


class ReplayCache:
    """Remembers until expiry plus leeway. This replica's; ``shared_replays.SharedReplays`` asks the others'."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def spend(self, assertion: Assertion, now: float) -> None:
        """Uses the assertion up.

        Raises:
            RefusedError: TOKEN_REVOKED when it was used before; RATE_LIMITED when nothing more can be remembered.
        """
        while self._seen and next(iter(self._seen.values())) <= now:
            self._seen.popitem(last=False)
        key = (assertion.agent, assertion.jti)
        if key in self._seen:
            raise RefusedError(Reason.TOKEN_REVOKED, "the assertion was used before")
        if len(self._seen) >= self._capacity:
            raise RefusedError(Reason.RATE_LIMITED, "too many connections")
        # Insertion order is nearly expiry order: assertions live at most a minute.
        self._seen[key] = assertion.expires + CLOCK_LEEWAY_S
