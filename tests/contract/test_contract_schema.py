"""Migrations: up, down, up again, no drift, and refusal of other versions (on both databases)."""

import pytest
import sqlalchemy as sa
from log_checks import audit
from postgres_cluster import Cluster
from store_steps import raw_connection

from controller.store import Store, schema
from protocol.errors import LocalError
from protocol.reasons import Reason


def test_up_down_up_and_no_drift(empty_url: str) -> None:
    schema.upgrade(empty_url)
    schema.check(empty_url)
    schema.downgrade(empty_url, "base")
    schema.upgrade(empty_url)
    schema.check(empty_url)


async def test_an_empty_database_is_older(empty_url: str) -> None:
    with pytest.raises(LocalError) as failed:
        await Store.open(empty_url)
    assert failed.value.reason is Reason.SCHEMA_OLDER


async def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    async with raw_connection(url) as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for opening in (Store.open(url), audit(url)):
        with pytest.raises(LocalError) as failed:
            await opening
        assert failed.value.reason is Reason.SCHEMA_NEWER
        assert "9999" in failed.value.detail


async def test_a_fresh_database_opens_empty(url: str) -> None:
    store = await Store.open(url)
    assert not store.feed.state.initialised
    assert store.feed.head.position == 0
    await store.ping()
    await store.close()


async def test_a_database_without_an_encoding_serves_as_well(cluster: Cluster) -> None:
    url = cluster.create("ascii", encoding="SQL_ASCII")
    schema.upgrade(url)
    store = await Store.open(url)
    await store.ping()
    await store.close()
    cluster.drop("ascii")
