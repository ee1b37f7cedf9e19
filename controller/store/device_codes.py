"""Device sign-ins in progress (RFC 8628). A code moves pending -> approved | denied and is taken once (D7)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import Update

from controller.domain.authentication import Authentication
from controller.store.chain import canonical_json
from controller.store.tables import DEVICE_CODES
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason

SLOW_DOWN_S: Final = 5.0
"""RFC 8628 section 3.5: what a poll that comes too early adds to the interval."""


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """One sign-in in progress. ``status``: pending, approved, denied or taken. Times are Unix seconds.

    ``how``: how the person who approved it had proved who he is.
    """

    hash: str
    user_code: str
    jwk: Mapping[str, str]
    device_name: str
    platform: str
    status: str
    user: UserId | None
    created_at: float
    expires: float
    interval_s: float
    last_poll: float | None
    how: Authentication | None = None


async def create(
    connection: AsyncConnection,
    code_hash: str,
    *,
    user_code: str,
    jwk: Mapping[str, str],
    device_name: str,
    platform: str,
    interval_s: float,
    expires: float,
    now: float,
) -> None:
    """Stores a new pending code. Raises RefusedError(ALREADY_EXISTS) when the user code is in use: draw another one."""
    await connection.execute(sa.delete(DEVICE_CODES).where(DEVICE_CODES.c.expires < now))
    if await find_by_user_code(connection, user_code) is not None:
        raise RefusedError(Reason.ALREADY_EXISTS, "user code")
    row = {
        "hash": code_hash,
        "user_code": user_code,
        "jwk": canonical_json(dict(jwk)),
        "device_name": device_name,
        "platform": platform,
        "status": "pending",
        "created_at": now,
        "expires": expires,
        "interval_s": interval_s,
    }
    await connection.execute(sa.insert(DEVICE_CODES).values(row))


async def find_by_user_code(connection: AsyncConnection, user_code: str) -> DeviceCode | None:
    """Returns the sign-in that shows this code, whatever its status; also an expired one."""
    return await _find(connection, DEVICE_CODES.c.user_code == user_code)


async def poll(connection: AsyncConnection, code_hash: str, now: float) -> DeviceCode:
    """Notes a poll and returns the sign-in as it was before it.

    A poll that comes sooner than ``interval_s`` after the last one makes the interval longer. The caller looks at
    ``too_early`` and ``status``, and takes an approved code with ``take``.

    Raises:
        RefusedError: SIGN_IN_EXPIRED for an unknown or expired code.
    """
    code = await _find(connection, DEVICE_CODES.c.hash == code_hash)
    if code is None or code.expires <= now:
        raise RefusedError(Reason.SIGN_IN_EXPIRED)
    interval_s = code.interval_s + (SLOW_DOWN_S if too_early(code, now) else 0.0)
    values = {"last_poll": now, "interval_s": interval_s}
    await connection.execute(sa.update(DEVICE_CODES).where(DEVICE_CODES.c.hash == code_hash).values(values))
    return code


def too_early(code: DeviceCode, now: float) -> bool:
    """Whether a poll at ``now`` breaks the interval: answer SLOW_DOWN."""
    return code.last_poll is not None and now < code.last_poll + code.interval_s


async def approve(
    connection: AsyncConnection, user_code: str, user: UserId, now: float, how: Authentication | None = None
) -> DeviceCode:
    """Approves a pending sign-in for ``user``. Raises RefusedError(SIGN_IN_EXPIRED) unless it is pending and in time."""
    return await _settle(connection, user_code, now, status="approved", user=user, how=how)


async def deny(connection: AsyncConnection, user_code: str, now: float) -> DeviceCode:
    """Denies a pending sign-in. Raises RefusedError(SIGN_IN_EXPIRED) unless it is pending and in time."""
    return await _settle(connection, user_code, now, status="denied", user=None)


async def take(connection: AsyncConnection, code_hash: str, now: float) -> DeviceCode:
    """Spends an approved code, once, whatever runs in parallel; the returned code has its ``user``.

    Raises:
        RefusedError: AUTHORIZATION_PENDING, SIGN_IN_DENIED or SIGN_IN_EXPIRED (also when it was taken before).
    """
    approved = (DEVICE_CODES.c.hash == code_hash) & (DEVICE_CODES.c.status == "approved")
    code = await _update(connection, sa.update(DEVICE_CODES).where(approved, _in_time(now)).values(status="taken"))
    if code is not None:
        return code
    found = await _find(connection, DEVICE_CODES.c.hash == code_hash)
    if found is None or found.expires <= now or found.status == "taken":
        raise RefusedError(Reason.SIGN_IN_EXPIRED)
    raise RefusedError(Reason.SIGN_IN_DENIED if found.status == "denied" else Reason.AUTHORIZATION_PENDING)


async def _settle(
    connection: AsyncConnection,
    user_code: str,
    now: float,
    *,
    status: str,
    user: UserId | None,
    how: Authentication | None = None,
) -> DeviceCode:
    pending = (DEVICE_CODES.c.user_code == user_code) & (DEVICE_CODES.c.status == "pending")
    values: dict[str, object] = {"status": status, "user": user}
    if how is not None:
        values |= {"authenticated_s": how.authenticated_s, "mfa_s": how.mfa_s, "method": how.method}
    statement = sa.update(DEVICE_CODES).where(pending, _in_time(now)).values(values)
    code = await _update(connection, statement)
    if code is None:
        raise RefusedError(Reason.SIGN_IN_EXPIRED)
    return code


async def _update(connection: AsyncConnection, statement: Update) -> DeviceCode | None:
    row = (await connection.execute(statement.returning(*DEVICE_CODES.c))).mappings().one_or_none()
    return _code(row) if row is not None else None


async def _find(connection: AsyncConnection, condition: sa.ColumnElement[bool]) -> DeviceCode | None:
    row = (await connection.execute(sa.select(DEVICE_CODES).where(condition))).mappings().one_or_none()
    return _code(row) if row is not None else None


def _in_time(now: float) -> sa.ColumnElement[bool]:
    return DEVICE_CODES.c.expires > now


def _code(row: sa.RowMapping) -> DeviceCode:
    values = {field.name: row[field.name] for field in fields(DeviceCode) if field.name != "how"}
    return DeviceCode(**{**values, "jwk": json.loads(row["jwk"]), "how": _how(row)})


def _how(row: sa.RowMapping) -> Authentication | None:
    if row["method"] is None:
        return None
    mfa_s = None if row["mfa_s"] is None else int(row["mfa_s"])
    return Authentication(int(row["authenticated_s"]), mfa_s, row["method"])
