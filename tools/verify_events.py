#!/usr/bin/env python3
"""Audits an export of the log of an Ostiary controller. Stands alone: Python 3.11 and the package `cryptography`.

    python3 verify_events.py events.jsonl [--keys jwks.json] [--witness office.witness.json ...] [--json]

events.jsonl is what `ostiary-controller events export` wrote. It checks

  - that the events are all there, in order, and that each one's hash covers its content and the event before it;
  - that each checkpoint is signed (ES256) by a key that the log had published before, names the hash of its event, and
    names the checkpoint before it;
  - with --keys (a key set that you kept): that the log's keys are those;
  - with --witness (what `ostiary-connector witness export` wrote on a connector's host): that each position which that
    connector has witnessed still has the same hash.

The last two matter: whoever owns the controller can forge a whole log with keys of its own, but not your copy of the keys
and not what connectors have seen. Exit code: 0 whole, 1 not whole, 2 usage. It shares no code with Ostiary on purpose.
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

GENESIS = "0" * 64
NEIGHBOURS = 64

Json = dict[str, Any]
"""One object of an export; what is missing or of another kind ends in KeyError or TypeError, which become faults."""


class InvalidEvidence(ValueError):
    """Something is not what it says."""


def unb64(text: str) -> bytes:
    """Decodes canonical base64url without padding."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise InvalidEvidence("base64url is not canonical")
    return raw


def public_key(jwk: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    """Reads a P-256 key from a JWK (RFC 7517)."""
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        raise InvalidEvidence("a key is not on P-256")
    x, y = (int.from_bytes(unb64(jwk[name]), "big") for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def verify_checkpoint(token: str, jwks: Mapping[str, Json], issuer: str) -> Json:
    """Returns the claims of a checkpoint (a compact JWS) signed by one of ``jwks`` (kid -> JWK)."""
    parts = token.split(".")
    if len(parts) != 3:
        raise InvalidEvidence("a checkpoint is no compact JWS")
    header = json.loads(unb64(parts[0]))
    if set(header) != {"alg", "kid", "typ"} or header["alg"] != "ES256" or header["typ"] != "ostiary-checkpoint+jwt":
        raise InvalidEvidence("a checkpoint has another header")
    if header["kid"] not in jwks:
        raise InvalidEvidence(f"a checkpoint is signed by a key that was not published before it, {header['kid']}")
    signature = unb64(parts[2])
    if len(signature) != 64:
        raise InvalidEvidence("a checkpoint's signature has another length")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    signed = f"{parts[0]}.{parts[1]}".encode()
    try:
        public_key(jwks[header["kid"]]).verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as exc:
        raise InvalidEvidence("a checkpoint's signature is wrong") from exc
    claims = json.loads(unb64(parts[1]))
    if claims["iss"] != issuer or claims["aud"] != "log":
        raise InvalidEvidence("a checkpoint is of another controller")
    return {**claims, "kid": header["kid"]}


def event_hash(event: Json, position: int) -> str:
    """The hash of an event: SHA-256 over the canonical JSON of its members in this order."""
    body = [
        position,
        event["stream"],
        event["version"],
        event["type"],
        event["data"],
        event["actor"],
        event["at_ms"],
        event["request_id"],
        event["previous_hash"],
    ]
    return hashlib.sha256(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


class Log:
    """What was read so far, and what is wrong with it."""

    def __init__(self) -> None:
        self.faults: list[tuple[int, str, str]] = []
        self.notes: list[str] = []
        self.hashes: dict[int, str] = {}
        self.missing: set[int] = set()
        self.last = 0
        self.head = GENESIS
        self.suspect = False
        self.issuer = ""
        self.epochs: list[tuple[int, int]] = []
        self.keys: dict[str, Json] = {}
        self.added: dict[str, int] = {}
        self.distrusted: dict[str, int] = {}
        self.before = (0, GENESIS)
        self.checkpoints = 0
        self.witnessed = 0
        self.promised: int | None = None
        self.ended = False

    def fault(self, position: int, kind: str, detail: str) -> None:
        """Notes what is wrong, and where."""
        self.faults.append((position, kind, detail))

    def take(self, line: Json) -> None:
        """Takes one line of the export."""
        kind = line.get("kind")
        if kind == "header":
            if line.get("format") != "ostiary-events/1":
                self.fault(0, "format", "this is no export that is known here")
            self.promised = line.get("events")
        elif kind == "event":
            self.event(line)
        elif kind == "checkpoint":
            self.checkpoint(line)
        elif kind == "end":
            self.ended = True
        elif kind != "key":
            self.fault(self.last, "format", "a line of an unknown kind")

    def event(self, event: Json) -> None:
        """Chain, order, content; and what the log says about epochs and keys."""
        position = event["position"]
        if position <= self.last:
            if position in self.missing:
                self.missing.discard(position)
                self.fault(position, "reordered", f"it stands behind event {self.last}")
                self.hashes[position] = event["hash"]
            else:
                self.fault(position, "duplicate", "it is there twice")
            return
        self.missing.update(range(self.last + 1, position))
        follows = position == self.last + 1 and not self.suspect
        whole = event_hash(event, position) == event["hash"]
        if not whole:
            near = range(max(1, position - NEIGHBOURS), position + NEIGHBOURS + 1)
            other = [at for at in near if event_hash(event, at) == event["hash"]]
            if other:
                self.fault(position, "reordered", f"what stands here is event {other[0]}")
            else:
                self.fault(position, "changed", "its content does not match its hash")
        elif follows and event["previous_hash"] != self.head:
            self.fault(position, "changed", "it does not continue the event before it: one of the two was changed")
        self.hashes[position] = event["hash"]
        self.suspect, self.last, self.head = not whole, position, event["hash"]
        data = json.loads(event["data"])
        if event["type"] == "controller.initialised/1" and not self.issuer:
            self.issuer = data["issuer"]
            self.epochs.append((position, data["epoch"]))
        elif event["type"] == "controller.epoch_raised/1":
            self.epochs.append((position, data["epoch"]))
        elif event["type"] == "signing_key.added/1":
            self.keys[data["kid"]] = data["jwk"]
            self.added[data["kid"]] = position
        elif event["type"] == "signing_key.distrusted/1":
            self.distrusted[data["kid"]] = position

    def checkpoint(self, line: Json) -> None:
        """Signature, position, hash, and the checkpoint before it."""
        self.checkpoints += 1
        position = line["position"]
        known = {kid: jwk for kid, jwk in self.keys.items() if self.added[kid] <= position}
        try:
            claims = verify_checkpoint(line["token"], known, self.issuer)
        except (KeyError, TypeError, ValueError) as exc:
            self.fault(position, "checkpoint", str(exc))
            return
        if (claims["pos"], claims["epoch"], claims["hash"]) != (position, line["epoch"], line["hash"]):
            self.fault(position, "checkpoint", "it says something else than the line around it")
        if (claims["prev"], claims["prev_hash"]) != self.before:
            self.fault(
                position, "checkpoint", f"it follows that of event {claims['prev']}, which is not the one before it"
            )
        self.before = (claims["pos"], claims["hash"])
        self.compare(claims["epoch"], claims["pos"], claims["hash"], "its checkpoint")
        if self.distrusted.get(claims["kid"], position + 1) <= position:
            self.fault(position, "checkpoint", "its key was distrusted before")

    def witness(self, body: Json, name: str) -> None:
        """Compares the notes of one connector."""
        if body.get("format") != "ostiary-witness/1" or body.get("issuer") != self.issuer:
            self.fault(0, "witness", f"{name} is no witness of this controller")
            return
        keys = {jwk["kid"]: jwk for jwk in body["keys"]}
        for note in body["checkpoints"]:
            try:
                claims = verify_checkpoint(note["token"], keys, self.issuer)
            except (KeyError, TypeError, ValueError) as exc:
                self.fault(note["position"], "witness", f"{name}: {exc}")
                continue
            if (claims["epoch"], claims["pos"], claims["hash"]) != (note["epoch"], note["position"], note["hash"]):
                self.fault(note["position"], "witness", f"{name} holds a checkpoint that says something else")
                continue
            self.compare(claims["epoch"], claims["pos"], claims["hash"], name)
            self.witnessed += 1
        for note in body["heads"]:
            self.compare(note["epoch"], note["position"], note["hash"], name)
            self.witnessed += 1
        for note in body["conflicts"]:
            self.notes.append(f"{name} refused a config: {note['detail']}")

    def compare(self, epoch: int, position: int, said: str, who: str) -> None:
        """Compares what somebody said of a position with the log."""
        starts = [first for first, number in self.epochs if number == epoch]
        later = [first for first, number in self.epochs if starts and first > starts[0]]
        if not starts:
            self.fault(self.last + 1, "truncated", f"{who} names epoch {epoch}, which this log does not have")
        elif later and position >= later[0]:
            self.notes.append(
                f"{who} names event {position} of epoch {epoch}; the log was restored from a backup that ended at event "
                f"{later[0] - 1}, and what came after it in that epoch is not in this log"
            )
        elif position < starts[0]:
            self.fault(position, "witness", f"{who} names epoch {epoch}, which began with event {starts[0]}")
        elif position > self.last:
            self.fault(self.last + 1, "truncated", f"{who} names event {position}")
        elif self.hashes.get(position) != said:
            self.fault(position, "changed", f"{who} names another hash, {said[:16]}")

    def finish(self, trusted: Iterable[Json]) -> None:
        """What can only be said at the end."""
        for position in sorted(self.missing):
            self.fault(position, "missing", "it is not there")
        if self.promised is not None and self.promised > self.last:
            self.fault(self.last + 1, "truncated", f"the export begins with a promise of {self.promised} events")
        if not self.ended:
            self.fault(self.last + 1, "truncated", "the export has no end: it was cut off")
        for jwk in trusted:
            mine = self.keys.get(jwk["kid"])
            if mine is None:
                self.fault(0, "checkpoint", f"the trusted key {jwk['kid']} is not in this log")
            elif (mine["x"], mine["y"]) != (jwk["x"], jwk["y"]):
                self.fault(self.added[jwk["kid"]], "changed", f"the log has another key under the name {jwk['kid']}")
        if not trusted and not self.witnessed:
            self.notes.append(
                "the keys come from the log itself; give --keys or --witness to find a log forged as a whole"
            )
        for kid, position in self.distrusted.items():
            self.notes.append(
                f"key {kid} was distrusted by event {position}: what it signed counts only with a witness"
            )
        self.faults = sorted(set(self.faults))


def read(path: str) -> Json:
    """Reads a JSON file. Raises InvalidEvidence for one that holds no object."""
    with open(path, encoding="utf-8") as file:
        value = json.load(file)
    if not isinstance(value, dict):
        raise InvalidEvidence(f"{path} holds no JSON object")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", help="file of `ostiary-controller events export`")
    parser.add_argument("--keys", help="key set (jwks.json) that you kept")
    parser.add_argument("--witness", action="append", default=[], help="file of `ostiary-connector witness export`")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    log = Log()
    try:
        trusted = read(options.keys)["keys"] if options.keys else []
        with open(options.export, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                try:
                    log.take(json.loads(text))
                except (AttributeError, KeyError, TypeError, ValueError) as exc:
                    log.fault(log.last, "format", f"line {number} is none of an export: {type(exc).__name__}")
        for path in options.witness:
            log.witness(read(path), path)
    except (OSError, ValueError, KeyError) as exc:
        sys.stderr.write(f"cannot be read: {exc}\n")
        return 2
    log.finish(trusted)
    faults = [{"position": position, "kind": kind, "detail": detail} for position, kind, detail in log.faults]
    if options.json:
        report: Json = {
            "ok": not faults,
            "issuer": log.issuer,
            "checked": len(log.hashes),
            "checkpoints": log.checkpoints,
        }
        report |= {"witnessed": log.witnessed, "log_head": log.head, "faults": faults, "notes": log.notes}
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        sys.stdout.write(
            f"{len(log.hashes)} events, {log.checkpoints} checkpoints, {log.witnessed} witnessed positions\n"
        )
        sys.stdout.writelines(f"event {item['position']}: {item['kind']}: {item['detail']}\n" for item in faults)
        sys.stdout.writelines(f"note: {note}\n" for note in log.notes)
        sys.stdout.write("The log is NOT whole.\n" if faults else "The log is whole.\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
