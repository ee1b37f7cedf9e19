"""The connector as a witness of the controller's log: what it was told of it, and whether that fits together (T-70).

Every config names the newest event's position and hash (``rev``, ``head``) and carries the newest checkpoint, which names the
one before it. What was named is kept, per epoch. A log that was rewritten, or cut and grown again, names another hash for
a position that was witnessed, or leaves a witnessed checkpoint out. What a single connector cannot see, an auditor can: its
notes are compared with the whole log by ``ostiary-controller events verify --witness``.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from protocol.control import Cutoff
from protocol.errors import RemoteError
from protocol.reasons import Reason
from protocol.tokens.claims import Checkpoint, Config

CHECKPOINTS_MAX: Final = 512
"""Beyond it every second one of the older half is forgotten."""
HEADS_MAX: Final = 64
CONFLICTS_MAX: Final = 16
CUTOFFS_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class Sighting:
    """The log of ``epoch`` had ``hash`` at ``position``. ``token`` is the checkpoint that says so; empty: a config did.

    ``issued_at`` and ``seen_at`` in Unix seconds, by the controller's and by this host's clock.
    """

    epoch: int
    position: int
    hash: str
    issued_at: int
    seen_at: int
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Conflict:
    """What contradicted what: the config that was refused, and why."""

    epoch: int
    position: int
    hash: str
    seen_at: int
    detail: str
    token: str = field(default="", repr=False)
    """The checkpoint that came with it, as evidence."""


@dataclass(frozen=True, slots=True)
class SeenCutoff:
    """A revocation that this connector was told of under ``revision`` of ``epoch``."""

    epoch: int
    revision: int
    cutoff: Cutoff


class Witness:
    """Remembers and compares. It does no I/O; ``changed``: something other than ``heads`` (a new list each time) is new."""

    def __init__(self) -> None:
        self.checkpoints: list[Sighting] = []
        self.heads: list[Sighting] = []
        self.conflicts: list[Conflict] = []
        self.cutoffs: list[SeenCutoff] = []
        self.keys: dict[str, Mapping[str, object]] = {}
        """The public keys that signed the checkpoints kept, by ``kid``, as they were when they were verified."""
        self.conflict_count = 0
        """Since the start; a metric."""
        self.changed = False

    @property
    def newest(self) -> Sighting | None:
        """The newest sighting of the highest epoch."""
        return max(self._all(), key=lambda item: (item.epoch, item.position), default=None)

    def examine(self, config: Config, checkpoint: Checkpoint | None, seen_at: int) -> None:
        """Compares what a verified config says with what was witnessed, and notes it.

        Raises:
            RemoteError: LOG_CONFLICT when the log was rewritten, which is noted as a Conflict; SNAPSHOT_ROLLBACK when it
                ends before what a config of the same epoch said (a replica that lags does that, too).
        """
        head = Sighting(config.epoch, config.revision, config.log_head, config.issued_at, seen_at)
        try:
            self._compare(head)
            if checkpoint is not None:
                self._compare(_sighting(checkpoint, seen_at))
                self._compare_line(checkpoint)
            self._require_growth(head)
        except RemoteError as error:
            if error.reason is Reason.LOG_CONFLICT:
                self._note_conflict(head, error.detail, config.checkpoint)
            raise
        self._note_head(head)
        if checkpoint is not None:
            self._note_checkpoint(_sighting(checkpoint, seen_at))

    def knows(self, checkpoint: str) -> bool:
        """Whether this very checkpoint was witnessed already; it then needs no verification."""
        return bool(self.checkpoints) and any(item.token == checkpoint for item in reversed(self.checkpoints))

    def note_cutoffs(self, epoch: int, revision: int, cutoffs: Iterable[Cutoff]) -> None:
        """Keeps whose access was revoked: after a restore it tells the admin what the backup does not know (F-26)."""
        known = {(item.epoch, item.cutoff) for item in self.cutoffs}
        fresh = [SeenCutoff(epoch, revision, item) for item in cutoffs if (epoch, item) not in known]
        if fresh:
            self.cutoffs = (self.cutoffs + fresh)[-CUTOFFS_MAX:]
            self.changed = True

    def _compare(self, item: Sighting) -> None:
        for known in self._all():
            if (known.epoch, known.position) == (item.epoch, item.position) and known.hash != item.hash:
                raise RemoteError(
                    Reason.LOG_CONFLICT,
                    f"event {item.position} has hash {item.hash[:16] or 'none'}, witnessed was {known.hash[:16]}",
                )

    def _compare_line(self, checkpoint: Checkpoint) -> None:
        """Between two consecutive checkpoints lies none, and the one before is the one that was witnessed."""
        previous = (checkpoint.previous_position, checkpoint.previous_hash)
        for known in self.checkpoints:
            if known.epoch != checkpoint.epoch:
                continue
            if checkpoint.previous_position < known.position < checkpoint.position:
                what = f"the checkpoint of event {checkpoint.position} leaves out the one of event {known.position}"
                raise RemoteError(Reason.LOG_CONFLICT, what)
            if known.position == previous[0] and known.hash != previous[1]:
                what = (
                    f"the checkpoint of event {checkpoint.position} follows another one than that of {known.position}"
                )
                raise RemoteError(Reason.LOG_CONFLICT, what)

    def _require_growth(self, head: Sighting) -> None:
        last = max((item.position for item in self.heads if item.epoch == head.epoch), default=0)
        if head.position < last:
            raise RemoteError(
                Reason.SNAPSHOT_ROLLBACK, f"the log ends at event {head.position}, event {last} was witnessed"
            )

    def _note_head(self, head: Sighting) -> None:
        if not head.hash or any((item.epoch, item.position) == (head.epoch, head.position) for item in self.heads):
            return
        self.heads = [*self.heads, head][-HEADS_MAX:]

    def _note_checkpoint(self, item: Sighting) -> None:
        if any((known.epoch, known.position) == (item.epoch, item.position) for known in self.checkpoints):
            return
        self.checkpoints = sorted([*self.checkpoints, item], key=lambda known: (known.epoch, known.position))
        if len(self.checkpoints) > CHECKPOINTS_MAX:
            self.checkpoints = _thinned(self.checkpoints)
        self.changed = True

    def _note_conflict(self, head: Sighting, detail: str, token: str) -> None:
        self.conflict_count += 1
        conflict = Conflict(head.epoch, head.position, head.hash, head.seen_at, detail, token)
        if any(known.detail == conflict.detail for known in self.conflicts):
            return
        self.conflicts = [*self.conflicts, conflict][-CONFLICTS_MAX:]
        self.changed = True

    def _all(self) -> Iterator[Sighting]:
        yield from self.checkpoints
        yield from self.heads


def _sighting(checkpoint: Checkpoint, seen_at: int) -> Sighting:
    return Sighting(
        checkpoint.epoch, checkpoint.position, checkpoint.hash, checkpoint.issued_at, seen_at, checkpoint.token
    )


def _thinned(items: list[Sighting]) -> list[Sighting]:
    """Drops every second one of the older half, but never the last one of an epoch."""
    half = len(items) // 2
    older = [
        item for number, item in enumerate(items[:half]) if number % 2 == 0 or item.epoch != items[number + 1].epoch
    ]
    return older + items[half:]
