"""F-11: the disk is full. Writes are refused clearly, nothing is torn, and it goes on when there is room again."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from log_checks import verify_chain
from postgres_cluster import Cluster
from store_steps import give, new_network

from controller.store import Store, schema
from protocol.errors import LocalError
from protocol.reasons import Reason

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="A SMALL FILE SYSTEM CAN ONLY BE MOUNTED BY ROOT: F-11 is not tested"
)


ROOM = {"sqlite": "3m", "postgresql": "24m"}
"""Enough for the tables and a little more."""


@pytest.fixture
def small_disk(backend: str) -> Iterator[Path]:
    """A file system with little room, where the database's own user can reach it."""
    place = Path(tempfile.mkdtemp(prefix="ostiary-small-", dir="/tmp"))
    place.chmod(0o755)
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={ROOM[backend]}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(place)], check=True)
        place.rmdir()


@pytest.fixture
def small_url(backend: str, small_disk: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database that lies there, with the newest schema."""
    if backend == "sqlite":
        url = f"sqlite:///{small_disk / 'controller.db'}"
        schema.upgrade(url)
        yield url
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    tables = small_disk / "tables"
    tables.mkdir()
    url = cluster.create_on(tables, "small")
    schema.upgrade(url)
    yield url
    cluster.drop_on("small")


def fill(place: Path) -> Path:
    """Takes all room that is left."""
    filler = place / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler


async def test_f11_a_full_disk_refuses_writes_and_tears_nothing(small_disk: Path, small_url: str) -> None:
    store = await Store.open(small_url)
    follower = asyncio.create_task(store.follow())
    for _ in range(20):
        await give(store, new_network())
    filler = fill(small_disk)
    acknowledged = int(store.feed.head.position)
    refusals: list[LocalError] = []
    # A database has some free room inside of its files: how much is its own affair.
    for _ in range(2000):
        try:
            await give(store, *(new_network() for _ in range(5)))
            acknowledged += 5
        except LocalError as error:
            refusals.append(error)
        if len(refusals) == 20:
            break
    assert {(error.reason, error.detail) for error in refusals} == {(Reason.UNAVAILABLE, "database: its disk is full")}
    assert store.feed.head.position == acknowledged
    # What is known is still read.
    await store.catch_up()
    report = await verify_chain(store)
    assert (report.checked, report.faults) == (acknowledged, ())
    assert not follower.done()
    filler.unlink()
    await give(store, new_network())
    again = await Store.open(small_url)
    assert again.feed.head == store.feed.head
    assert again.feed.head.position == acknowledged + 1
    follower.cancel()
    with suppress(asyncio.CancelledError):
        await follower
    await again.close()
    await store.close()
