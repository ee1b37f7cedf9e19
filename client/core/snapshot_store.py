"""Which snapshot may be enforced: never an older one than was seen before (decision D8, threat T-8).

The *watermark* is kept apart from the snapshot itself, so that exchanging the stored snapshot for yesterday's, which is
still validly signed, is noticed at load.
"""

from dataclasses import dataclass
from typing import Final

from protocol.acl.diff import AclDiff, diff
from protocol.acl.model import Acl
from protocol.errors import RefusedError
from protocol.ids import Epoch, Revision
from protocol.reasons import Reason
from protocol.tokens.claims import Snapshot


@dataclass(frozen=True, slots=True, order=True)
class Watermark:
    """The newest policy ever enforced here. Revisions compare within one epoch."""

    epoch: Epoch
    revision: Revision


NOTHING_SEEN: Final = Watermark(Epoch(0), Revision(0))


class SnapshotGuard:
    """Holds the snapshot in force. The caller stores ``seen`` before it enforces a snapshot that was accepted."""

    def __init__(self, seen: Watermark = NOTHING_SEEN) -> None:
        self.seen = seen
        self.current: Snapshot | None = None

    def accept(self, snapshot: Snapshot, wall: float) -> AclDiff:
        """Takes a verified snapshot, received or loaded, and returns what it changes.

        Raises:
            RefusedError: SNAPSHOT_ROLLBACK when it is older than the newest one seen, TOKEN_EXPIRED when its time is over.
        """
        offered = Watermark(snapshot.epoch, snapshot.revision)
        if offered < self.seen:
            detail = f"epoch {offered.epoch} revision {offered.revision}"
            seen = f"epoch {self.seen.epoch} revision {self.seen.revision}"
            raise RefusedError(Reason.SNAPSHOT_ROLLBACK, f"{detail} after {seen}")
        if snapshot.not_after <= wall:
            raise RefusedError(Reason.TOKEN_EXPIRED, f"the snapshot ended {wall - snapshot.not_after:.0f} s ago")
        if self.current is not None and offered == self.seen and snapshot.not_after < self.current.not_after:
            return diff(snapshot.acl, snapshot.acl)  # a late copy of what is in force already
        changes = diff(Acl() if self.current is None else self.current.acl, snapshot.acl)
        self.seen = offered
        self.current = snapshot
        return changes

    def expired(self, wall: float) -> bool:
        """The snapshot in force is over its time (or there is none): nothing may be opened any more (C24)."""
        return self.current is None or self.current.not_after <= wall

    def forget(self) -> None:
        """Signed out: nothing is in force. The watermark stays, because the controller stays the same."""
        self.current = None
