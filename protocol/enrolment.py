"""The enrolment token that a person pastes (design C1): where the controller is, its CA pin, and a one-time secret.

``otk_`` and base64url of strict JSON. It is not signed: it is trusted because the person who pastes it trusts where it
came from, and it is spent by its first use (D7). It never stands on a command line that others can read.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from protocol.errors import LocalError, RemoteProtocolError
from protocol.ids import SpkiPin
from protocol.limits import ENROLMENT_TOKEN_MAX_CHARS
from protocol.reasons import Reason
from protocol.tokens.keys import parse_pin_untrusted
from protocol.tokens.strict import b64url_decode_untrusted, b64url_encode, parse_object_untrusted

EnrolmentKind = Literal["connector", "relay", "service"]

PREFIX: Final = "otk_"
ENROLMENT_AGENT: Final = "enrolment"
"""Whom an assertion is from while its key has no id yet."""
_VERSION: Final = 1
_MEMBERS: Final = frozenset({"v", "url", "pin", "kind", "secret"})
_URL: Final = re.compile(r"https://[!-~]{1,2040}\Z")
_URL_UNWANTED: Final = frozenset('@?#\\"<>')


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """What an enrolment token holds. ``pin`` None: the controller's certificate chains to the system's roots.

    ``secret`` is base64url of 32 random bytes; ``kind`` is what may be enrolled with it.
    """

    url: str
    pin: SpkiPin | None
    kind: EnrolmentKind
    secret: str = field(repr=False)


def encode(token: EnrolmentToken) -> str:
    """Returns the text that a person pastes."""
    body = {"v": _VERSION, "url": token.url, "pin": token.pin, "kind": token.kind, "secret": token.secret}
    return PREFIX + b64url_encode(json.dumps(body, separators=(",", ":")).encode())


def parse_untrusted(text: str) -> EnrolmentToken:
    """Parses what a person pasted; white space around it is ignored.

    Raises:
        LocalError: ENROLMENT_INVALID; its detail never repeats the token.
    """
    text = text.strip()
    if not text.startswith(PREFIX) or len(text) > ENROLMENT_TOKEN_MAX_CHARS:
        raise _invalid(f"it begins with {PREFIX}")
    try:
        body = parse_object_untrusted(
            b64url_decode_untrusted(text.removeprefix(PREFIX)), limit=ENROLMENT_TOKEN_MAX_CHARS
        )
        if body.keys() != _MEMBERS or body["v"] != _VERSION or isinstance(body["v"], bool):
            raise _invalid("of another version")
        pin = None if body["pin"] is None else parse_pin_untrusted(body["pin"])
        url, kind, secret = body["url"], body["kind"], body["secret"]
        if kind not in ("connector", "relay", "service"):
            raise _invalid("of an unknown kind")
        if not isinstance(secret, str) or len(b64url_decode_untrusted(secret)) != 32:
            raise _invalid("damaged")
    except RemoteProtocolError as exc:
        raise _invalid("damaged; was it copied completely?") from exc
    return EnrolmentToken(_url(url), pin, kind, secret)


def _url(value: object) -> str:
    """Admits only ``https://host[:port][/path]``: no password, no query, nothing that two parsers read differently."""
    if not isinstance(value, str) or _URL.match(value) is None or _URL_UNWANTED & set(value):
        raise _invalid("its URL is not usable")
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise _invalid("its URL is not usable")
    return value


def _invalid(detail: str) -> LocalError:
    return LocalError(Reason.ENROLMENT_INVALID, detail)
