"""Checkpoints and restores on both databases: linked, append-only, compared with the log (T-70, F-26)."""

import asyncio

import pytest
import sqlalchemy as sa
from checkpoint_steps import Notary
from log_checks import verify_chain
from sqlalchemy.exc import DBAPIError
from store_steps import give, new_network, raw_connection, tamper

from controller.api.operations import checkpoints as operations
from controller.store import Store, checkpoints, restores
from controller.store.chain import GENESIS, row_hash
from controller.store.restores import Restore
from controller.store.tables_evidence import RESTORES
from protocol.errors import LocalError
from protocol.reasons import Reason


@pytest.fixture
def notary() -> Notary:
    """Keys and a clock."""
    return Notary()


async def test_t70_each_checkpoint_names_the_one_before_it(store: Store, notary: Notary) -> None:
    await notary.set_up(store)
    checkpointer = notary.over(store)
    await checkpointer.sign()
    await checkpointer.sign()
    await give(store, new_network(), new_network())
    await checkpointer.sign()
    first, second = (notary.read(store, token) for token in notary.told)
    hashes = {change.position: change.after.log_head for change in store.feed.recent}
    assert (first.position, first.hash) == (3, hashes[3])
    assert (first.previous_position, first.previous_hash) == (0, GENESIS)
    assert (second.position, second.hash, second.epoch) == (5, hashes[5], 1)
    assert (second.previous_position, second.previous_hash) == (3, hashes[3])
    async with store.read() as connection:
        stored = await checkpoints.between(connection, 0, 99)
        assert [item.token for item in stored] == notary.told
        assert await checkpoints.between(connection, 3, 4) == []
        assert await checkpoints.newest(connection) == stored[-1]
    assert {item.kid for item in stored} == set(notary.ring.keys)


async def test_t70_replicas_sign_one_line_of_checkpoints(url: str, store: Store, notary: Notary) -> None:
    await notary.set_up(store)
    other = await Store.open(url)
    signers = [notary.over(store), notary.over(other)]
    for _ in range(5):
        await give(store, new_network())
        await other.catch_up()
        await asyncio.gather(*(signer.sign() for signer in signers for _ in range(3)))
    async with store.read() as connection:
        line = [notary.read(store, item.token) for item in await checkpoints.between(connection, 0, 99)]
    assert [item.position for item in line] == [4, 5, 6, 7, 8]
    assert [item.previous_position for item in line] == [0, 4, 5, 6, 7]
    assert [signer.position for signer in signers] == [8, 8]
    assert len(notary.told) == 10
    await other.close()


async def test_t70_a_replica_that_lags_signs_nothing_older(url: str, store: Store, notary: Notary) -> None:
    await notary.set_up(store)
    behind = await Store.open(url)
    await give(store, new_network())
    await notary.over(store).sign()
    await notary.over(behind).sign()
    assert {notary.read(store, token).position for token in notary.told} == {4}
    await behind.close()


async def test_t70_a_checkpoint_comes_after_so_many_events_or_so_long(
    store: Store, notary: Notary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "EVERY_EVENTS", 4)
    await notary.set_up(store)
    signed = asyncio.Event()
    checkpointer = operations.Checkpointer(
        store, notary.over(store)._signer, notary.clock, lambda token: (notary.told.append(token), signed.set())[1]
    )
    running = asyncio.create_task(checkpointer.run())
    await give(store, new_network())
    async with asyncio.timeout(60):
        await signed.wait()
    assert notary.read(store, notary.told[-1]).position == 4
    signed.clear()
    monkeypatch.setattr(operations, "EVERY_S", 0.01)
    await give(store, new_network())
    async with asyncio.timeout(60):
        await signed.wait()
    assert notary.read(store, notary.told[-1]).position == 5
    running.cancel()


async def test_without_a_signing_key_nothing_is_signed_and_the_end_does_not_fail(store: Store, notary: Notary) -> None:
    await give(store, new_network())
    await notary.over(store).sign_last()
    assert notary.told == []


@pytest.mark.parametrize("statement", ["UPDATE checkpoints SET hash = 'x'", "DELETE FROM checkpoints"])
async def test_t70_checkpoints_are_append_only(url: str, store: Store, notary: Notary, statement: str) -> None:
    await notary.set_up(store)
    await notary.over(store).sign()
    with pytest.raises(DBAPIError, match="append-only"):
        async with raw_connection(url) as connection:
            await connection.execute(sa.text(statement))


async def test_t70_a_log_rewritten_with_its_hashes_disagrees_with_its_checkpoints(
    url: str, store: Store, notary: Notary
) -> None:
    await notary.set_up(store)
    await give(store, new_network())
    await notary.over(store).sign()
    await notary.over(store).load()
    async with store.read() as connection:
        row = (await connection.execute(sa.text("SELECT * FROM events WHERE position = 4"))).mappings().one()
    parts = {name: row[name] for name in row if name not in ("type", "hash", "actor")}
    forged = row_hash(event_type=row["type"], actor="somebody", **parts)
    await tamper(url, f"UPDATE events SET actor = 'somebody', hash = '{forged}' WHERE position = 4")
    again = await Store.open(url)
    assert (await verify_chain(again)).faults == ()
    with pytest.raises(LocalError, match="event 4") as failed:
        await notary.over(again).load()
    assert failed.value.reason is Reason.LOG_CONFLICT
    await again.close()


async def test_t70_a_truncated_log_disagrees_with_its_checkpoints(url: str, store: Store, notary: Notary) -> None:
    await notary.set_up(store)
    await give(store, new_network())
    await notary.over(store).sign()
    await tamper(url, "DELETE FROM events WHERE position = 4")
    again = await Store.open(url)
    with pytest.raises(LocalError, match="event 4, which is gone"):
        await notary.over(again).load()
    await again.close()


async def test_f26_a_restored_database_opens_only_after_its_epoch_was_raised(url: str, store: Store) -> None:
    async with store.transact() as connection:
        await connection.execute(sa.insert(RESTORES).values(vars_of(Restore(2.0, 1.0, 7, "h", 1))))
    with pytest.raises(LocalError) as failed:
        await Store.open(url)
    assert failed.value.reason is Reason.RESTORE_PENDING
    assert "event 7" in failed.value.detail
    opened = await Store.open(url, restored=True)
    async with opened.transact() as connection:
        assert await restores.pending(connection) == Restore(2.0, 1.0, 7, "h", 1)
        await restores.confirm(connection, 2)
        assert await restores.pending(connection) is None
    await opened.close()
    await (await Store.open(url)).close()


def vars_of(restore: Restore) -> dict[str, object]:
    """A restore as a row."""
    return {name: getattr(restore, name) for name in Restore.__slots__}
