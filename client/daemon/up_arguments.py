"""What `ostiary up` was given: which controller to trust, and by what (T-56)."""

from collections.abc import Mapping
from typing import Any

from protocol.enrolment import EnrolmentToken, parse_untrusted
from protocol.errors import LocalError, RemoteError
from protocol.ids import SpkiPin
from protocol.reasons import Reason
from protocol.tokens.keys import parse_pin_untrusted
from runtime.http import check_url


def parse_up(args: Mapping[str, Any]) -> tuple[EnrolmentToken | None, str | None, SpkiPin | None]:
    """Returns token, URL and pin; a token names both. Raises LocalError(INVALID_INPUT, ENROLMENT_INVALID)."""
    url, pin, text = args.get("url"), args.get("ca_pin"), args.get("token")
    if not all(value is None or isinstance(value, str) for value in (url, pin, text)):
        raise LocalError(Reason.INVALID_INPUT, "url, ca_pin and token are texts")
    token = None if text is None else parse_untrusted(text)
    if token is not None:
        if url is not None and _base(url) != _base(token.url):
            raise LocalError(Reason.INVALID_INPUT, "the URL is not the one in the token")
        return token, _base(token.url), token.pin
    if pin is not None and url is None:
        raise LocalError(Reason.INVALID_INPUT, "a pin without the controller's URL")
    try:
        parsed = None if pin is None else parse_pin_untrusted(pin)
    except RemoteError as exc:
        raise LocalError(Reason.INVALID_INPUT, "ca_pin is sha256/ and 44 characters") from exc
    return None, None if url is None else _base(url), parsed


def _base(url: str) -> str:
    parts = check_url(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
