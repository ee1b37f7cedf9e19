"""Held SYNs (design C10): kept unanswered until the resource has accepted, with a bound and a deadline.

One request is in flight per flow however often the application retransmits; a retransmit replaces the kept frame, because
its timestamp option is the one that the answer has to echo.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic

from client.core.flows import AnyFlow
from protocol.limits import HELD_FLOWS_MAX, HOLD_DEADLINE_S


@dataclass(slots=True)
class _Held(Generic[AnyFlow]):
    flow: AnyFlow
    frame: bytes
    until: float


class HoldTable(Generic[AnyFlow]):
    """At most HELD_FLOWS_MAX flows with their newest SYN, oldest first."""

    def __init__(self, *, held_max: int = HELD_FLOWS_MAX) -> None:
        self._max = held_max
        self._held: OrderedDict[bytes, _Held[AnyFlow]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def full(self) -> bool:
        """Another flow would not be taken."""
        return len(self._held) >= self._max

    def hold(self, flow: AnyFlow, frame: bytes, now: float) -> None:
        """Keeps the first SYN of ``flow``. The caller has looked at ``full``."""
        self._held[flow.key] = _Held(flow, frame, now + HOLD_DEADLINE_S)

    def retransmitted(self, key: bytes, frame: bytes) -> bool:
        """Replaces the kept frame; False when this flow is not held. The deadline stays."""
        held = self._held.get(key)
        if held is None:
            return False
        held.frame = frame
        return True

    def find(self, key: bytes) -> AnyFlow | None:
        """Returns the held flow with this key."""
        held = self._held.get(key)
        return None if held is None else held.flow

    def take(self, flow: AnyFlow) -> bytes | None:
        """Ends the hold and returns the newest SYN; None when ``flow`` is not held (any more)."""
        held = self._held.get(flow.key)
        if held is None or held.flow is not flow:
            return None
        del self._held[flow.key]
        return held.frame

    def expired(self, now: float) -> list[AnyFlow]:
        """Returns the flows past their deadline; they are still held, so that they can be refused."""
        found = []
        for held in self._held.values():
            if held.until > now:
                break
            found.append(held.flow)
        return found

    def deadline(self) -> tuple[float, str] | None:
        """End of the oldest hold."""
        return next(((held.until, "hold") for held in self._held.values()), None)
