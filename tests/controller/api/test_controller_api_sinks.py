"""Sinks over the API: made, shown with what waits, removed; the credential is never shown again."""

import pytest
from controller_api import Controller

from controller.delivery.courier import secret_name
from controller.store import secrets

GOOD = {"name": "siem", "kind": "https", "destination": "https://siem.corp.example/in", "token": "s3cret"}


async def test_a_sink_is_made_shown_and_removed(controller: Controller) -> None:
    owner = await controller.owner()
    answer = await owner.post("/api/v1/sinks", json=GOOD)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["state"], made["pending_events"], made["content"]) == ("delivering", 0, ["connections", "events"])
    assert "s3cret" not in answer.text
    store = controller.services.store
    async with store.read() as db:
        sealed = await secrets.get(db, secret_name(made["id"]))
    assert sealed is not None
    assert b"s3cret" not in sealed
    assert (await owner.post("/api/v1/sinks", json=GOOD)).status_code == 409
    listed = (await owner.get("/api/v1/sinks")).json()["items"]
    assert [item["name"] for item in listed] == ["siem"]
    assert (await owner.get(f"/api/v1/sinks/{made['id']}")).json()["destination"] == GOOD["destination"]
    assert (await owner.delete(f"/api/v1/sinks/{made['id']}")).status_code == 204
    assert (await owner.delete(f"/api/v1/sinks/{made['id']}")).status_code == 404
    assert (await owner.get(f"/api/v1/sinks/{made['id']}")).status_code == 404
    async with store.read() as db:
        assert await secrets.get(db, secret_name(made["id"])) is None
    trail = (await owner.get("/api/v1/events", params={"type": "sink."})).json()["items"]
    assert [item["type"] for item in trail] == ["sink.removed/1", "sink.created/1"]
    assert "s3cret" not in str(trail)


async def test_from_start_means_everything_that_is_kept(controller: Controller) -> None:
    owner = await controller.owner()
    made = (await owner.post("/api/v1/sinks", json={**GOOD, "from_start": True, "content": ["events"]})).json()
    assert made["pending_events"] == controller.services.state.position
    assert made["pending_connections"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"destination": "http://siem.corp.example/in"},
        {"destination": "https://user:word@siem.corp.example/in"},
        {"destination": "https://siem.corp.example/in?key=s3cret"},
        {"kind": "syslog_tls", "destination": "siem:6514"},
        {"ca_pem": "nonsense"},
        {"name": "a b"},
        {"content": []},
        {"kind": "carrier-pigeon"},
    ],
)
async def test_t15_what_is_not_right_is_refused_with_a_sentence(
    controller: Controller, change: dict[str, object]
) -> None:
    owner = await controller.owner()
    answer = await owner.post("/api/v1/sinks", json={**GOOD, **change})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


async def test_only_who_may_sees_and_makes_sinks(controller: Controller) -> None:
    auditor = await controller.add_user("iris@corp.example", "auditor")
    member = await controller.add_user("grace@corp.example")
    assert (await auditor.http.get("/api/v1/sinks")).status_code == 200
    assert (await auditor.http.post("/api/v1/sinks", json=GOOD)).status_code == 403
    assert (await member.http.get("/api/v1/sinks")).status_code == 403
