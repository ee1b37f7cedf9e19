"""Requests for access over the API: who asks, who answers, who sees what (T-10, T-16)."""

import json
from typing import Any

import pytest
from controller_api import Controller, Person, code_of

from controller.domain.decide_requests import OPEN_MAX, OPEN_S

PATH = "/api/v1/access-requests"


async def resource_of(controller: Controller, *, address: str = "db.corp", name: str = "db") -> str:
    owner = await controller.owner()
    networks = (await owner.get("/api/v1/networks")).json()["items"]
    network = (
        networks[0]["id"] if networks else (await owner.post("/api/v1/networks", json={"name": "office"})).json()["id"]
    )
    body = {"network": network, "name": name, "address": address, "ports": {"tcp": ["5432"]}}
    answer = await owner.post("/api/v1/resources", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def ask(person: Person, target: str = "db.corp", **more: Any) -> dict[str, Any]:
    answer = await person.http.post(PATH, json={"target": target, "reason": "release 4.2", **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_request_is_answered_with_a_grant_that_ends(controller: Controller) -> None:
    resource = await resource_of(controller)
    grace = await controller.add_user("grace@corp.example")
    approver = await controller.add_user("alan@corp.example", role="access-approver")
    made = await ask(grace, port=5432, duration_s=7200)
    assert (made["status"], made["resource"], made["candidates"], made["user"]) == ("open", None, [], grace.id)

    (listed,) = (await approver.http.get(PATH, params={"status": "open"})).json()["items"]
    assert (listed["id"], listed["reason"], listed["user_name"]) == (made["id"], "release 4.2", "grace")
    assert [item["id"] for item in listed["candidates"]] == [resource]

    body = {"duration_s": 3600, "answer": "until the release is out"}
    answer = await approver.http.post(f"{PATH}/{made['id']}/approve", json=body)
    assert answer.status_code == 200, answer.text
    approved = answer.json()
    assert (approved["status"], approved["resource"], approved["answered_by"]) == ("approved", resource, approver.id)

    owner = await controller.owner()
    grant = (await owner.get(f"/api/v1/grants/{approved['grant']}")).json()
    assert (grant["subject"], grant["resource"], grant["expires_at"]) == (grace.id, resource, approved["granted_until"])
    own = (await grace.http.get(f"{PATH}/{made['id']}")).json()
    assert (own["status"], own["answer"], own["resource"]) == ("approved", "until the release is out", resource)
    again = await grace.http.post(PATH, json={"target": "db.corp", "reason": "more"})
    assert (again.status_code, code_of(again)) == (409, "already_exists")

    types = [
        item["type"] for item in (await owner.get("/api/v1/events", params={"type": "access_request."})).json()["items"]
    ]
    assert types == ["access_request.approved/1", "access_request.created/1"]


async def test_the_log_holds_no_word_of_the_reason_or_the_answer(controller: Controller) -> None:
    await resource_of(controller)
    grace = await controller.add_user("grace@corp.example")
    made = await ask(grace, reason="my knee hurts")
    owner = await controller.owner()
    await owner.post(f"{PATH}/{made['id']}/deny", json={"answer": "get well soon"})
    events = (await owner.get("/api/v1/events")).text
    assert "knee" not in events
    assert "get well" not in events
    shown = (await grace.http.get(f"{PATH}/{made['id']}")).json()
    assert (shown["status"], shown["reason"], shown["answer"]) == ("denied", "my knee hurts", "get well soon")


async def test_t10_the_asker_is_not_told_whether_it_exists(controller: Controller) -> None:
    await resource_of(controller)
    grace = await controller.add_user("grace@corp.example")
    there, nowhere = await ask(grace, "db.corp"), await ask(grace, "db.nowhere")
    for own in ("id", "target"):
        there.pop(own), nowhere.pop(own)
    assert there == nowhere


async def test_t10_members_see_and_withdraw_their_own_only(controller: Controller) -> None:
    grace, eve = await controller.add_user("grace@corp.example"), await controller.add_user("eve@corp.example")
    made = await ask(grace)
    assert (await eve.http.get(PATH)).json()["items"] == []
    assert (await eve.http.get(PATH, params={"user": grace.id})).json()["items"] == []
    for method, path in (("GET", ""), ("DELETE", "")):
        answer = await eve.http.request(method, f"{PATH}/{made['id']}{path}")
        assert (answer.status_code, code_of(answer)) == (404, "not_found"), method
    for verb, body in (("approve", {}), ("deny", {"answer": "no"})):
        answer = await eve.http.post(f"{PATH}/{made['id']}/{verb}", json=body)
        assert (answer.status_code, code_of(answer)) == (403, "forbidden")
    assert (await grace.http.delete(f"{PATH}/{made['id']}")).status_code == 204
    assert (await grace.http.get(f"{PATH}/{made['id']}")).json()["status"] == "withdrawn"


async def test_t16_nobody_answers_his_own_request(controller: Controller) -> None:
    await resource_of(controller)
    approver = await controller.add_user("alan@corp.example", role="access-approver")
    made = await ask(approver)
    for verb, body in (("approve", {}), ("deny", {"answer": "no"})):
        answer = await approver.http.post(f"{PATH}/{made['id']}/{verb}", json=body)
        assert (answer.status_code, code_of(answer)) == (403, "forbidden")


async def test_t16_an_approver_gives_access_by_answering_only(controller: Controller) -> None:
    resource = await resource_of(controller)
    approver = await controller.add_user("alan@corp.example", role="access-approver")
    body = {"subject_kind": "user", "subject": approver.id, "resource": resource}
    assert (await approver.http.post("/api/v1/grants", json=body)).status_code == 403


async def test_asking_twice_is_one_request_and_a_repeated_answer_is_replayed(controller: Controller) -> None:
    await resource_of(controller)
    grace = await controller.add_user("grace@corp.example")
    first, second = await ask(grace, "DB.corp."), await ask(grace, "db.corp", reason="other words")
    assert second["id"] == first["id"]
    assert second["reason"] == "release 4.2"
    owner = await controller.owner()
    headers = {"Idempotency-Key": "approve-me-once"}
    answers = [await owner.post(f"{PATH}/{first['id']}/approve", json={}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    late = await owner.post(f"{PATH}/{first['id']}/approve", json={})
    assert (late.status_code, code_of(late)) == (409, "conflict")


async def test_an_ambiguous_target_needs_a_resource(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    made = await ask(grace, "nowhere.corp")
    owner = await controller.owner()
    answer = await owner.post(f"{PATH}/{made['id']}/approve", json={})
    assert (answer.status_code, answer.json()["field"]) == (422, "resource")
    resource = await resource_of(controller)
    answer = await owner.post(f"{PATH}/{made['id']}/approve", json={"resource": resource})
    assert answer.json()["resource"] == resource


async def test_a_request_that_nobody_answers_closes_by_itself(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    owner = await controller.owner()
    made = await ask(grace)
    controller.clock.advance(OPEN_S)
    again = controller.person(await controller.sign_in())
    assert (await again.get(f"{PATH}/{made['id']}")).json()["status"] == "expired"
    late = await again.post(f"{PATH}/{made['id']}/deny", json={"answer": "late"})
    assert (late.status_code, code_of(late)) == (409, "conflict")
    del owner


async def test_t26_open_requests_are_bounded(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    for number in range(OPEN_MAX):
        await ask(grace, f"host{number}.corp")
    answer = await grace.http.post(PATH, json={"target": "more.corp", "reason": "r"})
    assert (answer.status_code, code_of(answer)) == (429, "limit_exceeded")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"target": "", "reason": "r"}, "target"),
        ({"target": "db.corp"}, "reason"),
        ({"target": "db.corp", "reason": "   "}, "reason"),
        ({"target": "db.corp", "reason": "r", "duration_s": 1}, "duration_s"),
        ({"target": "db.corp", "reason": "r", "port": 0}, "port"),
        ({"target": "db.corp", "reason": "r", "user": "usr_x"}, "user"),
    ],
)
async def test_bad_input_names_the_member(controller: Controller, body: dict[str, Any], field: str) -> None:
    grace = await controller.add_user("grace@corp.example")
    answer = await grace.http.post(PATH, json=body)
    assert answer.status_code == 422
    assert json.loads(answer.text)["field"] == field


async def test_t16_a_stale_version_is_refused(controller: Controller) -> None:
    await resource_of(controller)
    grace = await controller.add_user("grace@corp.example")
    made = await ask(grace)
    owner = await controller.owner()
    headers = {"If-Match": '"7"'}
    assert (await owner.post(f"{PATH}/{made['id']}/approve", json={}, headers=headers)).status_code == 412
