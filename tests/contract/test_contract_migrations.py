"""Each migration by itself, down and up again, over a database that holds something (F-25)."""

import asyncio

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from log_checks import verify_chain
from store_steps import give, new_network, raw_connection

from controller.store import Store, schema

DEADLINE_S = 60


def revisions() -> list[str]:
    """All of them, oldest first."""
    scripts = ScriptDirectory(str(schema._SCRIPTS))
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


async def step(function: object, url: str, revision: str) -> None:
    """Migrations are blocking."""
    await asyncio.to_thread(function, url, revision)  # type: ignore[arg-type]


async def test_f25_every_step_down_and_up_keeps_the_log(url: str, store: Store) -> None:
    await give(store, *(new_network() for _ in range(20)))
    head = store.feed.head
    # Until the oldest one that still has the log.
    for revision in reversed(revisions()[:-1]):
        await step(schema.downgrade, url, revision)
    for revision in revisions()[1:]:
        await step(schema.upgrade, url, revision)
    await asyncio.to_thread(schema.check, url)
    again = await Store.open(url)
    assert again.feed.head == head
    assert (await verify_chain(again)).faults == ()
    await give(again, new_network())
    await again.close()


async def test_f25_the_log_stays_append_only_after_a_step_down_and_up(url: str, store: Store) -> None:
    await give(store, new_network())
    await step(schema.downgrade, url, revisions()[0])
    await step(schema.upgrade, url, "head")
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        async with raw_connection(url) as connection:
            await connection.execute(sa.text("UPDATE events SET actor = 'mallory'"))


async def test_f25_the_last_step_waits_for_writers_and_they_for_it(url: str, store: Store) -> None:
    """The newest migration is taken back and made again while a writer writes; neither fails, and nothing is lost."""
    stop = asyncio.Event()
    written = 0

    async def writer() -> None:
        nonlocal written
        while not stop.is_set():
            await give(store, new_network())
            written += 1

    task = asyncio.create_task(writer())
    previous = revisions()[-2]
    async with asyncio.timeout(DEADLINE_S):
        await step(schema.downgrade, url, previous)
        await step(schema.upgrade, url, "head")
    stop.set()
    await asyncio.wait_for(task, DEADLINE_S)
    assert store.feed.head.position == written > 0
    assert (await verify_chain(store)).faults == ()
