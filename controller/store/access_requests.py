"""Why somebody asked for access, and what he was answered, beside the log: texts of people, which can be erased (``erasure``).

``ask`` is here, and not in the API, because agents ask as well.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.domain.commands_requests import RequestAccess
from controller.domain.decide_requests import DURATION_DEFAULT_S, open_request
from controller.domain.evaluate import has_grant
from controller.domain.model import SubjectKind, SubjectRef
from controller.domain.request_model import AccessRequest
from controller.domain.request_target import meant, parse_target
from controller.domain.rules import RuleBrokenError
from controller.store.tables import ACCESS_REQUEST_TEXTS
from controller.store.unit import Unit
from controller.store.upsert import put
from protocol.errors import RefusedError
from protocol.ids import AccessRequestId, DeviceId, UserId
from protocol.reasons import Reason
from runtime.entropy import new_id

TEXT_MAX: Final = 1000
"""Characters of a reason or an answer."""


@dataclass(frozen=True, slots=True)
class RequestTexts:
    """What was written about one request; empty when nothing was, or when it was erased."""

    reason: str = ""
    answer: str = ""


NO_TEXTS: Final = RequestTexts()


async def ask(
    unit: Unit,
    *,
    user: UserId,
    target: str,
    reason: str,
    port: int | None = None,
    duration_s: int | None = None,
    device: DeviceId | None = None,
) -> AccessRequest:
    """Asks for access, or returns the user's open request for the same target. Tells nothing about what exists (T-10).

    Raises:
        RefusedError: ALREADY_EXISTS when he may reach it as it is; INVALID_INPUT, LIMIT_EXCEEDED, USER_DISABLED, FORBIDDEN.
    """
    text = clean_text(reason, "reason")
    if not text:
        raise RefusedError(Reason.INVALID_INPUT, "reason: say why you need it")
    try:
        canonical = parse_target(target)
    except RuleBrokenError as broken:
        raise RefusedError(broken.refusal.reason, broken.refusal.detail) from broken
    resource = meant(unit.state, canonical, port)
    if resource is not None and has_grant(unit.state, SubjectRef(SubjectKind.USER, user), resource, unit.now):
        name = unit.state.resources[resource].name
        raise RefusedError(Reason.ALREADY_EXISTS, f"you have a grant for {name} already; `ostiary explain` says more")
    request = AccessRequestId(new_id("access_request"))
    duration = DURATION_DEFAULT_S if duration_s is None else duration_s
    at = int(unit.now)
    if await unit.execute(RequestAccess(request, user, canonical, port, resource, duration, at, device)):
        row = {"request": request, "user": user, "reason": text, "answer": "", "created_at": unit.now}
        await unit.connection.execute(sa.insert(ACCESS_REQUEST_TEXTS).values(row))
        return unit.state.access_requests[request]
    same = open_request(unit.state, user, canonical, port, at)
    assert same is not None
    return same


async def set_answer(connection: AsyncConnection, request: AccessRequest, answer: str, now: float) -> None:
    """Stores what the asker is told. Raises RefusedError(INVALID_INPUT)."""
    text = clean_text(answer, "answer")
    known = (await get_texts(connection, (request.id,))).get(request.id, NO_TEXTS)
    row = {"request": request.id, "user": request.user, "reason": known.reason, "answer": text, "created_at": now}
    await put(connection, ACCESS_REQUEST_TEXTS, row)


async def get_texts(
    connection: AsyncConnection, requests: Iterable[AccessRequestId]
) -> dict[AccessRequestId, RequestTexts]:
    """Returns the texts of those requests that have some."""
    wanted = list(requests)
    found: dict[AccessRequestId, RequestTexts] = {}
    table = ACCESS_REQUEST_TEXTS
    for start in range(0, len(wanted), 500):
        query = sa.select(table.c.request, table.c.reason, table.c.answer).where(
            table.c.request.in_(wanted[start : start + 500])
        )
        for request, reason, answer in await connection.execute(query):
            found[AccessRequestId(request)] = RequestTexts(reason, answer)
    return found


async def purge(connection: AsyncConnection, before: float) -> None:
    """Deletes texts older than ``before`` (Unix seconds)."""
    table = ACCESS_REQUEST_TEXTS
    await connection.execute(sa.delete(table).where(table.c.created_at < before))


def clean_text(text: str, field: str) -> str:
    """Returns one line of text for people, without what forges lines or drives terminals (T-72, T-74).

    Raises:
        RefusedError: INVALID_INPUT when it is too long.
    """
    line = unicodedata.normalize("NFC", " ".join(text.split()))
    plain = "".join(char for char in line if char.isprintable())
    if len(plain) > TEXT_MAX:
        raise RefusedError(Reason.INVALID_INPUT, f"{field}: at most {TEXT_MAX} characters")
    return plain
