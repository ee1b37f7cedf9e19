"""Connections added up over time (both databases)."""

from dataclasses import replace

import pytest
from flow_records import stored_record

from controller.store import Store, record_counts, records
from controller.store.record_counts import Counted
from controller.store.records import RecordFilter

START_MS = 1_800_000_000_000
MINUTE_MS = 60_000


async def fill(store: Store) -> None:
    ended = [stored_record(number, "usr_1" if number % 3 else "usr_2") for number in range(0, 120, 10)]
    denied = stored_record(15, "usr_1", "no_grant")
    twin = replace(stored_record(10, "usr_1"), reporter="client")
    still = stored_record(500, "usr_2")
    async with store.transact() as connection:
        await records.append(connection, "con_1", [*ended, denied], opened=[still])
        await records.append(connection, "dev_1", [twin])


async def test_flows_are_counted_once_in_the_bucket_in_which_they_ended(store: Store) -> None:
    await fill(store)
    async with store.read() as connection:
        counted, more = await record_counts.by_bucket(connection, since_ms=START_MS, bucket_ms=MINUTE_MS)
        his, _ = await record_counts.by_bucket(connection, since_ms=START_MS, bucket_ms=MINUTE_MS, user="usr_2")
        late, _ = await record_counts.by_bucket(connection, since_ms=START_MS + 111_000, bucket_ms=MINUTE_MS)
        assert await records.count_open(connection) == 1
        assert await records.count_open(connection, user="usr_1") == 0
        only = await records.page(connection, where=RecordFilter(outcomes=("no_grant", "timeout")))
    assert not more
    assert counted == [
        Counted(START_MS, "no_grant", 1),
        Counted(START_MS, "normal", 6),
        Counted(START_MS + MINUTE_MS, "normal", 6),
    ]
    assert his == [Counted(START_MS, "normal", 2), Counted(START_MS + MINUTE_MS, "normal", 2)]
    assert late == [Counted(START_MS + MINUTE_MS, "normal", 1)]
    assert [item.record.outcome for item in only] == ["no_grant"]


async def test_of_too_many_the_newest_are_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_counts, "ROWS_MAX", 2)
    await fill(store)
    async with store.read() as connection:
        counted, more = await record_counts.by_bucket(connection, since_ms=START_MS, bucket_ms=MINUTE_MS)
    assert (counted, more) == ([Counted(START_MS + MINUTE_MS, "normal", 2)], True)


async def test_the_first_connection_is_one_that_a_connector_served(store: Store) -> None:
    async with store.transact() as connection:
        assert await record_counts.first_served_ms(connection) is None
        await records.append(connection, "dev_1", [replace(stored_record(1, "usr_1"), reporter="client")])
        await records.append(connection, "con_1", [stored_record(2, "usr_1", "no_grant")])
        assert await record_counts.first_served_ms(connection) is None
        await records.append(connection, "con_1", [], opened=[stored_record(3, "usr_1")])
        assert await record_counts.first_served_ms(connection) == START_MS + 3000


async def test_as_many_as_are_counted_are_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(store)
    async with store.read() as connection:
        for limit, more_than_that in ((12, True), (13, False), (14, False)):
            monkeypatch.setattr(record_counts, "ROWS_MAX", limit)
            counted, more = await record_counts.by_bucket(connection, since_ms=START_MS, bucket_ms=MINUTE_MS)
            assert (sum(item.count for item in counted), more) == (min(limit, 13), more_than_that)
