"""What the routes share: list parameters, the documented problems, lookups that answer NOT_FOUND."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Path, Query
from fastapi.routing import APIRoute

from controller.api.paging import decode_cursor
from controller.api.problems import PROBLEM_MEDIA_TYPE, FieldError
from controller.api.schemas.common import PAGE_DEFAULT, PAGE_MAX
from controller.domain.state import fold_name
from protocol.errors import RefusedError
from protocol.reasons import Reason

T = TypeVar("T")

PREFIX: Final = "/api/v1"

_PROBLEM: Final[dict[str, Any]] = {
    "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
}


def operation_id(route: APIRoute) -> str:
    """The stable id of an operation: its function's name."""
    return route.name


def api_router(path: str = "", *, tags: list[str | Enum]) -> APIRouter:
    """Returns a router whose operations are below ``PREFIX`` and ``path``."""
    return APIRouter(prefix=PREFIX + path, tags=tags, generate_unique_id_function=operation_id)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documents the refusals of an operation; 401, 403, 422 and 429 belong to every one that needs a session."""
    texts = {
        401: "Not signed in.",
        403: "The role, or the token's scopes, do not permit it.",
        404: "No such thing, or not yours to see.",
        409: "It conflicts with what is there.",
        410: "The token was used or has expired.",
        412: "It has changed since you read it (`If-Match`).",
        413: "The body is too large.",
        422: "The input is not valid; `field` names the member.",
        429: "Too many attempts; `Retry-After` says when to try again.",
        503: "Not at the moment; `Retry-After` says when to try again.",
    }
    # No "model": the framework would build a validator for each of a thousand refusals, at each start, and use none.
    return {status: {**_PROBLEM, "description": texts[status]} for status in sorted({*statuses, 422})}


SIGNED: Final = (401, 403, 429, 503)
STAFF: Final = SIGNED

Since = Annotated[datetime | None, Query(description="Only from this moment on (RFC 3339).")]
Until = Annotated[datetime | None, Query(description="Only before this moment (RFC 3339).")]
POSITION_MAX: Final = (1 << 63) - 1
"""What a 64-bit column holds."""

IdInPath = Annotated[str, Path(min_length=1, max_length=64, description="Its id.")]


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for."""

    cursor: Annotated[
        str | None, Query(max_length=512, description="`next_cursor` of the page before.", examples=["WzQyXQ"])
    ] = None
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX, description="Items per page.")] = PAGE_DEFAULT


def position_before(window: Window) -> int | None:
    """Where a page of a list of numbered things starts. Raises FieldError."""
    if window.cursor is None:
        return None
    (position,) = decode_cursor(window.cursor, like=(0,))
    return max(0, min(int(position), POSITION_MAX))


def to_ms(moment: datetime | None) -> int | None:
    """Unix milliseconds of a moment that the caller named. Raises FieldError when it has no offset."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise FieldError("since", "the time needs an offset, for example 2026-11-22T12:00:00Z")
    return int(moment.timestamp() * 1000)


NameFilter = Annotated[
    str | None, Query(max_length=200, description="Only the one of this name, without regard to case.")
]


def found(things: Mapping[Any, T], thing_id: str) -> T:
    """The thing of this id. Raises RefusedError(NOT_FOUND)."""
    thing = things.get(thing_id)
    if thing is None:
        raise RefusedError(Reason.NOT_FOUND)
    return thing


def has_name(name: str, wanted: str | None) -> bool:
    """Whether a thing named ``name`` passes the name filter."""
    return wanted is None or fold_name(name.strip()) == fold_name(wanted.strip())
