"""The connection log: open and ended flows, one row each, numbered so that followers miss nothing (both databases)."""

import asyncio
from dataclasses import replace

import pytest
from flow_records import flow_record
from policy_world import fresh_id

from controller.store import Store, acknowledgements, records
from controller.store.records import RecordFilter
from controller.store.retention import close_orphans, purge_connections
from protocol.control import ConnectionRecord
from protocol.ids import DeviceId, ResourceId

AGENT = "con_one"


def a_flow(**parts: object) -> ConnectionRecord:
    ids = {
        "flow": fresh_id("flow"),
        "device": "dev_one",
        "user": "usr_one",
        "resource": "res_one",
        "network": "net_one",
        "connector": AGENT,
        "relay": "rel_one",
    }
    proof = {"grants": ("gra_one",), "token": "jti-one", "path": "relay"}
    return flow_record(**{**ids, **proof, "bytes_up": 0, "bytes_down": 0, **parts})


async def report(store: Store, ended: list[ConnectionRecord], opened: list[ConnectionRecord]) -> None:
    async with store.transact() as db:
        await records.append(db, AGENT, ended, opened)


async def shown(store: Store, **where: object) -> list[tuple[str, bool, str]]:
    async with store.read() as db:
        found = await records.page(db, where=RecordFilter(**where))  # type: ignore[arg-type]
    return [(item.record.flow, item.open, item.record.outcome) for item in found]


async def test_a_flow_is_open_until_its_end_and_stays_one_row(store: Store) -> None:
    flow = a_flow()
    await report(store, [], [flow])
    assert await shown(store, open=True) == [(flow.flow, True, "normal")]
    assert await shown(store, denied=False) == []
    end = replace(flow, ended_ms=9000, bytes_up=5, bytes_down=6, outcome="access_revoked")
    for _ in range(2):
        await report(store, [end], [])
    async with store.read() as db:
        (only,) = await records.page(db)
    assert (only.record, only.open) == (end, False)
    assert await shown(store, open=True) == []
    assert await shown(store, denied=True) == [(flow.flow, False, "access_revoked")]


async def test_a_start_that_comes_again_or_late_changes_nothing(store: Store) -> None:
    flow = a_flow()
    await report(store, [flow], [flow])
    async with store.read() as db:
        seq = await records.newest(db)
        assert len(await records.changed_after(db, 0)) == 1
    await report(store, [], [flow])
    assert await shown(store) == [(flow.flow, False, "normal")]
    async with store.read() as db:
        assert await records.changed_after(db, seq) == []


async def test_an_open_flow_grows_and_never_shrinks(store: Store) -> None:
    flow = a_flow()
    await report(store, [], [flow])

    async def told(up: int, down: int) -> tuple[int, int, int, int]:
        await report(store, [], [replace(flow, ended_ms=2000 + up, bytes_up=up, bytes_down=down)])
        async with store.read() as db:
            (only,) = await records.page(db, where=RecordFilter(open=True))
        return only.record.bytes_up, only.record.bytes_down, only.record.ended_ms, only.seq

    async with store.read() as db:
        seq = await records.newest(db)
    assert await told(10, 100) == (10, 100, 2010, seq)  # followers are told of start and end only
    assert await told(20, 90) == (20, 100, 2020, seq)
    assert await told(15, 95) == (20, 100, 2020, seq)  # an older report that came late
    await report(store, [replace(flow, ended_ms=9000, bytes_up=19, bytes_down=300)], [])
    async with store.read() as db:
        (ended,) = await records.changed_after(db, seq)
    assert (ended.open, ended.record.bytes_up, ended.record.bytes_down) == (False, 20, 300)
    await report(store, [], [replace(flow, bytes_up=1000)])
    async with store.read() as db:
        assert await records.changed_after(db, ended.seq) == []


async def test_what_nobody_reported_the_end_of_is_closed_truthfully(store: Store) -> None:
    lost, alive, late = a_flow(), a_flow(), a_flow()
    await report(store, [], [lost, alive, late])

    async def compare(*living: ConnectionRecord) -> tuple[int, int]:
        async with store.transact() as db:
            newest = await records.newest(db)
            return await records.close_unknown(
                db, AGENT, alive={item.flow for item in living}, newest=newest, now_ms=7000
            )

    assert await compare(alive) == (2, 0)
    assert await shown(store, outcome="end_unknown") == [
        (late.flow, False, "end_unknown"),
        (lost.flow, False, "end_unknown"),
    ]
    # The true end is better than none, and a flow that lives after all is open again.
    await report(store, [replace(late, ended_ms=6000, outcome="timeout")], [])
    assert await shown(store, flow=late.flow) == [(late.flow, False, "timeout")]
    assert await compare(alive, lost) == (0, 1)
    assert {flow for flow, *_ in await shown(store, open=True)} == {alive.flow, lost.flow}


async def test_what_was_written_after_the_question_is_not_closed(store: Store) -> None:
    async with store.read() as db:
        newest = await records.newest(db)
    await report(store, [], [a_flow()])
    async with store.transact() as db:
        assert await records.close_unknown(db, AGENT, alive=(), newest=newest, now_ms=7000) == (0, 0)


async def test_t7_a_follower_of_changes_misses_nothing(store: Store) -> None:
    """Several writers at once: numbers become visible in their order, or not at all (D6)."""
    done = asyncio.Event()
    seen: list[str] = []

    async def follow() -> None:
        seq = 0
        while True:
            last = done.is_set()
            async with store.read() as db:
                news = await records.changed_after(db, seq)
            assert [item.seq for item in news] == sorted({item.seq for item in news})
            seen.extend(item.record.flow for item in news)
            seq = news[-1].seq if news else seq
            if last and not news:
                return
            await asyncio.sleep(0)

    async def write() -> list[str]:
        flows = [a_flow() for _ in range(40)]
        for flow in flows:
            await report(store, [flow], [])
        return [flow.flow for flow in flows]

    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        written = [group.create_task(write()) for _ in range(4)]
        for task in written:
            await task
        done.set()
        await following
    assert sorted(seen) == sorted(flow for task in written for flow in task.result())


async def test_a_change_is_followed_as_well(store: Store) -> None:
    flow = a_flow()
    await report(store, [], [flow])
    async with store.read() as db:
        (opened,) = await records.changed_after(db, 0)
    await report(store, [flow], [])
    async with store.read() as db:
        (ended,) = await records.changed_after(db, opened.seq)
    assert (opened.open, ended.open, opened.id) == (True, False, ended.id)


async def test_open_flows_are_found_by_device_and_resource(store: Store) -> None:
    mine, other, over = a_flow(), a_flow(device=DeviceId("dev_two"), resource=ResourceId("res_two")), a_flow()
    await report(store, [over], [mine, other])

    async def flows(**which: list[str]) -> list[str]:
        async with store.read() as db:
            return [item.record.flow for item in await records.open_flows(db, **which)]  # type: ignore[arg-type]

    assert await flows() == [mine.flow, other.flow]
    assert await flows(devices=["dev_two"]) == [other.flow]
    assert await flows(resources=["res_one"], devices=["dev_one", "dev_two"]) == [mine.flow]
    assert await flows(devices=[]) == []
    async with store.read() as db:
        assert await records.agents_with_open(db) == [AGENT]


@pytest.mark.parametrize("where", [{"token": "jti-one"}, {"reporter": "connector"}, {"device": "dev_one"}])
async def test_both_sides_are_found_by_their_token(store: Store, where: dict[str, str]) -> None:
    flow = a_flow()
    theirs = replace(flow, reporter="client", connector=None)
    await report(store, [flow, a_flow(token="other", reporter="client", device=DeviceId("dev_x"))], [])
    async with store.transact() as db:
        await records.append(db, "dev_one", [theirs])
    found = [item for item, *_ in await shown(store, flow=flow.flow, **where)]
    assert found == [flow.flow] * (1 if "reporter" in where else 2)


async def test_retention_by_age_and_by_number_spares_what_is_open(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PURGE_MAX", 3)
    living = a_flow()
    await report(store, [a_flow(ended_ms=number) for number in range(10)], [living])
    assert await purge_connections(store, before_ms=4, keep_rows=100) == 4
    assert await purge_connections(store, before_ms=0, keep_rows=3) == 3
    async with store.read() as db:
        left = await records.page(db)
    assert [item.record.ended_ms for item in left if not item.open] == [9, 8, 7]
    assert [item.record.flow for item in left if item.open] == [living.flow]
    async with store.read() as db:
        assert await records.newest(db) == 11


async def test_t9_clients_do_not_push_out_what_connectors_reported(store: Store) -> None:
    """Whoever has a device can report as much as he likes: only what other clients reported has to make room for it."""
    ours = [a_flow(ended_ms=number) for number in range(6)]
    await report(store, ours[:3], [])
    theirs = [a_flow(reporter="client", device=DeviceId("dev_one"), ended_ms=100 + number) for number in range(20)]
    async with store.transact() as db:
        await records.append(db, "dev_one", theirs)
    await purge_connections(store, before_ms=0, keep_rows=8)

    async def left(reporter: str) -> list[int]:
        async with store.read() as db:
            found = await records.page(db, where=RecordFilter(reporter=reporter))
        return [item.record.ended_ms for item in found]

    assert (await left("connector"), await left("client")) == ([2, 1, 0], [119, 118, 117, 116, 115])
    # Nor do connectors push out all that clients alone can tell.
    await report(store, [*ours[3:], *(a_flow(ended_ms=10 + number) for number in range(9))], [])
    await purge_connections(store, before_ms=0, keep_rows=8)
    assert (await left("connector"), await left("client")) == ([18, 17, 16, 15, 14, 13], [119, 118])


async def test_what_will_never_be_reported_is_closed(store: Store) -> None:
    """Of agents that lost their standing, or were silent for longer than any lease."""
    flows = {agent: a_flow() for agent in ("con_here", "con_silent", "con_gone", "con_unheard")}
    async with store.transact() as db:
        for agent, flow in flows.items():
            await records.append(db, agent, [], [flow])
        await acknowledgements.heard(db, {"con_here": 900, "con_silent": 100, "con_gone": 900})
    known = flows.keys() - {"con_gone"}
    assert await close_orphans(store, known=known, silent_before_ms=500, now_ms=1000) == 2
    assert {flow for flow, *_ in await shown(store, open=True)} == {flows["con_here"].flow, flows["con_unheard"].flow}
