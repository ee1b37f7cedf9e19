"""What each agent was issued last, so that a client that comes back and missed nothing is sent nothing (C7, D8, F-7).

After a restart of this process that rests on stored acknowledgements: a snapshot still counts when every event since is known here
and touched its device in nothing, and neither time nor place can have changed anything either. Whatever is not known for
certain is made anew; all else about freshness stays: it is renewed at the same age as if its client had never left.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from controller.domain.evaluate import next_change_at, subject_of_device
from controller.domain.held import asks_for_source
from controller.domain.log import Change
from controller.domain.state import PolicyState
from controller.publish.attachment import AgentKind, refresh_after
from controller.publish.enforcement import EnforcementTable
from protocol.acl.model import Deny
from protocol.ids import DeviceId, Epoch, Revision

ON_THE_WAY_S: Final = 120.0
"""Longer than from the making of a snapshot to its acknowledgement: no connection lives that long without a word."""


@dataclass(frozen=True, slots=True)
class Line:
    """The last token of one agent; ``renew_at`` in Unix seconds."""

    revision: Revision
    renew_at: float


class Issued:
    """The last token of every agent, as far as this process knows it. ``jitter(x)`` returns 0 to x."""

    def __init__(self, jitter: Callable[[float], float]) -> None:
        self._jitter = jitter
        self._lines: dict[str, Line] = {}
        self._before: dict[str, tuple[Revision, float]] = {}

    def note(self, agent: str, revision: Revision, renew_at: float) -> None:
        """This process has just made one."""
        self._lines[agent] = Line(revision, renew_at)

    def forget(self, agent: str) -> None:
        """The agent has no standing any more."""
        self._lines.pop(agent, None)
        self._before.pop(agent, None)

    def revision(self, agent: str) -> Revision:
        """The revision of what this process has issued or taken over; -1 without any."""
        line = self._lines.get(agent)
        return line.revision if line is not None else Revision(-1)

    def remember(
        self,
        acks: Iterable[tuple[str, Epoch, Revision, float]],
        state: PolicyState,
        recent: tuple[Change, ...],
        table: EnforcementTable,
    ) -> None:
        """Takes in what was acknowledged before this process started, once ``restore_enforcement`` has filled ``table``.

        Args:
            acks: agent, epoch, revision, Unix seconds of its first acknowledgement; only of what code like ours evaluated.
            state: the end of the log.
            recent: the last changes, oldest first; of what lies before them nothing is known here.
            table: tells whom these changes have touched.
        """
        known_from = recent[0].position - 1 if recent else state.position
        for agent, epoch, revision, at in acks:
            untouched = table.line(agent).pending_since is None
            if epoch == state.epoch and revision >= known_from and untouched:
                self._before[agent] = revision, at

    def of_client(self, device: DeviceId, state: PolicyState, now: float) -> Line | None:
        """Returns the snapshot that the device has, if there is no need of another one; what touches devices is the caller's to know."""
        before = self._before.pop(device, None)
        if before is not None and device not in self._lines and _still_right(state, device, before[1], now):
            revision, at = before
            self._lines[device] = Line(revision, at + refresh_after(AgentKind.CLIENT, self._jitter))
        line = self._lines.get(device)
        return line if line is not None and now < line.renew_at else None


def _still_right(state: PolicyState, device: DeviceId, at: float, now: float) -> bool:
    """Whether nothing but events can have changed what was true ``at`` some moment."""
    made = at - ON_THE_WAY_S
    subject = subject_of_device(state, device, made)
    if isinstance(subject, Deny) or asks_for_source(state, subject.owner):
        return False
    change = next_change_at(state, device, made)
    return change is None or change > now
