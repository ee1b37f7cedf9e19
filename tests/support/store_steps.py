"""Short words for tests that write to a store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa
from policy_world import START, fresh_id, fresh_name
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.domain import commands as c
from controller.store import Store, Unit
from controller.store.engine import make_engine, parse_url
from protocol.ids import NetworkId


@asynccontextmanager
async def unit_of(store: Store, *, actor: str = "cli", now: float = START) -> AsyncIterator[Unit]:
    """A write unit with the parts that most tests do not care about."""
    async with store.write(actor=actor, request_id="req", now=now) as unit:
        yield unit


async def give(store: Store, *commands: c.Command, actor: str = "cli", now: float = START) -> None:
    """Gives commands in one unit."""
    async with unit_of(store, actor=actor, now=now) as unit:
        for command in commands:
            await unit.execute(command)


def new_network(name: str = "") -> c.CreateNetwork:
    """A command that is always accepted."""
    network = NetworkId(fresh_id("network"))
    return c.CreateNetwork(network, name or fresh_name())


@asynccontextmanager
async def raw_connection(url: str) -> AsyncIterator[AsyncConnection]:
    """A superuser's connection past the store, as an attacker or an operator would have; commits at the end."""
    engine = make_engine(parse_url(url))
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


async def tamper(url: str, *statements: str) -> None:
    """Changes the log in SQL although it is append-only."""
    async with raw_connection(url) as connection:
        if connection.dialect.name == "sqlite":
            await connection.exec_driver_sql("DROP TRIGGER events_no_update")
            await connection.exec_driver_sql("DROP TRIGGER events_no_delete")
        else:
            await connection.exec_driver_sql("ALTER TABLE events DISABLE TRIGGER events_append_only")
        for statement in statements:
            await connection.execute(sa.text(statement))
