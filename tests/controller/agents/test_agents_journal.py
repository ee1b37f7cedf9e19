"""The journal of acknowledgements: written together, kept while the database is away, there after a restart."""

from pathlib import Path

import pytest
from empty_database import make_database
from publish_office import Ring
from store_steps import give

from controller.agents import journal
from controller.agents.journal import Journal
from controller.agents.presence import Presence
from controller.domain import commands as c
from controller.publish import AgentKind, Hub, Signer
from controller.store import Store, acknowledgements
from protocol.control import Hello
from protocol.errors import LocalError
from protocol.ids import ConnectorId, Epoch, NetworkId, Revision
from protocol.reasons import Reason
from runtime.clock import ManualClock
from runtime.entropy import new_id, token_text


class Desk:
    """A store with one connector, and what one process keeps about it."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock = store, clock
        self.ring = Ring()
        self.hub = Hub(store.feed, Signer(self.ring, token_text), clock, jitter=lambda _: 0.0)
        self.presence = Presence()
        self.journal = Journal(store, self.hub, self.presence, clock)


async def a_store(tmp_path: Path, clock: ManualClock) -> tuple[Store, ConnectorId]:
    url = make_database(tmp_path / "controller.db")
    store = await Store.open(url)
    key = Ring().make()
    connector, network = ConnectorId(new_id("connector")), NetworkId(new_id("network"))
    for command in (
        c.InitialiseController("ctl_test", "https://ostiary.test"),
        key,
        c.ActivateSigningKey(key.kid),
        c.CreateNetwork(network, "office"),
        c.CreateConnector(connector, network, "one"),
    ):
        await give(store, command, now=clock.wall())
    return store, connector


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    store, connector = await a_store(tmp_path, clock)
    first = Desk(store, clock)
    told = first.hub.head.position
    first.journal.acknowledged(connector, Epoch(1), told, "digest")
    await first.journal.round()
    network = store.feed.state.connectors[connector].network
    await give(store, c.RenameNetwork(network, "hq"), now=clock.wall())
    renamed = store.feed.head.position
    clock.advance(60)
    second = Desk(store, clock)
    await second.journal.restore()
    line = second.hub.enforcement.line(connector)
    assert (line.revision, line.since, line.pending_since) == (told, clock.wall() - 60, renamed)
    assert second.hub.enforcement.outstanding(Revision(renamed)) == (connector,)
    await store.close()


async def test_what_the_database_missed_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    store, connector = await a_store(tmp_path, clock)
    desk = Desk(store, clock)
    desk.journal.acknowledged(connector, Epoch(1), Revision(2), "digest")
    desk.journal.left(connector)

    async def away(*_: object) -> None:
        raise LocalError(Reason.UNAVAILABLE, "away")

    with monkeypatch.context() as patch:
        patch.setattr(acknowledgements, "note", away)
        with pytest.raises(LocalError):
            await desk.journal.round()
    await desk.journal.round()
    async with store.read() as db:
        assert (await acknowledgements.latest(db))[connector].digest == "digest"
        assert await acknowledgements.contacts(db) == {connector: round(clock.wall() * 1000)}
    await store.close()


async def test_attached_agents_are_noted_now_and_then(tmp_path: Path) -> None:
    clock = ManualClock()
    store, connector = await a_store(tmp_path, clock)
    desk = Desk(store, clock)
    desk.presence.arrived(connector, AgentKind.CONNECTOR, Hello(1, "test", 0), clock.wall())
    await desk.journal.round()
    async with store.read() as db:
        assert await acknowledgements.contacts(db) == {}
    clock.advance(10)
    await desk.journal.round()
    async with store.read() as db:
        assert list(await acknowledgements.contacts(db)) == [connector]
    await store.close()


async def test_d8_a_start_with_other_code_counts_no_snapshot_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    store, _ = await a_store(tmp_path, clock)
    taken: list[float] = []
    for digest, later_s in (("aaaa", 10.0), ("aaaa", 10.0), ("bbbb", 10.0), ("bbbb", 0.0)):
        monkeypatch.setattr(journal, "code_digest", lambda digest=digest: digest)
        desk = Desk(store, clock)
        monkeypatch.setattr(
            desk.hub, "restore", lambda _acks, *, same_code_since: taken.append(same_code_since - clock.wall())
        )
        await desk.journal.restore()
        clock.advance(later_s)
    assert taken == [2.0, -8.0, 2.0, -8.0]
    await store.close()
