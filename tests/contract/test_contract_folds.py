"""Saved folds: a shortcut of a start, never a source (T-70)."""

import pytest
import sqlalchemy as sa
from policy_world import START, fresh_id
from store_steps import give, new_network, raw_connection, tamper

from controller.domain import commands as c
from controller.domain.log import Head
from controller.domain.model import Role
from controller.identity.sealing import Seal
from controller.publish.cutoffs import KEEP_S
from controller.store import Store, folds, loading, upkeep
from protocol.errors import LocalError
from protocol.ids import UserId
from protocol.reasons import Reason

SEAL = Seal(b"s" * 32)
LATER = START + folds.SETTLED_S + 1


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of a few dozen events is a long one here."""
    monkeypatch.setattr(folds, "WORTH_IT", 10)
    monkeypatch.setattr(loading, "HISTORY", 4)
    monkeypatch.setattr(upkeep, "VERIFY_PAUSE_S", 0)


@pytest.fixture
async def saved(store: Store) -> Store:
    """A store of 30 events with a saved fold of the first 20."""
    await fill(store, 20)
    assert await upkeep.save_fold(store, SEAL, LATER)
    await fill(store, 10)
    return store


async def fill(store: Store, count: int) -> None:
    await give(store, *(new_network() for _ in range(count - 1)), c.CreateUser(UserId(fresh_id("user")), Role.OWNER))


async def opened_with(url: str, seal: Seal | None) -> tuple[Head, Head]:
    """Returns the base and the head of a fresh start."""
    again = await Store.open(url, seal=seal)
    await again.close()
    return again.base, again.feed.head


async def test_a_start_from_a_saved_fold_ends_where_the_log_does(url: str, saved: Store) -> None:
    base, head = await opened_with(url, SEAL)
    assert base.position == 20
    assert head == saved.feed.head


async def test_a_long_log_folds_the_same_in_one_go(url: str, saved: Store) -> None:
    again = await Store.open(url)
    assert again.base.position == 0
    assert again.feed.head == saved.feed.head
    assert [change.position for change in again.feed.recent] == [27, 28, 29, 30]
    assert again.feed.recent[0].before == saved.feed.recent[25].after.state
    await again.close()


async def test_only_what_has_settled_is_saved(store: Store) -> None:
    assert folds.SETTLED_S > KEEP_S
    await give(store, *(new_network() for _ in range(20)))
    await give(store, *(new_network() for _ in range(20)), now=LATER - 10)
    assert await upkeep.save_fold(store, SEAL, LATER)
    async with store.read() as connection:
        assert await folds.newest_position(connection) == 20
    assert not await upkeep.save_fold(store, SEAL, LATER)


async def test_few_are_kept(store: Store) -> None:
    for _ in range(4):
        await fill(store, 10)
        assert await upkeep.save_fold(store, SEAL, LATER)
    async with raw_connection(str(store._url)) as connection:
        kept = (await connection.execute(sa.text("SELECT position FROM folds ORDER BY position"))).scalars().all()
    assert kept == [30, 40]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE folds SET sealed = (SELECT sealed FROM folds f WHERE f.position = 10) WHERE position = 20",
        "UPDATE folds SET log_head = 'ff' || substr(log_head, 3)",
        "UPDATE folds SET code = 'other'",
        "UPDATE folds SET position = position + 1",
    ],
)
async def test_t70_a_fold_that_was_changed_is_passed_over(url: str, store: Store, statement: str) -> None:
    for _ in range(2):
        await fill(store, 10)
        assert await upkeep.save_fold(store, SEAL, LATER)
    async with raw_connection(url) as connection:
        await connection.execute(sa.text(statement))
    base, head = await opened_with(url, SEAL)
    assert base.position in (0, 10)
    assert head == store.feed.head


async def test_t70_a_fold_by_somebody_else_is_passed_over(url: str, store: Store) -> None:
    await fill(store, 20)
    forged = Head(store.feed.recent[5].after.state, store.feed.head.log_head)
    async with store.transact() as connection:
        await folds.save(connection, Seal(b"x" * 32), Head(store.feed.state, store.feed.head.log_head), LATER)
    assert (await opened_with(url, SEAL))[0].position == 0
    async with store.transact() as connection:
        await folds.save(connection, SEAL, forged, LATER)
    base, head = await opened_with(url, SEAL)
    assert base.position == 0
    assert head == store.feed.head


async def test_folds_by_other_code_are_passed_over(url: str, saved: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "code_digest", lambda: "newer")
    base, head = await opened_with(url, SEAL)
    assert base.position == 0
    assert head == saved.feed.head


async def test_the_code_digest_depends_on_what_a_fold_is() -> None:
    folds.code_digest.cache_clear()
    first = folds.code_digest()
    folds.code_digest.cache_clear()
    assert folds.code_digest() == first
    assert len(first) == 64


async def test_t70_what_a_fold_let_us_skip_is_verified_afterwards(url: str, saved: Store) -> None:
    again = await Store.open(url, seal=SEAL)
    await upkeep.verify_below(again, again.base)
    await tamper(url, "UPDATE events SET actor = 'mallory' WHERE position = 7")
    with pytest.raises(LocalError) as damaged:
        await upkeep.verify_below(again, again.base)
    assert damaged.value.reason is Reason.STATE_CORRUPT
    assert "event 7" in damaged.value.detail
    await again.close()


async def test_t70_damage_behind_a_fold_is_noticed_at_once(url: str, saved: Store) -> None:
    await tamper(url, "UPDATE events SET actor = 'mallory' WHERE position = 22")
    with pytest.raises(LocalError) as damaged:
        await Store.open(url, seal=SEAL)
    assert "event 22" in damaged.value.detail
