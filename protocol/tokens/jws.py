"""ES256 signatures over compact JWS; the only module that imports a JWT library (decision D10, threats T-4 to T-6).

Signing is ours alone (RFC 7515 section 5.1, RFC 7518 section 3.4): header and encoding are always the same, and a controller
signs thousands of tokens a second. What PyJWT does not check is checked here, before it sees the token: exactly the three header members, the one algorithm,
the expected ``typ``, the key by ``kid`` from the verifier's own map. PyJWT verifies the signature only, with its one algorithm for
it, because nothing is left for its own parser to decide; claims are ``verify``'s work.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from jwt.algorithms import ECAlgorithm

from protocol.errors import LocalError, RemoteError
from protocol.limits import SNAPSHOT_MAX_BYTES, TOKEN_MAX_BYTES
from protocol.reasons import Reason
from protocol.tokens.keys import SigningKey
from protocol.tokens.strict import Compact, b64url_encode, malformed, parse_object_untrusted, split_compact_untrusted

_ALGORITHM: Final = "ES256"
_VERIFIER: Final = ECAlgorithm(ECAlgorithm.SHA256)
_ECDSA: Final = ec.ECDSA(Prehashed(hashes.SHA256()))
"""``hashlib`` hashes in a third of the time that ``cryptography`` needs to set a hash up."""
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_HEADERS_KEPT: Final = 64
_HEADER_MEMBERS: Final = frozenset({"alg", "kid", "typ"})


@unique
class Kind(Enum):
    """Every kind of token: its ``typ`` and its largest size in characters."""

    SNAPSHOT = ("ostiary-snapshot+jwt", SNAPSHOT_MAX_BYTES)
    CONFIG = ("ostiary-config+jwt", SNAPSHOT_MAX_BYTES)
    AUTHORISATION = ("ostiary-authorisation+jwt", TOKEN_MAX_BYTES)
    TICKET = ("ostiary-ticket+jwt", TOKEN_MAX_BYTES)
    ACCESS = ("ostiary-access+jwt", SNAPSHOT_MAX_BYTES)
    ASSERTION = ("ostiary-assertion+jwt", TOKEN_MAX_BYTES)
    ROTATION = ("ostiary-rotation+jwt", TOKEN_MAX_BYTES)
    KEYSET = ("ostiary-keyset+jwt", TOKEN_MAX_BYTES)
    CHECKPOINT = ("ostiary-checkpoint+jwt", TOKEN_MAX_BYTES)

    def __init__(self, typ: str, limit: int) -> None:
        self.typ = typ
        self.limit = limit


def sign(kind: Kind, claims: Mapping[str, object], key: SigningKey, *, encoded: str = "") -> str:
    """Returns the compact JWS. ``encoded``: further members of the claims as ``encode_members`` returned them, at least one.

    Raises LocalError(LIMIT_EXCEEDED) when no verifier would take a token of that size.
    """
    payload = _ENCODER.encode(claims)
    if encoded:
        payload = f"{payload[:-1]},{encoded}}}"
    signed = f"{_header(kind, key.kid)}.{b64url_encode(payload.encode())}"
    r, s = decode_dss_signature(key.private.sign(hashlib.sha256(signed.encode()).digest(), _ECDSA))
    token = f"{signed}.{b64url_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    if len(token) > kind.limit:
        raise LocalError(Reason.LIMIT_EXCEEDED, f"{kind.typ} of {len(token)} characters, limit {kind.limit}")
    return token


def encode_members(claims: Mapping[str, object]) -> str:
    """Returns claims that many tokens have in common in the form in which ``sign`` takes them."""
    return _ENCODER.encode(claims)[1:-1]


@functools.lru_cache(maxsize=_HEADERS_KEPT)
def _header(kind: Kind, kid: str) -> str:
    """The protected header as it is signed. Bounded: agents sign with keys of their own, but with one at a time."""
    return b64url_encode(_ENCODER.encode({"alg": _ALGORITHM, "kid": kid, "typ": kind.typ}).encode())


@dataclass(frozen=True, slots=True)
class Unverified:
    """A well-formed token of its kind, whose signature nobody has looked at: good for finding the key that ``verify`` needs."""

    kind: Kind
    token: str
    compact: Compact
    claims: dict[str, object]

    def verify(self, key: ec.EllipticCurvePublicKey, key_id: str) -> dict[str, object]:
        """Returns the claims, of which only the signature by ``key`` is checked. Raises RemoteError as ``verify``."""
        _check(self.kind, self.token, self.compact, {key_id: key})
        return self.claims


def read_unverified(kind: Kind, token: str) -> Unverified:
    """Takes a token apart. Raises RemoteError(TOKEN_MALFORMED, TOKEN_TYPE, TOKEN_SIGNATURE)."""
    compact = _split(kind, token)
    return Unverified(kind, token, compact, parse_object_untrusted(compact.payload, limit=kind.limit))


def verify(kind: Kind, token: str, keys: Mapping[str, ec.EllipticCurvePublicKey]) -> dict[str, object]:
    """Returns the claims of a token of this kind signed by one of ``keys``; the claims themselves are unchecked.

    Raises:
        RemoteError: TOKEN_MALFORMED, TOKEN_TYPE, TOKEN_KEY_UNKNOWN or TOKEN_SIGNATURE.
    """
    compact = _split(kind, token)
    _check(kind, token, compact, keys)
    return parse_object_untrusted(compact.payload, limit=kind.limit)


def _check(kind: Kind, token: str, compact: Compact, keys: Mapping[str, ec.EllipticCurvePublicKey]) -> None:
    kid = compact.header["kid"]
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise RemoteError(Reason.TOKEN_KEY_UNKNOWN, f"{kind.typ} signed by key {str(kid)[:64]!r}")
    if not _VERIFIER.verify(token.rpartition(".")[0].encode(), key, compact.signature):
        raise RemoteError(Reason.TOKEN_SIGNATURE, kind.typ)


def unverified_key_id(kind: Kind, token: str) -> str:
    """Returns by which key a token says it was signed. Raises RemoteError(TOKEN_MALFORMED, TOKEN_TYPE)."""
    kid = _split(kind, token).header["kid"]
    if not isinstance(kid, str):
        raise malformed("a token's kid is a text")
    return kid


def _split(kind: Kind, token: str) -> Compact:
    compact = split_compact_untrusted(token, limit=kind.limit)
    header = compact.header
    if header.keys() != _HEADER_MEMBERS:
        raise malformed("a token's header holds exactly alg, kid and typ")
    if header["typ"] != kind.typ:
        raise RemoteError(Reason.TOKEN_TYPE, f"{str(header['typ'])[:64]!r} instead of {kind.typ}")
    if header["alg"] != _ALGORITHM:
        raise RemoteError(Reason.TOKEN_SIGNATURE, f"algorithm {str(header['alg'])[:16]!r} instead of {_ALGORITHM}")
    return compact
