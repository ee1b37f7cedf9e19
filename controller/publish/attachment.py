"""One attached agent as the hub sees it: what still has to be told to it.

Nothing is queued that a later state replaces: the whitelist or config is made when the socket is ready to take it, from the
state of that moment (latest wins). Only cut-offs add up, and they are bounded.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from controller.domain.model import PublicKey
from controller.publish.cutoffs import PER_MESSAGE
from protocol.control import Cutoff, Goodbye, Message, Revoke, Revoked
from protocol.ids import DeviceId, ResourceId, Revision
from protocol.limits import CONNECTOR_TICKET_LIFE_S, SNAPSHOT_LIFE_S
from protocol.reasons import Reason
from protocol.tokens.digests import token_digest

CUTOFFS_MAX: Final = 20_000
"""Waiting for a connector that does not read; beyond it the connection ends, and its successor starts from a full config."""


SENT_MAX: Final = 16
"""Tokens on their way whose acknowledgement may still come."""


DUPLICATE_PAUSE_S: Final = 30.0
"""Two processes with one identity must not throw each other out many times a second."""


class AgentKind(Enum):
    """Who is attached."""

    CLIENT = "client"
    CONNECTOR = "connector"


class Attachment:
    """Made by ``Hub.attach``. ``wake`` is called whenever ``Hub.take`` may have something to send."""

    def __init__(
        self, agent: str, kind: AgentKind, key: PublicKey, attached_at: float, wake: Callable[[], None]
    ) -> None:
        self.agent = agent
        self.kind = kind
        self.key = key
        """With which the agent authenticated: when another one takes its place, this connection has no standing."""
        self.welcomed = Revision(0)
        """The revision whose keys the agent was told in its Welcome; when they changed since, it is told again."""
        self.attached_at = attached_at
        """Unix seconds."""
        self.refresh_at = attached_at
        """When its token is renewed although nothing changed (Unix seconds)."""
        self.ended = False
        """A last message was taken: close the socket behind it."""
        self._wake = wake
        self._dirty = False
        self._keys_due = False
        self._revision = Revision(0)
        self._cutoffs: dict[tuple[DeviceId, ResourceId | None], Cutoff] = {}
        self._last: Message | None = None
        self._sent: deque[tuple[Revision, str]] = deque(maxlen=SENT_MAX)

    @property
    def dirty(self) -> bool:
        """Whether a new snapshot or config is due."""
        return self._dirty

    def mark_dirty(self) -> None:
        """A new snapshot or config is due."""
        if not self._dirty:
            self._dirty = True
            self._wake()

    def mark_clean(self) -> None:
        """It was made."""
        self._dirty = False

    def mark_keys_due(self) -> None:
        """The keys that the agent must believe are others now."""
        self._keys_due = True
        self._wake()

    def take_keys_due(self) -> bool:
        """Whether they are to be told, once."""
        due, self._keys_due = self._keys_due, False
        return due

    def add_cutoffs(self, revision: Revision, cutoffs: list[Cutoff]) -> None:
        """Cut-offs go before everything else (C23)."""
        self._revision = max(self._revision, revision)
        self._cutoffs.update({(cutoff.device, cutoff.resource): cutoff for cutoff in cutoffs})
        if len(self._cutoffs) > CUTOFFS_MAX:
            self.end(Goodbye(Reason.LIMIT_EXCEEDED.code))
        self._wake()

    def take_cutoffs(self) -> Revoke | None:
        """Returns the next Revoke to send."""
        if not self._cutoffs:
            return None
        keys = list(self._cutoffs)[:PER_MESSAGE]
        return Revoke(self._revision, tuple(self._cutoffs.pop(key) for key in keys))

    def note_sent(self, revision: Revision, token: str) -> None:
        """A snapshot or config goes out: what the agent acknowledges must be one of these."""
        self._sent.append((revision, token_digest(token)))

    def was_sent(self, revision: Revision, digest: str) -> bool | None:
        """Whether the agent was sent what it acknowledges; None when it was sent nothing of that revision here."""
        digests = [sent for position, sent in self._sent if position == revision]
        return digest in digests if digests else None

    def end(self, message: Revoked | Goodbye) -> None:
        """Makes ``message`` the last one; the first such message stays."""
        if self._last is None:
            self._last = message
            self._wake()

    def displace(self) -> None:
        """Another connection of the same agent takes this one's place."""
        self.end(Goodbye(Reason.DUPLICATE_AGENT.code, retry_after_s=DUPLICATE_PAUSE_S))

    def take_last(self) -> Message | None:
        """Returns the last message, once; nothing is sent behind it."""
        if self._last is None or self.ended:
            return None
        self.ended = True
        return self._last


def refresh_after(kind: AgentKind, jitter: Callable[[float], float]) -> float:
    """Returns after how many seconds an agent's token is renewed: before half of its life, not all at once."""
    half = (SNAPSHOT_LIFE_S if kind is AgentKind.CLIENT else CONNECTOR_TICKET_LIFE_S) / 2
    return half - jitter(half / 2)
