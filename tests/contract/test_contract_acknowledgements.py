"""Acknowledgements and contacts: they outlive processes, the first one of a revision stays (both databases)."""

import pytest

from controller.store import Store, acknowledgements
from controller.store.acknowledgements import Ack
from protocol.ids import Epoch, Revision


def ack(agent: str, revision: int, at_ms: int, *, epoch: int = 1, digest: str = "d") -> Ack:
    return Ack(agent, Epoch(epoch), Revision(revision), digest, at_ms)


async def noted(store: Store, *acks: Ack) -> None:
    async with store.transact() as db:
        await acknowledgements.note(db, acks)


async def test_the_first_acknowledgement_of_a_change_tells_since_when(store: Store) -> None:
    first, again = ack("con_a", 7, 100), ack("con_a", 7, 900, digest="renewed")
    await noted(store, ack("con_a", 5, 50), first, ack("con_a", 9, 300), ack("con_b", 6, 80))
    await noted(store, again)
    async with store.read() as db:
        assert await acknowledgements.first_since(db, Epoch(1), Revision(6)) == {
            "con_a": first,
            "con_b": ack("con_b", 6, 80),
        }
        assert await acknowledgements.first_since(db, Epoch(1), Revision(8)) == {"con_a": ack("con_a", 9, 300)}


async def test_t8_what_was_enforced_of_an_older_epoch_proves_nothing(store: Store) -> None:
    """After a restore the log is shorter: revision 9 of epoch 1 says nothing about revision 4 of epoch 2."""
    await noted(store, ack("con_a", 9, 100), ack("con_b", 9, 100), ack("con_b", 4, 200, epoch=2))
    async with store.read() as db:
        assert list(await acknowledgements.first_since(db, Epoch(2), Revision(4))) == ["con_b"]
        assert list(await acknowledgements.first_since(db, Epoch(1), Revision(9))) == ["con_a", "con_b"]
        assert (await acknowledgements.latest(db))["con_b"].revision == 4


async def test_a_replica_reads_what_others_wrote(store: Store) -> None:
    await noted(store, ack("con_a", 5, 50), ack("con_b", 6, 80))
    async with store.read() as db:
        assert [item.agent for item in await acknowledgements.since(db, 60)] == ["con_b"]


async def test_an_older_contact_does_not_replace_a_newer_one(store: Store) -> None:
    async with store.transact() as db:
        await acknowledgements.heard(db, {"con_a": 100, "dev_b": 200})
        await acknowledgements.heard(db, {"con_a": 90, "dev_b": 300})
        await acknowledgements.heard(db, {})
        assert await acknowledgements.contacts(db) == {"con_a": 100, "dev_b": 300}


async def test_old_acknowledgements_go_but_never_the_newest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acknowledgements, "PURGE_MAX", 2)
    await noted(store, *(ack("con_a", number, number) for number in range(1, 6)), ack("con_b", 1, 1))
    async with store.transact() as db:
        assert [await acknowledgements.purge(db, 100) for _ in range(4)] == [2, 2, 0, 0]
        assert {item.revision for item in (await acknowledgements.latest(db)).values()} == {5, 1}
