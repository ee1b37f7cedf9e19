"""Since when the same code has evaluated what is acknowledged: known to all processes over one database."""

from controller.store import Store
from controller.store.evaluations import SKEW_MS, same_since

OLD, NEW = "1" * 64, "f" * 64


async def said(store: Store, code: str, now_ms: int) -> int:
    """What a process by ``code`` is told."""
    async with store.transact() as connection:
        return await same_since(connection, code, now_ms)


async def test_d8_the_same_code_goes_on_where_it_was(store: Store) -> None:
    began = await said(store, NEW, 1_000)
    assert began == 1_000 + SKEW_MS
    assert await said(store, NEW, 9_000) == began


async def test_d8_other_code_begins_anew_and_so_does_the_first_when_it_comes_back(store: Store) -> None:
    await said(store, OLD, 1_000)
    assert await said(store, NEW, 5_000) == 5_000 + SKEW_MS
    assert await said(store, OLD, 9_000) == 9_000 + SKEW_MS
    assert await said(store, NEW, 20_000) == 20_000 + SKEW_MS
