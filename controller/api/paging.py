"""Cursor pagination and entity tags: the two things every list and every update share."""

import base64
import json
import re
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from controller.api.problems import FieldError, PreconditionFailedError

T = TypeVar("T")
SortKey = tuple[int | str, ...]

_CURSOR_MAX: Final = 512
_TAG: Final = re.compile(r'"(0|[1-9][0-9]{0,17})"\Z')


def page_of(
    items: Iterable[T], key: Callable[[T], SortKey], *, cursor: str | None, limit: int
) -> tuple[list[T], str | None]:
    """Returns the ``limit`` items behind ``cursor`` in the order of ``key``, and the cursor of the next page.

    The cursor holds the key of the last item, so that what is added or removed in the meantime neither skips nor
    repeats others.
    """
    ordered = sorted(items, key=key)
    if cursor is not None:
        after = decode_cursor(cursor, like=key(ordered[0]) if ordered else None)
        ordered = [item for item in ordered if key(item) > after]
    page = ordered[:limit]
    return page, encode_cursor(key(page[-1])) if len(ordered) > limit else None


def encode_cursor(key: SortKey) -> str:
    """Returns the opaque form of a sort key."""
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).rstrip(b"=").decode()


def decode_cursor(text: str, *, like: SortKey | None = None) -> SortKey:
    """Returns the sort key in a cursor of ours. Raises FieldError for anything else.

    Args:
        text: what the caller sent.
        like: a key of the same list; the types of the members must be the same.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) <= _CURSOR_MAX else b""
        value = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise FieldError("cursor", "it is not a cursor of this list") from exc
    if not isinstance(value, list) or not all(type(item) in (int, str) for item in value):
        raise FieldError("cursor", "it is not a cursor of this list")
    key = tuple(value)
    if like is not None and [type(item) for item in key] != [type(item) for item in like]:
        raise FieldError("cursor", "it is not a cursor of this list")
    return key


def entity_tag(version: int) -> str:
    """Returns the ETag of a version (RFC 9110 section 8.8.3)."""
    return f'"{version}"'


def parse_if_match(header: str | None) -> int | None:
    """Returns the version that ``If-Match`` names; None when there is none or it is ``*``. Raises FieldError."""
    if header is None or header.strip() == "*":
        return None
    match = _TAG.match(header.strip())
    if match is None:
        raise FieldError("If-Match", 'it is one entity tag of this API, for example "3"')
    return int(match[1])


def check_version(expected: int | None, actual: int) -> None:
    """Raises PreconditionFailedError when the caller has seen another version (T-16)."""
    if expected is not None and expected != actual:
        raise PreconditionFailedError(f"it is at version {actual}, not {expected}", tag=entity_tag(actual))
