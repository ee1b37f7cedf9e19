"""Whether a log is whole: its chain, its checkpoints, and what others witnessed of it (T-9, T-70). Pure.

The same audit reads a live database and an export, line by line in the form of ``exporting``; docs/audit.md tells the form,
and ``tools/verify_events.py`` does the same without this software. Each fault names the position where something is wrong.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from controller.store.chain import GENESIS, Row, row_hash
from protocol.errors import OstiaryError
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import checkpoint_key_id, verify_checkpoint

FORMAT: Final = "ostiary-events/1"
WITNESS_FORMAT: Final = "ostiary-witness/1"
FAULTS_MAX: Final = 100
NEIGHBOURS: Final = 64
"""How far away a row is looked for that stands at another one's place."""
ROW_FIELDS: Final = Row._fields


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """``kind``: changed, missing, reordered, duplicate, truncated, checkpoint, witness or format."""

    position: int
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found. ``faults`` by position; ``notes`` are what a reader should know although nothing is wrong."""

    events: int
    checkpoints: int
    witnessed: int
    log_head: str
    issuer: str
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


class _Hashes:
    """The hash at each position, 32 bytes each: a log has millions."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def put(self, position: int, text: str) -> None:
        """Keeps the hash of an event."""
        end = position * 32
        if len(self._bytes) < end:
            self._bytes.extend(bytes(end - len(self._bytes)))
        self._bytes[end - 32 : end] = _raw(text)

    def has(self, position: int, text: str) -> bool:
        """Whether this is the hash of the event there."""
        return self._bytes[(position - 1) * 32 : position * 32] == _raw(text)


@dataclass(slots=True)
class _Keys:
    added: dict[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    distrusted: dict[str, int] = field(default_factory=dict)


class Audit:
    """Takes the lines of an export in order, then witnesses' files, then answers with a ``Report``."""

    def __init__(self, trusted_keys: VerificationKeys | None = None) -> None:
        self._trusted = trusted_keys
        self._faults: list[Fault] = []
        self._notes: list[str] = []
        self._hashes = _Hashes()
        self._count = 0
        self._missing: set[int] = set()
        self._last = 0
        self._head = GENESIS
        self._suspect = False
        """The event before is not what it was, so that the next one need not fit."""
        self._issuer = ""
        self._epochs: list[tuple[int, int]] = []
        """(first position, epoch), in order."""
        self._keys = _Keys()
        self._previous: tuple[int, str] = (0, GENESIS)
        self._later: list[Mapping[str, Any]] = []
        self._checkpoints = 0
        self._witnessed = 0
        self._promised: int | None = None
        self._ended = False

    # Lines of an export

    def take(self, line: Mapping[str, Any]) -> None:
        """Takes one line; what is no line of an export is a fault of its own."""
        try:
            match line.get("kind"):
                case "header":
                    self._header(line)
                case "event":
                    self._event(Row(**{name: line[name] for name in ROW_FIELDS}))
                case "checkpoint":
                    self._checkpoint(line)
                case "end":
                    self._ended = True
                case "key":
                    pass  # for readers; the log itself says which keys there were
                case _:
                    self._fault(self._last, "format", "a line of an unknown kind")
        except (KeyError, TypeError, ValueError) as exc:
            self._fault(self._last, "format", f"a line that is none: {type(exc).__name__}")

    def take_witness(self, body: Mapping[str, Any], name: str) -> None:
        """Compares a witness's notes (``ostiary-connector witness export``) with the log. Call it after the last line."""
        try:
            if body["format"] != WITNESS_FORMAT:
                self._fault(0, "witness", f"{name} is not of format {WITNESS_FORMAT}")
                return
            if body["issuer"] != self._issuer:
                self._fault(0, "witness", f"{name} is about another controller, {str(body['issuer'])[:64]}")
                return
            keys = VerificationKeys.from_jwks_untrusted({"keys": body["keys"]}) if body["keys"] else None
            for item in body["checkpoints"]:
                self._witnessed_checkpoint(item, keys, name)
            for item in body["heads"]:
                self._compare(int(item["epoch"]), int(item["position"]), str(item["hash"]), name)
            for item in body["conflicts"]:
                self._notes.append(f"{name} refused a config: {item['detail']}")
        except (KeyError, TypeError, ValueError, OstiaryError) as exc:
            self._fault(0, "witness", f"{name} cannot be read: {exc}")

    def finish(self) -> Report:
        """Returns what was found."""
        for position in sorted(self._missing):
            self._fault(position, "missing", "it is not there")
        if self._promised is not None and self._promised > self._last:
            self._fault(self._last + 1, "truncated", f"the export begins with a promise of {self._promised} events")
        if not self._ended:
            self._fault(self._last + 1, "truncated", "the export has no end: it was cut off")
        self._note_keys()
        unique = sorted(dict.fromkeys(self._faults))
        return Report(
            self._count, self._checkpoints, self._witnessed, self._head, self._issuer, tuple(unique), tuple(self._notes)
        )

    # The chain

    def _header(self, line: Mapping[str, Any]) -> None:
        if line["format"] != FORMAT:
            self._fault(0, "format", f"format {line['format']!r} is not {FORMAT}")
        self._promised = int(line["events"])

    def _event(self, row: Row) -> None:
        if row.position <= self._last:
            if row.position in self._missing:
                self._missing.discard(row.position)
                self._fault(row.position, "reordered", f"it stands behind event {self._last}")
                self._keep(row)
            else:
                self._fault(row.position, "duplicate", "it is there twice")
            return
        self._missing.update(range(self._last + 1, min(row.position, self._last + 1 + FAULTS_MAX)))
        follows = row.position == self._last + 1 and not self._suspect
        whole = row.hash == _hash_of(row, row.position)
        if not whole:
            self._fault(row.position, *_why(row))
        elif follows and row.previous_hash != self._head:
            self._fault(row.position, "changed", "it does not continue the event before it: one of the two was changed")
        self._keep(row)
        self._suspect = not whole
        self._last, self._head = row.position, row.hash
        self._learn(row)

    def _keep(self, row: Row) -> None:
        self._hashes.put(row.position, row.hash)
        self._count += 1

    def _learn(self, row: Row) -> None:
        match row.type:
            case "controller.initialised/1" if not self._issuer:
                data = json.loads(row.data)
                self._issuer = str(data["issuer"])
                self._epochs.append((row.position, int(data["epoch"])))
            case "controller.epoch_raised/1":
                self._epochs.append((row.position, int(json.loads(row.data)["epoch"])))
            case "signing_key.added/1":
                data = json.loads(row.data)
                self._keys.added[str(data["kid"])] = (row.position, data["jwk"])
            case "signing_key.distrusted/1":
                self._keys.distrusted[str(json.loads(row.data)["kid"])] = row.position

    # Checkpoints

    def _checkpoint(self, line: Mapping[str, Any]) -> None:
        self._checkpoints += 1
        position, token = int(line["position"]), str(line["token"])
        kid = ""
        try:
            kid = checkpoint_key_id(token)
            keys = self._key(kid, position)
            claims = verify_checkpoint(token, keys=keys, issuer=self._issuer, now=float(line["signed_at"]))
        except OstiaryError as error:
            self._fault(position, "checkpoint", f"its checkpoint does not verify: {error.reason.code} ({error.detail})")
            return
        said = (claims.position, claims.epoch, claims.hash, kid)
        if said != (position, line["epoch"], line["hash"], line["kid"]):
            self._fault(position, "checkpoint", "its checkpoint says something else than the columns beside it")
        if (claims.previous_position, claims.previous_hash) != self._previous:
            what = f"the checkpoint of event {claims.previous_position} came before it and is not there"
            if claims.previous_position <= self._previous[0]:
                what = f"its checkpoint follows that of event {claims.previous_position}, not {self._previous[0]}"
            self._fault(claims.position, "checkpoint", what)
        self._previous = (claims.position, claims.hash)
        self._compare(claims.epoch, claims.position, claims.hash, None)
        distrusted = self._keys.distrusted.get(kid)
        if distrusted is not None and distrusted <= position:
            self._fault(position, "checkpoint", f"its key {kid} was distrusted by event {distrusted}")

    def _key(self, kid: str, position: int) -> VerificationKeys:
        known = self._keys.added.get(kid)
        if known is None or known[0] > position:
            return VerificationKeys({})
        jwk = {**known[1], "kid": kid, "alg": "ES256", "use": "sig"}
        return VerificationKeys.from_jwks_untrusted({"keys": [jwk]})

    def _note_keys(self) -> None:
        trusted = self._trusted.keys if self._trusted is not None else {}
        for kid, key in trusted.items():
            known = self._keys.added.get(kid)
            if known is None:
                self._fault(0, "checkpoint", f"the trusted key {kid} is not in this log")
            elif VerificationKeys({kid: key}).to_jwks() != self._key(kid, known[0]).to_jwks():
                self._fault(known[0], "changed", f"the log holds another key under the name of the trusted key {kid}")
        if not trusted and not self._witnessed:
            self._notes.append(
                "the keys come from the log itself: a log forged as a whole, keys included, passes; "
                "compare with witnesses' files or trusted keys"
            )
        for kid, position in self._keys.distrusted.items():
            self._notes.append(
                f"key {kid} was distrusted by event {position}: what it signed counts only with a witness"
            )

    # Witnesses

    def _witnessed_checkpoint(self, item: Mapping[str, Any], keys: VerificationKeys | None, name: str) -> None:
        token = str(item["token"])
        position = int(item["position"])
        try:
            claims = verify_checkpoint(
                token, keys=keys or VerificationKeys({}), issuer=self._issuer, now=float(item["issued_at"])
            )
        except OstiaryError as error:
            self._fault(position, "witness", f"{name} holds a checkpoint that does not verify: {error.reason.code}")
            return
        if (claims.epoch, claims.position, claims.hash) != (item["epoch"], position, item["hash"]):
            self._fault(
                position, "witness", f"{name} holds a checkpoint that says something else than the note beside it"
            )
            return
        self._compare(claims.epoch, claims.position, claims.hash, name)

    def _compare(self, epoch: int, position: int, said: str, who: str | None) -> None:
        """Compares what ``who`` (None: a checkpoint of the log) said with the log; notes what only a restore can have lost."""
        self._witnessed += who is not None
        first, end = self._range(epoch)
        witnessed = "its checkpoint names" if who is None else f"{who} has witnessed"
        if first is None:
            newest = self._epochs[-1][1] if self._epochs else 0
            if epoch > newest:
                self._fault(
                    self._last + 1, "truncated", f"{witnessed} epoch {epoch}; the log knows none above {newest}"
                )
            else:
                self._fault(position, "witness", f"{witnessed} epoch {epoch}, which this log never had")
        elif end is not None and position >= end:
            self._notes.append(
                f"{witnessed} event {position} of epoch {epoch}; the log was restored from a backup that ended at event "
                f"{end - 1}, and what came after it in that epoch is not in this log"
            )
        elif position < first:
            self._fault(position, "witness", f"{witnessed} epoch {epoch}, which began with event {first}")
        elif position > self._last:
            self._fault(self._last + 1, "truncated", f"{witnessed} event {position} of epoch {epoch}")
        elif not self._hashes.has(position, said):
            self._fault(position, "changed", f"{witnessed} another hash, {said[:16]}…")

    def _range(self, epoch: int) -> tuple[int | None, int | None]:
        for number, (first, known) in enumerate(self._epochs):
            if known == epoch:
                following = self._epochs[number + 1 :]
                return first, following[0][0] if following else None
        return None, None

    def _fault(self, position: int, kind: str, detail: str) -> None:
        if len(self._faults) < FAULTS_MAX:
            self._faults.append(Fault(position, kind, detail))


def _why(row: Row) -> tuple[str, str]:
    for position in range(max(1, row.position - NEIGHBOURS), row.position + NEIGHBOURS + 1):
        if position != row.position and row.hash == _hash_of(row, position):
            return "reordered", f"what stands here is event {position}"
    return "changed", "its content does not match its hash"


def _hash_of(row: Row, position: int) -> str:
    return row_hash(
        position=position,
        stream=row.stream,
        version=row.version,
        event_type=row.type,
        data=row.data,
        actor=row.actor,
        at_ms=row.at_ms,
        request_id=row.request_id,
        previous_hash=row.previous_hash,
    )


def _raw(text: str) -> bytes:
    """A hash as 32 bytes; what is none has one of its own, so that it equals itself only."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    return raw if len(raw) == 32 else hashlib.sha256(text.encode()).digest()
