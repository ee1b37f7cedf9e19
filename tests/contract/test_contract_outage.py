"""The database goes away under us (PostgreSQL: its backends are ended; nothing may be half done)."""

import asyncio
from contextlib import suppress

import pytest
from log_checks import verify_chain
from policy_world import fresh_id
from postgres_cluster import Cluster
from store_steps import give, new_network, raw_connection, unit_of

from controller.store import Store
from protocol.errors import LocalError
from protocol.reasons import Reason

DEADLINE_S = 20


@pytest.fixture
def backend() -> str:
    """SQLite is part of this process: it cannot go away alone."""
    return "postgresql"


@pytest.fixture
def name(url: str) -> str:
    """The database's name."""
    return url.split("/")[3].partition("?")[0]


async def end_backends(url: str, name: str) -> None:
    """What a failover or an administrator does."""
    async with raw_connection(url) as connection:
        await connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        )


async def test_a_write_that_loses_its_connection_leaves_nothing(url: str, name: str, store: Store) -> None:
    with pytest.raises(LocalError) as failed:
        await lose_connection_inside_a_unit(url, name, store)
    assert failed.value.reason is Reason.UNAVAILABLE
    await give(store, new_network())
    assert store.feed.head.position == 1
    assert (await verify_chain(store)).faults == ()


async def lose_connection_inside_a_unit(url: str, name: str, store: Store) -> None:
    async with unit_of(store) as unit:
        await unit.execute(new_network())
        await end_backends(url, name)


async def test_pooled_connections_that_died_are_replaced(url: str, name: str, store: Store) -> None:
    await store.ping()
    await end_backends(url, name)
    await store.ping()
    await give(store, new_network())


async def test_following_ends_with_a_reason_and_misses_nothing_when_it_starts_again(
    url: str, name: str, store: Store
) -> None:
    other = await Store.open(url)
    follower = asyncio.create_task(store.follow())
    await give(other, new_network())
    await asyncio.wait_for(store.feed.wait_beyond(0), DEADLINE_S)
    await end_backends(url, name)
    with pytest.raises(LocalError) as failed:
        await asyncio.wait_for(follower, DEADLINE_S)
    assert failed.value.reason is Reason.UNAVAILABLE
    await give(other, new_network())
    assert store.feed.head.position == 1
    follower = asyncio.create_task(store.follow())
    await asyncio.wait_for(store.feed.wait_beyond(1), DEADLINE_S)
    follower.cancel()
    with suppress(asyncio.CancelledError):
        await follower
    await other.close()


async def test_a_notification_wakes_followers_at_once(url: str, store: Store) -> None:
    other = await Store.open(url)
    follower = asyncio.create_task(store.follow())
    await give(other, new_network())
    await asyncio.wait_for(store.feed.wait_beyond(0), DEADLINE_S)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await give(other, new_network())
    await asyncio.wait_for(store.feed.wait_beyond(1), DEADLINE_S)
    assert loop.time() - started < 2
    follower.cancel()
    with suppress(asyncio.CancelledError):
        await follower
    await other.close()


async def test_a_cluster_that_is_not_there_is_unavailable(cluster: Cluster) -> None:
    with pytest.raises(LocalError) as failed:
        await Store.open(cluster.url(fresh_id("event").lower().replace("-", "_")))
    assert failed.value.reason is Reason.UNAVAILABLE
