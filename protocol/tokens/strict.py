"""Strict JSON, canonical base64url and the split of a compact JWS (SPEC tokens; threats T-5, T-6).

Whatever two parsers could read differently is refused: duplicate members, NaN, lone surrogates, padding, non-zero
trailing bits, deep nesting. Nothing here knows keys or claims.
"""

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass
from typing import Final

from protocol.errors import RemoteProtocolError
from protocol.limits import JSON_MAX_DEPTH
from protocol.reasons import Reason

_HEADER_MAX_CHARS: Final = 1024
"""Ours have about 110 characters; the bound keeps unauthenticated parsing small."""
_NO_BRACKETS: Final = re.compile(r'(?:"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[^\[\]{}"]++)++', re.DOTALL)
"""Strings and everything else that is no bracket; an unterminated string reaches to the end, so a scan stays linear."""


@dataclass(frozen=True, slots=True)
class Compact:
    """The parts of a compact JWS. Only the header is parsed: the payload waits until the signature was verified."""

    header: dict[str, object]
    payload: bytes
    signature: bytes


def malformed(detail: str) -> RemoteProtocolError:
    """Returns the error for a token that is not even well-formed."""
    return RemoteProtocolError(detail, Reason.TOKEN_MALFORMED)


def b64url_encode(data: bytes) -> str:
    """Returns base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64url_decode_untrusted(text: str) -> bytes:
    """Decodes the one canonical base64url spelling of some bytes (T-5). Raises RemoteProtocolError."""
    try:
        raw = text.encode("ascii")
        data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except (ValueError, binascii.Error) as exc:
        raise malformed("not base64url") from exc
    # The library skips foreign characters and ignores trailing bits: only the encoding of the result tells.
    if base64.urlsafe_b64encode(data).rstrip(b"=") != raw:
        raise malformed("base64url is not canonical")
    return data


def parse_json_untrusted(data: bytes, *, limit: int, depth: int = JSON_MAX_DEPTH) -> object:
    """Parses UTF-8 JSON that every parser reads alike. Raises RemoteProtocolError.

    Args:
        data: the document.
        limit: its largest size in bytes.
        depth: how many arrays and objects may lie inside one another.
    """
    if len(data) > limit:
        raise malformed(f"JSON of {len(data)} bytes, limit {limit}")
    try:
        text = data.decode("utf-8")
        _check_depth(text, depth)
        value = json.loads(
            text, object_pairs_hook=_object_without_duplicates, parse_constant=_no_constant, parse_float=_finite_float
        )
        if "\\u" in text:
            # An escaped lone surrogate makes a string that cannot be encoded, compared or logged safely.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as exc:
        raise malformed("not strict JSON") from exc
    return value


def parse_object_untrusted(data: bytes, *, limit: int) -> dict[str, object]:
    """Parses strict JSON whose top is an object. Raises RemoteProtocolError."""
    value = parse_json_untrusted(data, limit=limit)
    if not isinstance(value, dict):
        raise malformed("not a JSON object")
    return value


def split_compact_untrusted(token: str, *, limit: int) -> Compact:
    """Splits a compact JWS (RFC 7515 section 7.1) of at most ``limit`` characters. Raises RemoteProtocolError."""
    if len(token) > limit:
        raise malformed(f"token of {len(token)} characters, limit {limit}")
    parts = token.split(".", 3)
    if len(parts) != 3 or not all(parts):
        raise malformed("a token has three parts")
    if len(parts[0]) > _HEADER_MAX_CHARS:
        raise malformed("token header too long")
    header = parse_object_untrusted(b64url_decode_untrusted(parts[0]), limit=_HEADER_MAX_CHARS)
    return Compact(header, b64url_decode_untrusted(parts[1]), b64url_decode_untrusted(parts[2]))


def _check_depth(text: str, limit: int) -> None:
    """Walks over the brackets outside strings, so that the parser itself never recurses deeper than ``limit``."""
    if text.count("[") + text.count("{") <= limit:
        return
    depth = 0
    for bracket in _NO_BRACKETS.sub("", text):
        depth += 1 if bracket in "[{" else -1
        if depth > limit:
            raise ValueError("nested too deeply")


def _object_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate member")
    return result


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("number out of range")
    return value
