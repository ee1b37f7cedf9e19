"""The witness on disk: what ``connector.core.witness`` remembers survives restarts, and auditors can take it away (T-70).

witness.json        checkpoints with the keys that signed them, conflicts, revocations; written when one is new
witness-heads.json  the last positions and hashes that configs named; small, because every config brings one

A file that cannot be read is kept under another name and said so: forgetting silently would be what an attacker wants.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import structlog

from connector.core.witness import Conflict, SeenCutoff, Sighting, Witness
from protocol.control import Cutoff
from protocol.errors import LocalError, OstiaryError, RemoteError
from protocol.ids import DeviceId, ResourceId
from protocol.reasons import Reason
from protocol.tokens.claims import Checkpoint, Config
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import checkpoint_key_id, verify_checkpoint
from runtime.files import StateDir

FORMAT: Final = "ostiary-witness/1"
WITNESS_FILE: Final = "witness.json"
HEADS_FILE: Final = "witness-heads.json"
ASIDE_SUFFIX: Final = ".aside"

_log = structlog.get_logger(__name__)


class Observer:
    """Shows every config to the witness before it is enforced, and keeps what the witness notes."""

    def __init__(self, issuer: str, state: StateDir) -> None:
        self._issuer = issuer
        self._state = state
        self.witness = load_witness(state, issuer)
        self._saved_heads = self.witness.heads

    def observe(self, config: Config, keys: VerificationKeys, wall: float) -> None:
        """Compares a verified config with what was witnessed and keeps it on disk before anybody acts on it.

        Raises:
            RemoteError: LOG_CONFLICT, SNAPSHOT_ROLLBACK, or a TOKEN_* reason when its checkpoint is forged.
        """
        last = self.witness.newest
        try:
            self.witness.examine(config, self._checkpoint(config, keys, wall), int(wall))
        except RemoteError as error:
            if error.reason is Reason.LOG_CONFLICT:
                _log.critical("log.conflict", epoch=config.epoch, revision=config.revision, detail=error.detail)
                self.save()
            raise
        if last is not None and config.epoch > last.epoch:
            _log.warning(
                "log.new_epoch",
                epoch=config.epoch,
                revision=config.revision,
                old_epoch=last.epoch,
                witnessed=last.position,
            )
        self.witness.note_cutoffs(config.epoch, config.revision, config.cutoffs)
        self.save()

    def save(self) -> None:
        """Writes what is new; a disk that does not take it is logged, and tried again with the next config (F-11)."""
        witness = self.witness
        try:
            if witness.heads is not self._saved_heads:
                heads = [asdict(item) for item in witness.heads]
                self._state.write_json(HEADS_FILE, {"issuer": self._issuer, "heads": heads})
                self._saved_heads = witness.heads
            if witness.changed:
                self._state.write_json(WITNESS_FILE, _rest(self._issuer, witness))
                witness.changed = False
        except LocalError as error:
            _log.error("state.not_written", reason=error.reason.code, detail=error.detail)

    def _checkpoint(self, config: Config, keys: VerificationKeys, wall: float) -> Checkpoint | None:
        """Verifies a checkpoint that is not known yet. One by a key that is published no more cannot be judged."""
        if not config.checkpoint or self.witness.knows(config.checkpoint):
            return None
        try:
            checkpoint = verify_checkpoint(config.checkpoint, keys=keys, issuer=self._issuer, now=wall)
        except RemoteError as error:
            if error.reason not in (Reason.TOKEN_KEY_UNKNOWN, Reason.TOKEN_EXPIRED):
                raise
            _log.warning("checkpoint.not_witnessed", reason=error.reason.code, detail=error.detail)
            return None
        kid = checkpoint_key_id(checkpoint.token)
        jwks: list[dict[str, object]] = keys.to_jwks()["keys"]  # type: ignore[assignment]
        self.witness.keys |= {str(jwk["kid"]): jwk for jwk in jwks if jwk["kid"] == kid}
        return checkpoint


def load_witness(state: StateDir, issuer: str) -> Witness:
    """Reads what was witnessed of the controller ``issuer``; what cannot be read is put aside and logged."""
    witness = Witness()
    for name in (WITNESS_FILE, HEADS_FILE):
        try:
            _read(witness, state, name, issuer)
        except OstiaryError as error:
            _log.error("witness.put_aside", file=name, detail=error.detail)
            try:
                (state / name).replace(state / (name + ASIDE_SUFFIX))
            except OSError as failure:
                _log.error("state.not_written", detail=str(failure))
    return witness


def export_witness(state: StateDir, connector: str, issuer: str) -> dict[str, Any]:
    """Returns all that this connector witnessed, for an auditor, in the format of docs/audit.md.

    Raises LocalError(STATE_CORRUPT) naming a file that cannot be read.
    """
    witness = Witness()
    for name in (WITNESS_FILE, HEADS_FILE):
        _read(witness, state, name, issuer)
    rest = _rest(issuer, witness)
    return {"format": FORMAT, "connector": connector, **rest, "heads": [asdict(item) for item in witness.heads]}


def _rest(issuer: str, witness: Witness) -> dict[str, Any]:
    used = {checkpoint_key_id(item.token) for item in witness.checkpoints}
    return {
        "issuer": issuer,
        "keys": [dict(jwk) for kid, jwk in sorted(witness.keys.items()) if kid in used],
        "checkpoints": [asdict(item) for item in witness.checkpoints],
        "conflicts": [asdict(item) for item in witness.conflicts],
        "cutoffs": [
            {"epoch": item.epoch, "revision": item.revision, **asdict(item.cutoff)} for item in witness.cutoffs
        ],
    }


def _read(witness: Witness, state: StateDir, name: str, issuer: str) -> None:
    body = state.read_json(name)
    if body is None:
        return
    if body.get("issuer") != issuer:
        raise LocalError(Reason.STATE_CORRUPT, f"{state / name} is about another controller")
    try:
        if name == HEADS_FILE:
            witness.heads = [_sighting(item) for item in _list(body, "heads")]
            return
        witness.keys = {str(jwk["kid"]): jwk for jwk in _list(body, "keys")}
        witness.checkpoints = [_sighting(item) for item in _list(body, "checkpoints")]
        witness.conflicts = [Conflict(**item) for item in _list(body, "conflicts")]
        witness.cutoffs = [_cutoff(item) for item in _list(body, "cutoffs")]
    except (KeyError, TypeError, ValueError) as exc:
        raise LocalError(Reason.STATE_CORRUPT, f"{state / name}: {type(exc).__name__}: {exc}") from exc


def _list(body: Mapping[str, Any], member: str) -> list[dict[str, Any]]:
    value = body[member]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise TypeError(f"{member} is no list of objects")
    return value


def _sighting(item: Mapping[str, Any]) -> Sighting:
    made = Sighting(**item)
    if not all(isinstance(value, int) for value in (made.epoch, made.position, made.issued_at, made.seen_at)):
        raise TypeError("a number is none")
    return made


def _cutoff(item: Mapping[str, Any]) -> SeenCutoff:
    resource = item["resource"]
    cutoff = Cutoff(
        DeviceId(item["device"]), None if resource is None else ResourceId(resource), item["before"], item["reason"]
    )
    return SeenCutoff(int(item["epoch"]), int(item["revision"]), cutoff)
