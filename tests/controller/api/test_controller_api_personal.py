"""Names and addresses change and go beside the log, which says by whom and never what (T-9)."""

from typing import Any

from controller_api import Controller, code_of
from log_checks import verify_chain


async def events_of(controller: Controller, stream: str) -> list[dict[str, Any]]:
    """The events of a stream, oldest first."""
    owner = await controller.owner()
    items: list[dict[str, Any]] = (await owner.get("/api/v1/events", params={"stream": stream})).json()["items"]
    return items[::-1]


async def test_t9_a_rename_leaves_an_event_without_the_name(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    for name in ("Grace H.", "Grace H."):
        answer = await grace.http.patch(f"/api/v1/users/{grace.id}", json={"name": name})
        assert (answer.status_code, answer.json()["name"]) == (200, "Grace H.")
    renames = [item for item in await events_of(controller, grace.id) if item["type"] == "user.renamed/1"]
    assert [(item["actor"], item["data"]) for item in renames] == [(grace.id, {"user": grace.id})]


async def test_t9_an_erasure_leaves_an_event_and_a_whole_chain(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    admin = await controller.add_user("admin@corp.example", role="admin")
    await admin.http.patch(f"/api/v1/users/{grace.id}", json={"disabled": True})
    assert (await admin.http.delete(f"/api/v1/users/{grace.id}/personal-data")).status_code == 204
    last = (await events_of(controller, grace.id))[-1]
    assert (last["type"], last["actor"], last["data"]) == ("user.personal_data_erased/1", admin.id, {"user": grace.id})
    assert (await verify_chain(controller.services.store)).faults == ()
    shown = await admin.http.get(f"/api/v1/users/{grace.id}")
    assert (shown.json()["name"], shown.json()["email"]) == (None, None)


async def test_t16_an_admin_erases_no_owner(controller: Controller) -> None:
    other = await controller.add_user("other@corp.example", role="owner")
    admin = await controller.add_user("admin@corp.example", role="admin")
    owner = await controller.owner()
    await owner.patch(f"/api/v1/users/{other.id}", json={"disabled": True})
    refused = await admin.http.delete(f"/api/v1/users/{other.id}/personal-data")
    assert (refused.status_code, code_of(refused)) == (403, "forbidden")
    assert (await owner.get(f"/api/v1/users/{other.id}")).json()["email"] == "other@corp.example"
