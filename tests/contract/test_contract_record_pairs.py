"""Both sides of one flow: found together, shown once, marked where they contradict each other (both databases)."""

from dataclasses import replace

import pytest
from flow_records import stored_record
from policy_world import fresh_id

from controller.domain.two_sides import differences
from controller.store import Store, record_pairs, records
from controller.store.record_pairs import TOLD_MAX, other_sides
from controller.store.record_rows import StoredRecord
from controller.store.records import RecordFilter
from protocol.control import ConnectionRecord
from protocol.ids import DeviceId, FlowId

CONNECTOR, DEVICE = "con_1", "dev_1"


def a_pair(**parts: object) -> tuple[ConnectionRecord, ConnectionRecord]:
    one = replace(stored_record(1, "usr_1"), flow=FlowId(fresh_id("flow")), **parts)  # type: ignore[arg-type]
    return one, replace(one, reporter="client", started_ms=one.started_ms - 7)


async def report(store: Store, agent: str, *ended: ConnectionRecord, opened: tuple[ConnectionRecord, ...] = ()) -> None:
    async with store.transact() as db:
        await records.append(db, agent, ended, opened)


async def found(store: Store, **where: object) -> list[StoredRecord]:
    async with store.read() as db:
        return await records.page(db, where=RecordFilter(**where))  # type: ignore[arg-type]


@pytest.mark.parametrize("client_first", [True, False])
async def test_a_flow_is_shown_once_with_its_other_side(store: Store, client_first: bool) -> None:
    one, other = a_pair()
    alone = replace(a_pair(outcome="timeout")[1], connector=None)
    sides = [(DEVICE, other), (CONNECTOR, one)]
    for agent, record in sides if client_first else reversed(sides):
        await report(store, agent, record)
    await report(store, DEVICE, alone)
    shown = await found(store, one_side=True)
    assert [(item.record.flow, item.record.reporter) for item in shown] == [
        (alone.flow, "client"),
        (one.flow, "connector"),
    ]
    async with store.read() as db:
        others = await other_sides(db, await found(store))
    assert {others[item.id].record.reporter for item in shown if item.id in others} == {"client"}
    assert len(others) == 2
    assert all(item.differs == () for item in await found(store))


@pytest.mark.parametrize("client_first", [True, False])
async def test_t9_a_contradiction_is_marked_on_both_sides_and_told_to_followers(
    store: Store, client_first: bool
) -> None:
    one, other = a_pair()
    sides = [(DEVICE, replace(other, bytes_down=other.bytes_down + 1)), (CONNECTOR, one)]
    (first_agent, first), (second_agent, second) = sides if client_first else list(reversed(sides))
    await report(store, first_agent, first)
    assert await found(store, differs=True) == []
    async with store.read() as db:
        seq = await records.newest(db)
    await report(store, second_agent, second)
    assert [item.differs for item in await found(store, differs=True)] == [("bytes",)] * 2
    assert await found(store, differs=False) == []
    async with store.read() as db:
        told = await records.changed_after(db, seq)
    assert {item.record.reporter for item in told if item.differs} == {"client", "connector"}


async def test_bytes_that_are_under_way_contradict_nobody(store: Store) -> None:
    one, other = a_pair(bytes_up=0, bytes_down=0)
    await report(store, CONNECTOR, opened=(replace(one, bytes_up=50),))
    await report(store, DEVICE, opened=(replace(other, bytes_up=20),))
    assert await found(store, differs=True) == []
    await report(store, CONNECTOR, replace(one, bytes_up=60))
    assert await found(store, differs=True) == []
    await report(store, DEVICE, replace(other, bytes_up=60))
    assert await found(store, differs=True) == []


async def test_sides_agree_only_when_both_have_told_the_end(store: Store) -> None:
    one, other = a_pair()
    alone, unknown, under_way = a_pair()[0], a_pair(), a_pair()
    await report(store, CONNECTOR, one, alone, replace(unknown[0], outcome="end_unknown"))
    await report(store, CONNECTOR, opened=(under_way[0],))
    await report(store, DEVICE, unknown[1], under_way[1])
    await report(store, "dev_2", replace(a_pair()[1], flow=alone.flow, device=DeviceId("dev_2")))
    assert await found(store, differs=False) == []
    await report(store, DEVICE, opened=(other,))
    assert await found(store, differs=False) == []
    await report(store, DEVICE, other)
    assert {item.record.flow for item in await found(store, differs=False)} == {one.flow}
    assert [item.record.reporter for item in await found(store, differs=False, one_side=True)] == ["connector"]


async def test_an_end_that_comes_late_takes_the_mark_back(store: Store) -> None:
    one, other = a_pair()
    await report(store, CONNECTOR, replace(one, outcome="end_unknown", host="another.internal"))
    await report(store, DEVICE, other)
    assert [item.differs for item in await found(store, differs=True)] == [("target",)] * 2
    # The host of a record is as it was told first; its end is not.
    await report(store, CONNECTOR, replace(one, outcome="timeout"))
    assert [item.differs for item in await found(store, differs=True)] == [("outcome", "target")] * 2


async def test_t9_nobody_marks_the_records_of_others(store: Store) -> None:
    """A client that reports a flow of another device under its id is no side of it."""
    one, other = a_pair()
    await report(store, CONNECTOR, one)
    await report(store, "dev_2", replace(other, device=DeviceId("dev_2"), bytes_up=10**9))
    assert await found(store, differs=True) == []
    assert len(await found(store, one_side=True)) == 2


async def test_t9_two_stories_of_one_client_are_both_held_against_it(store: Store) -> None:
    one, other = a_pair()
    await report(store, CONNECTOR, one)
    await report(store, DEVICE, other)
    await report(store, DEVICE, replace(other, started_ms=other.started_ms + 1, bytes_up=0))
    assert ("bytes",) in [item.differs for item in await found(store, reporter="connector")]


async def test_what_an_earlier_life_of_a_client_had_open_is_closed(store: Store) -> None:
    before, after = replace(a_pair()[1], started_ms=1000), replace(a_pair()[1], started_ms=5000)
    await report(store, DEVICE, opened=(before, after))
    await report(store, "dev_2", opened=(replace(before, device=DeviceId("dev_2")),))
    async with store.transact() as db:
        assert await records.close_before(db, DEVICE, 3000) == 1
    open_ones = {(item.agent, item.record.flow) for item in await found(store, open=True)}
    assert open_ones == {(DEVICE, after.flow), ("dev_2", before.flow)}
    (closed,) = await found(store, outcome="end_unknown")
    assert (closed.record.flow, closed.record.ended_ms) == (before.flow, 3000)


async def test_t9_one_flow_id_used_very_often_costs_little(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client chooses the ids of its flows: what it repeats is neither paired in full nor more than a few records."""
    compared = 0

    def counted(*args: object, **parts: object) -> tuple[str, ...]:
        nonlocal compared
        compared += 1
        return differences(*args, **parts)  # type: ignore[arg-type]

    monkeypatch.setattr(record_pairs, "differences", counted)
    one, other = a_pair()
    lies = [replace(other, started_ms=number, bytes_up=10**6) for number in range(300)]
    await report(store, DEVICE, *lies[:200])
    await report(store, DEVICE, *lies[100:])
    await report(store, CONNECTOR, *(replace(one, started_ms=number) for number in range(300)))
    assert len(await found(store, reporter="client")) == TOLD_MAX
    assert compared <= 3 * TOLD_MAX**2
    shown = await found(store, flow=one.flow, reporter="connector")
    assert (len(shown), shown[0].differs) == (100, ("bytes",))  # a page of them
    async with store.read() as db:
        others = await other_sides(db, shown)
    assert {item.record.started_ms for item in others.values()} == {1}
    # What it told of the flow before can still be told to its end.
    await report(store, DEVICE, opened=(replace(lies[1], bytes_up=10**7),))
    assert len(await found(store, reporter="client")) == TOLD_MAX


async def test_t9_the_first_stories_of_a_flow_stay_those_that_are_compared(store: Store) -> None:
    one, other = a_pair()
    await report(store, CONNECTOR, one)
    for offset in range(5):
        story = replace(other, started_ms=other.started_ms + offset, bytes_up=0 if offset == 0 else other.bytes_up)
        await report(store, DEVICE, story)
    assert ("bytes",) in [item.differs for item in await found(store, reporter="connector")]


async def test_t9_many_contradictions_are_marked_in_one_batch(store: Store) -> None:
    pairs = [a_pair() for _ in range(600)]
    await report(store, CONNECTOR, *(one for one, _ in pairs))
    await report(store, DEVICE, *(replace(other, bytes_up=0) for _, other in pairs))
    async with store.read() as db:
        told = await records.changed_after(db, 0, limit=2000)
    assert [item.differs for item in told] == [("bytes",)] * 1200
