"""F-11: the disk is full. Writes are refused clearly, nothing is torn, and it goes on when there is room again."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from store_steps import give, new_network

from controller.store import Store, schema
from protocol.errors import LocalError
from protocol.reasons import Reason

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="A SMALL FILE SYSTEM CAN ONLY BE MOUNTED BY ROOT: F-11 is not tested"
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Takes all room that is left."""
    filler = place / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler


async def test_f11_a_full_disk_refuses_writes_and_tears_nothing(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk / 'controller.db'}"
    schema.upgrade(url)
    store = await Store.open(url)
    follower = asyncio.create_task(store.follow())
    for _ in range(20):
        await give(store, new_network())
    filler = fill(small_disk)
    acknowledged = int(store.feed.head.position)
    refusals: list[LocalError] = []
    for _ in range(50):
        try:
            await give(store, *(new_network() for _ in range(5)))
            acknowledged += 5
        except LocalError as error:
            refusals.append(error)
    assert {(error.reason, error.detail) for error in refusals} == {(Reason.UNAVAILABLE, "database: its disk is full")}
    assert store.feed.head.position == acknowledged
    # What is known is still read.
    await store.catch_up()
    report = await store.verify_chain()
    assert (report.checked, report.faults) == (acknowledged, ())
    assert not follower.done()
    filler.unlink()
    await give(store, new_network())
    again = await Store.open(url)
    assert again.feed.head == store.feed.head
    assert again.feed.head.position == acknowledged + 1
    follower.cancel()
    with suppress(asyncio.CancelledError):
        await follower
    await again.close()
    await store.close()
