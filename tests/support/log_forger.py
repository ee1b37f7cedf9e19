"""Everything that somebody with the database in his hands can do to the log, and a witness who saw it before."""

import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from checkpoint_steps import ISSUER, NETWORKS, Notary
from policy_world import START
from sqlalchemy.ext.asyncio import AsyncConnection
from store_steps import give, new_network, raw_connection

from controller.publish import verification_keys
from controller.store import Store, exporting
from controller.store.chain import Row, row_hash
from controller.store.exporting import Line

SIGNED = (5, 8, 10)
"""Positions of the checkpoints of ``written``; the log has NETWORKS events behind its three first."""
EVENTS = 3 + NETWORKS


async def written(store: Store, notary: Notary) -> None:
    """A log with EVENTS events and checkpoints at SIGNED."""
    await notary.set_up(store)
    signer = notary.over(store)
    for number in range(4, EVENTS + 1):
        await give(store, new_network(f"n{number}"))
        if number in SIGNED:
            await signer.sign()


def seen_by(store: Store, notary: Notary) -> Line:
    """The notes of a connector that saw all checkpoints and the newest config."""
    claims = [notary.read(store, token) for token in notary.told]
    head = store.feed.head
    return {
        "format": "ostiary-witness/1",
        "connector": "con_x",
        "issuer": ISSUER,
        "keys": verification_keys(head.state).to_jwks()["keys"],
        "checkpoints": [
            {
                "epoch": item.epoch,
                "position": item.position,
                "hash": item.hash,
                "issued_at": item.issued_at,
                "seen_at": START,
                "token": item.token,
            }
            for item in claims
        ],
        "heads": [
            {
                "epoch": head.state.epoch,
                "position": head.position,
                "hash": head.log_head,
                "issued_at": START,
                "seen_at": START,
                "token": "",
            }
        ],
        "conflicts": [],
        "cutoffs": [],
    }


async def exported(url: str, target: Path) -> list[Line]:
    """The export of a database, also as a file."""
    async with exporting.opened(url) as engine, aclosing(exporting.lines(engine)) as lines:
        found = [line async for line in lines]
    target.write_text("".join(json.dumps(line) + "\n" for line in found))
    return found


async def forge(url: str, *statements: str) -> None:
    """Runs SQL although log and checkpoints are append-only."""
    async with raw_connection(url) as connection:
        await _unlock(connection)
        for statement in statements:
            await connection.execute(sa.text(statement))


async def rewrite(url: str, position: int, *, checkpoints: bool, change: Callable[[Row], Row] | None = None) -> None:
    """Changes one event and makes all hashes fit again; with ``checkpoints`` those from there on are deleted."""
    change = change or (lambda row: row._replace(actor="somebody"))
    async with raw_connection(url) as connection:
        await _unlock(connection)
        found = await connection.execute(sa.text("SELECT * FROM events ORDER BY position"))
        previous = ""
        for row in [Row(**item) for item in found.mappings()]:
            made = change(row) if row.position == position else row
            if row.position >= position:
                made = rehashed(made, previous or made.previous_hash)
                await _store(connection, made)
            previous = made.hash
        if checkpoints:
            await connection.execute(sa.text(f"DELETE FROM checkpoints WHERE position >= {position}"))


async def swap(url: str, first: int, second: int) -> None:
    """Lets two events stand at each other's place, each with its own hash."""
    async with raw_connection(url) as connection:
        await _unlock(connection)
        found = await connection.execute(sa.text(f"SELECT * FROM events WHERE position IN ({first}, {second})"))
        rows = {item["position"]: Row(**item) for item in found.mappings()}
        await connection.execute(sa.text(f"DELETE FROM events WHERE position IN ({first}, {second})"))
        for place, other in ((first, second), (second, first)):
            row: dict[str, Any] = rows[other]._replace(position=place)._asdict()
            columns = ", ".join(f'"{name}"' for name in row)
            values = ", ".join(f":{name}" for name in row)
            await connection.execute(sa.text(f"INSERT INTO events ({columns}) VALUES ({values})"), row)


def rehashed(row: Row, previous: str) -> Row:
    """The row as if it had always been so."""
    digest = row_hash(
        position=row.position,
        stream=row.stream,
        version=row.version,
        event_type=row.type,
        data=row.data,
        actor=row.actor,
        at_ms=row.at_ms,
        request_id=row.request_id,
        previous_hash=previous,
    )
    return row._replace(previous_hash=previous, hash=digest)


async def _store(connection: AsyncConnection, row: Row) -> None:
    values = {"p": row.position, "a": row.actor, "d": row.data, "v": row.previous_hash, "h": row.hash}
    update = "UPDATE events SET actor = :a, data = :d, previous_hash = :v, hash = :h WHERE position = :p"
    await connection.execute(sa.text(update), values)


async def _unlock(connection: AsyncConnection) -> None:
    for table in ("events", "checkpoints"):
        if connection.dialect.name == "sqlite":
            for verb in ("update", "delete"):
                await connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_no_{verb}")
        else:
            await connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
