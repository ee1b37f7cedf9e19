"""Undo: an event is taken back by a plan that is looked at, approved and applied (T-16)."""

from typing import Any

from controller_api import Controller, code_of


async def make(http: Any, noun: str, **body: Any) -> str:
    answer = await http.post(f"/api/v1/{noun}", json=body)
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["id"]
    return made


async def test_a_revoked_grant_comes_back_under_another_id(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    owner = await controller.owner()
    network = await make(owner, "networks", name="office")
    resource = await make(
        owner, "resources", network=network, name="wiki", address="wiki.internal", ports={"tcp": ["1"]}
    )
    grant = await make(owner, "grants", subject_kind="user", subject=grace.id, resource=resource)
    await owner.delete(f"/api/v1/grants/{grant}")
    position = controller.services.state.position
    plan = (await owner.post(f"/api/v1/events/{position}/undo")).json()
    assert (plan["applicable"], plan["summary"]["create"], plan["summary"]["gained"]) == (True, 1, 1)
    assert [(item["action"], item["kind"]) for item in plan["changes"]] == [("create", "grant")]
    assert not controller.services.state.grants, "a plan changes nothing"
    assert (await owner.get(f"/api/v1/plans/{plan['hash']}")).json()["hash"] == plan["hash"]
    applied = await owner.post(f"/api/v1/plans/{plan['hash']}/apply")
    assert applied.status_code == 200, applied.text
    (again,) = controller.services.state.grants.values()
    assert (again.subject.id, again.resource, again.id != grant) == (grace.id, resource, True)
    late = await owner.post(f"/api/v1/plans/{plan['hash']}/apply")
    assert (late.status_code, code_of(late)) == (409, "conflict")
    undone = (await owner.post(f"/api/v1/events/{position + 1}/undo")).json()
    assert (undone["summary"]["remove"], undone["summary"]["lost"]) == (1, 1)


async def test_t16_a_plan_of_a_moment_that_has_passed_is_void(controller: Controller) -> None:
    owner = await controller.owner()
    await make(owner, "networks", name="office")
    plan = (await owner.post(f"/api/v1/events/{controller.services.state.position}/undo")).json()
    await make(owner, "networks", name="other")
    late = await owner.post(f"/api/v1/plans/{plan['hash']}/apply")
    assert (late.status_code, code_of(late)) == (409, "conflict")
    assert len(controller.services.state.networks) == 2


async def test_what_cannot_be_taken_back_says_why(controller: Controller) -> None:
    owner = await controller.owner()
    refused = await owner.post("/api/v1/events/1/undo")
    assert refused.status_code == 409
    assert "no plain inverse" in refused.json()["detail"]
    network = await make(owner, "networks", name="office")
    position = controller.services.state.position
    await make(owner, "connectors", network=network, name="con")
    held = await owner.post(f"/api/v1/events/{position}/undo")
    assert held.status_code == 409
    assert "still in use" in held.json()["detail"]
    assert (await owner.post("/api/v1/events/999999/undo")).status_code == 404
    assert (await owner.post("/api/v1/events/0/undo")).status_code == 422


async def test_t10_nobody_takes_back_what_he_may_not_do(controller: Controller) -> None:
    admin = await controller.add_user("admin@corp.example", role="admin")
    auditor = await controller.add_user("auditor@corp.example", role="auditor")
    owner = await controller.owner()
    network = await make(owner, "networks", name="office")
    await owner.patch(f"/api/v1/networks/{network}", json={"name": "hq"})
    path = f"/api/v1/events/{controller.services.state.position}/undo"
    assert (await auditor.http.post(path)).status_code == 403
    plan = (await admin.http.post(path)).json()
    other = await auditor.http.post(f"/api/v1/plans/{plan['hash']}/apply")
    assert other.status_code == 403
    assert (await admin.http.post(f"/api/v1/plans/{plan['hash']}/apply")).status_code == 200
    assert controller.services.state.networks[network].name == "office"  # type: ignore[index]
