"""Open connections, and exports of any length, over the API."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from controller_api import Controller
from flow_records import stored_record

from controller.api.exports import stream
from controller.store import records
from protocol.control import ConnectionRecord


def a_record(number: int, user: str, **change: Any) -> ConnectionRecord:
    more = {"grants": ("gra_1", "gra_2"), "token": f"jti-{number}", "path": "relay"}
    return stored_record(number, user, **{**more, **change})


async def stored(
    controller: Controller, ended: Sequence[ConnectionRecord], opened: Sequence[ConnectionRecord] = ()
) -> None:
    reporter = await controller.add_connector() if opened else "con_1"
    async with controller.services.store.transact() as connection:
        await records.append(connection, reporter, ended, opened)


async def test_who_is_connected_now(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    await stored(controller, [a_record(1, grace.id)], [a_record(2, grace.id), a_record(3, "usr_other")])
    owner = await controller.owner()
    page = (await owner.get("/api/v1/connections", params={"open": True})).json()
    assert [item["flow"] for item in page["items"]] == ["flw_3", "flw_2"]
    first = page["items"][0]
    assert (first["open"], first["ended_at"], first["outcome"], first["token"]) == (True, None, None, "jti-3")
    mine = (await grace.http.get("/api/v1/connections", params={"open": True})).json()["items"]
    assert [item["flow"] for item in mine] == ["flw_2"]
    over = (await owner.get("/api/v1/connections", params={"open": False})).json()["items"]
    assert [(item["flow"], item["path"], item["grants"]) for item in over] == [("flw_1", "relay", ["gra_1", "gra_2"])]


async def test_both_sides_of_a_flow_are_joined_by_token_and_flow(controller: Controller) -> None:
    ours = a_record(1, "usr_1")
    async with controller.services.store.transact() as connection:
        await records.append(connection, "con_1", [ours, a_record(2, "usr_1")])
        await records.append(connection, "dev_1", [a_record(1, "usr_1", reporter="client", connector=None)])
    owner = await controller.owner()
    for query in ({"token": "jti-1"}, {"flow": "flw_1"}):
        items = (await owner.get("/api/v1/connections", params=query)).json()["items"]
        assert {item["reporter"] for item in items} == {"client", "connector"}
    assert (await owner.get("/api/v1/connections", params={"reporter": "nobody"})).status_code == 422


async def test_an_export_holds_every_row_once(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PAGE_MAX", 7)
    await stored(controller, [a_record(number, "usr_1") for number in range(20)])
    owner = await controller.owner()
    answer = await owner.get("/api/v1/connections/export")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["flow"] for line in lines] == [f"flw_{number}" for number in reversed(range(20))]
    answer = await owner.get("/api/v1/connections/export", params={"format": "csv", "until": "2027-01-15T08:00:03Z"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["flow"] for row in rows] == ["flw_1", "flw_0"]
    assert (rows[0]["grants"], rows[0]["open"], rows[0]["port"]) == ("gra_1 gra_2", "false", "5432")
    assert "attachment" in answer.headers["content-disposition"]


async def test_members_export_their_own_connections_and_no_events(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    await stored(controller, [a_record(1, grace.id), a_record(2, "usr_other")])
    mine = (await grace.http.get("/api/v1/connections/export")).text.splitlines()
    assert [json.loads(line)["flow"] for line in mine] == ["flw_1"]
    assert (await grace.http.get("/api/v1/connections/export", params={"user": "usr_other"})).text == ""
    assert (await grace.http.get("/api/v1/events/export")).status_code == 403


async def test_the_audit_trail_is_exported(controller: Controller) -> None:
    owner = await controller.owner()
    await owner.post("/api/v1/networks", json={"name": "office"})
    lines = [json.loads(line) for line in (await owner.get("/api/v1/events/export")).text.splitlines()]
    assert [line["position"] for line in lines] == list(range(controller.services.state.position, 0, -1))
    answer = await owner.get("/api/v1/events/export", params={"format": "csv", "type": "network."})
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert json.loads(row["data"])["name"] == "office"


async def test_t74_a_cell_is_text_whatever_its_name(controller: Controller) -> None:
    """A host such as ``=cmd|...`` must not run in the auditor's spreadsheet, nor end its row."""
    nasty = ["=1+1", "+1", "-1", "@x", 'a"b', "a,b"]
    await stored(controller, [a_record(number, "usr_1", host=host) for number, host in enumerate(nasty)])
    owner = await controller.owner()
    text = (await owner.get("/api/v1/connections/export", params={"format": "csv"})).text
    hosts = [row["host"] for row in csv.DictReader(io.StringIO(text))]
    assert hosts == ["a,b", 'a"b', "'@x", "'-1", "'+1", "'=1+1"]


async def test_a_stream_reads_a_page_only_when_it_is_wanted() -> None:
    read: list[int | None] = []

    async def pages(cursor: int | None) -> tuple[Sequence[dict[str, Any]], int | None]:
        read.append(cursor)
        return [{"a": cursor}], (cursor or 0) + 1

    body = stream(pages, format="jsonl", columns=("a",), name="x").body_iterator
    chunks = aiter(body)
    assert [await anext(chunks), await anext(chunks)] == ['{"a":null}\n', '{"a":1}\n']
    assert read == [None, 1]
