"""The log as lines for auditors: header, events with their hashes, checkpoints, public keys, end (docs/audit.md).

It reads the tables as they are and folds nothing, so that also a damaged log can be taken away as evidence. Rows are read in
batches while the controller writes: the log only grows, and what comes after the start is left out.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controller.store import checkpoints, events, schema
from controller.store.chain import GENESIS, Row
from controller.store.checkpoints import StoredCheckpoint
from controller.store.engine import make_engine, parse_url, require_file
from controller.store.evidence import FORMAT
from controller.store.store import reachable
from controller.store.tables import EVENTS, PERSONAL_DATA

Line = dict[str, Any]
_ADDED: Final = "signing_key.added/1"
_ISSUED: Final = "controller.initialised/1"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AsyncEngine]:
    """Opens a database that need not be fit to serve. Raises LocalError as ``Store.open``, but not for a damaged log."""
    parsed = parse_url(url)
    require_file(parsed)
    engine = make_engine(parsed)
    try:
        with reachable():
            async with engine.connect() as connection:
                await connection.run_sync(schema.require_current)
            yield engine
    finally:
        await engine.dispose()


async def lines(engine: AsyncEngine) -> AsyncGenerator[Line, None]:
    """The whole log, up to where it ends now. Each batch is a transaction of its own: nobody waits for a reader."""
    async with engine.connect() as connection:
        last, log_head = await _end(connection)
        yield {"kind": "header", "format": FORMAT, "events": last, "log_head": log_head}
    position, signed = 0, 0
    keys: list[Line] = []
    issuer = ""
    while position < last:
        async with engine.connect() as connection:
            rows = await events.rows_after(connection, position, limit=min(events.BATCH, last - position))
            until = rows[-1].position if rows else last
            found = await checkpoints.between(connection, position, until)
        for row in rows:
            yield event_line(row)
            keys += _key_lines(row)
            issuer = issuer or _issuer_of(row)
            while found and found[0].position <= row.position:
                signed += 1
                yield checkpoint_line(found.pop(0))
        for item in found:
            signed += 1
            yield checkpoint_line(item)
        position = until
    async with engine.connect() as connection:
        for item in await checkpoints.between(connection, last, await _last_checkpoint(connection)):
            # Of a log that has grown since they are not told; of one that was cut they are the evidence.
            if await _ends_before(connection, item.position):
                signed += 1
                yield checkpoint_line(item)
    for key in keys:
        yield key
    yield {"kind": "end", "events": last, "checkpoints": signed, "log_head": log_head, "issuer": issuer}


async def personal_lines(engine: AsyncEngine) -> AsyncGenerator[Line, None]:
    """What is known about people and their devices, beside the log; not to be given to everybody who gets the log."""
    async with engine.connect() as connection:
        for row in (await connection.execute(sa.select(PERSONAL_DATA).order_by(PERSONAL_DATA.c.subject))).mappings():
            yield {
                "kind": "personal",
                "subject": row["subject"],
                "email": row["email"],
                "fields": json.loads(row["fields"]),
            }


def event_line(row: Row) -> Line:
    """An event exactly as stored: its hash covers the text of ``data``."""
    return {"kind": "event", **row._asdict()}


def checkpoint_line(item: StoredCheckpoint) -> Line:
    """A checkpoint as stored."""
    return {"kind": "checkpoint", **asdict(item)}


def _key_lines(row: Row) -> list[Line]:
    if row.type != _ADDED:
        return []
    data = _data(row)
    return [{"kind": "key", "kid": data.get("kid"), "jwk": data.get("jwk"), "added": row.position}]


def _issuer_of(row: Row) -> str:
    return str(_data(row).get("issuer", "")) if row.type == _ISSUED else ""


def _data(row: Row) -> Line:
    try:
        value = json.loads(row.data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


async def _end(connection: AsyncConnection) -> tuple[int, str]:
    query = sa.select(EVENTS.c.position, EVENTS.c.hash).order_by(EVENTS.c.position.desc()).limit(1)
    row = (await connection.execute(query)).one_or_none()
    return (int(row[0]), str(row[1])) if row is not None else (0, GENESIS)


async def _last_checkpoint(connection: AsyncConnection) -> int:
    newest = await checkpoints.newest(connection)
    return newest.position if newest is not None else 0


async def _ends_before(connection: AsyncConnection, position: int) -> bool:
    return (await _end(connection))[0] < position
