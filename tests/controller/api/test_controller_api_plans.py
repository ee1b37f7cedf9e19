"""Plans over the API: made, approved by hash, applied exactly, refused when the log moved."""

import threading
from typing import Any

import httpx2
import pytest
from api_world import MARKER, company, moment
from controller_api import OWNER, Controller, code_of
from flow_records import stored_record

from controller.api.operations import plans as operations
from controller.domain.permissions import DOCUMENT_READS, Permission
from controller.store import records

OFFICE = """
networks: [{name: office}]
resources:
  - {name: wiki, network: office, address: wiki.corp.internal, ports: {tcp: [443]}}
groups:
  - {name: engineers, members: [grace@corp.example]}
grants:
  - {to: "group:engineers", resource: wiki}
"""


@pytest.fixture
async def owner(controller: Controller) -> httpx2.AsyncClient:
    await controller.add_user("grace@corp.example")
    return await controller.owner()


async def _plan(http: httpx2.AsyncClient, document: str, *, prune: bool = False) -> dict[str, Any]:
    answer = await http.post("/api/v1/plans", json={"document": document, "prune": prune})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def _apply(http: httpx2.AsyncClient, plan: dict[str, Any], **headers: str) -> httpx2.Response:
    return await http.post(f"/api/v1/plans/{plan['hash']}/apply", headers=headers)


async def test_what_is_planned_is_what_is_applied(controller: Controller, owner: httpx2.AsyncClient) -> None:
    plan = await _plan(owner, OFFICE)
    assert plan["applicable"]
    assert plan["summary"] == {"create": 4, "change": 1, "remove": 0, "gained": 1, "lost": 0, "cut": 0}
    (gain,) = plan["access"]
    assert (gain["subject_name"], gain["resource_name"], gain["change"]) == ("grace", "wiki", "gained")
    assert gain["gained"]["tcp"] == ["443"]
    before = controller.services.state.position
    assert plan["revision"] == before
    applied = (await _apply(owner, plan)).json()
    assert applied["applied_revision"] == before + 5
    assert controller.services.state.position == before + 5
    assert (await _plan(owner, OFFICE))["changes"] == []
    shown = (await owner.get(f"/api/v1/plans/{plan['hash']}")).json()
    assert shown["applied_revision"] == before + 5


async def test_a_plan_changes_nothing_by_being_made(controller: Controller, owner: httpx2.AsyncClient) -> None:
    before = controller.services.state.position
    await _plan(owner, OFFICE)
    assert controller.services.state.position == before


async def test_a_plan_is_refused_when_the_log_has_moved(controller: Controller, owner: httpx2.AsyncClient) -> None:
    plan = await _plan(owner, OFFICE)
    await owner.post("/api/v1/groups", json={"name": "others"})
    refused = await _apply(owner, plan)
    assert (refused.status_code, code_of(refused)) == (409, "conflict")
    assert "the log moved from revision" in refused.json()["detail"]
    assert not controller.services.state.resources


async def test_d7_a_plan_is_applied_once(owner: httpx2.AsyncClient) -> None:
    plan = await _plan(owner, OFFICE)
    first = await _apply(owner, plan, **{"Idempotency-Key": "key-number-one"})
    again = await _apply(owner, plan, **{"Idempotency-Key": "key-number-one"})
    assert first.json() == again.json()
    other = await _apply(owner, plan)
    assert (other.status_code, code_of(other)) == (409, "conflict")
    assert "was applied as revision" in other.json()["detail"]


async def test_applying_reads_the_document_in_a_thread_before_others_must_wait(
    owner: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await _plan(owner, OFFICE)
    steps: list[str] = []
    read, apply = operations._read, operations.apply

    def noting_read(document: str) -> Any:
        steps.append("read on the loop" if threading.current_thread() is threading.main_thread() else "read")
        return read(document)

    async def noting_apply(*args: Any) -> int:
        steps.append("unit")
        return await apply(*args)

    monkeypatch.setattr(operations, "_read", noting_read)
    monkeypatch.setattr(operations, "apply", noting_apply)
    assert (await _apply(owner, plan)).status_code == 200
    assert steps == ["read", "unit"]


async def test_a_document_that_was_replaced_meanwhile_is_read_again(
    controller: Controller, owner: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await _plan(owner, OFFICE)
    read_ahead = operations.read_ahead

    async def of_another(*args: Any) -> Any:
        draft = await read_ahead(*args)
        assert draft is not None
        return operations.Draft("networks: []\n", operations._read("networks: []\n"))

    monkeypatch.setattr(operations, "read_ahead", of_another)
    assert (await _apply(owner, plan)).status_code == 200
    assert controller.services.state.grants


async def test_a_plan_expires(controller: Controller, owner: httpx2.AsyncClient) -> None:
    plan = await _plan(owner, OFFICE)
    assert [item["hash"] for item in (await owner.get("/api/v1/plans")).json()["items"]] == [plan["hash"]]
    controller.clock.advance(24 * 3600 + 1)
    owner = await controller.owner()
    assert (await _apply(owner, plan)).status_code == 404
    assert (await owner.get("/api/v1/plans")).json()["items"] == []


async def test_t16_the_last_owner_is_not_planned_out(controller: Controller, owner: httpx2.AsyncClient) -> None:
    plan = await _plan(owner, f"users: [{{user: {OWNER}, role: member}}]")
    assert not plan["applicable"]
    assert "last owner" in plan["faults"][0]["detail"]
    refused = await _apply(owner, plan)
    assert (refused.status_code, code_of(refused)) == (409, "plan_refused")
    assert "last owner" in refused.json()["detail"]


async def test_t16_another_person_applies_only_what_his_role_permits(controller: Controller) -> None:
    owner = await controller.owner()
    admin = await controller.add_user("admin@corp.example", "admin")
    await controller.add_user("grace@corp.example")
    plan = await _plan(owner, "users: [{user: grace@corp.example, role: owner}]")
    assert plan["applicable"]
    refused = await _apply(admin.http, plan)
    assert refused.status_code in (403, 409)
    assert (await owner.get("/api/v1/users?email=grace@corp.example")).json()["items"][0]["role"] == "member"


async def _token(controller: Controller, owner: httpx2.AsyncClient, *scopes: Permission) -> httpx2.AsyncClient:
    expires = moment(controller.clock.wall() + 3600)
    body = {"name": "pipeline", "scopes": [item.value for item in scopes], "expires_at": expires}
    answer = await owner.post("/api/v1/api-tokens", json=body)
    assert answer.status_code == 201, answer.text
    return controller.person(answer.json()["secret"])


async def test_t10_a_token_for_plans_reads_nothing_that_its_other_scopes_do_not_name(
    controller: Controller, owner: httpx2.AsyncClient
) -> None:
    plan = await _plan(owner, OFFICE)
    async with await _token(controller, owner, Permission.PLANS_READ, Permission.PLANS_WRITE) as bare:
        asked = [
            await bare.get(f"/api/v1/plans/{plan['hash']}"),
            await bare.post("/api/v1/plans", json={"document": OFFICE}),
            await _apply(bare, plan),
            await bare.get("/api/v1/export"),
        ]
        for refused in asked:
            assert (refused.status_code, code_of(refused)) == (403, "forbidden")
            assert "people:read" in refused.json()["detail"]
        listed = (await bare.get("/api/v1/plans")).json()["items"]
        assert [item["hash"] for item in listed] == [plan["hash"]]


async def test_t10_devices_and_connections_are_left_out_of_a_plan_for_who_may_not_read_them(
    controller: Controller, owner: httpx2.AsyncClient
) -> None:
    world = await company(controller)
    excluded = f"/api/v1/exclusions/{world.ids['exclusion']}"
    assert (await owner.delete(excluded)).status_code == 204
    at = {"device": world.ids["device"], "resource": world.ids["resource"], "host": f"{MARKER}.internal", "port": 1}
    reporter = await controller.add_connector()
    async with controller.services.store.transact() as connection:
        await records.append(connection, reporter, [], [stored_record(1, world.victim.id, **at)])
    whole = await _plan(owner, "grants: []", prune=True)
    assert ([item["device"] for item in whole["access"]], whole["withheld"]) == ([None, world.ids["device"]], [])
    assert [item["device"] for item in whole["cut"]] == [world.ids["device"]]
    scopes = (Permission.PLANS_WRITE, Permission.PLANS_READ, Permission.GRANTS_WRITE, *DOCUMENT_READS)
    async with await _token(controller, owner, *scopes) as pipeline:
        made = await _plan(pipeline, "grants: []", prune=True)
        shown = (await pipeline.get(f"/api/v1/plans/{whole['hash']}")).json()
        for plan in (made, shown):
            assert [item["device"] for item in plan["access"]] == [None]
            assert plan["cut"] == []
            assert plan["withheld"] == ["devices:read", "connections:read"]
            assert plan["summary"] == whole["summary"]


async def test_failed_tests_keep_a_plan_from_being_applied(owner: httpx2.AsyncClient) -> None:
    await _apply(owner, await _plan(owner, OFFICE))
    revoke = "grants: []\nexpect:\n  - grace@corp.example can reach wiki:443\n"
    plan = await _plan(owner, revoke, prune=True)
    assert [(item["line"], item["detail"]) for item in plan["failed_tests"]] == [
        (3, "grace@corp.example can reach wiki:443: it cannot")
    ]
    refused = await _apply(owner, plan)
    assert (refused.status_code, code_of(refused)) == (409, "plan_refused")
    kept = await _plan(owner, revoke.replace("can reach", "cannot reach"), prune=True)
    assert (await _apply(owner, kept)).status_code == 200


async def test_a_mistake_in_the_document_is_named_with_its_line(owner: httpx2.AsyncClient) -> None:
    refused = await owner.post("/api/v1/plans", json={"document": "networks:\n  - nam: office\n"})
    assert (refused.status_code, code_of(refused)) == (422, "invalid_input")
    assert refused.json()["field"] == "document"
    assert refused.json()["detail"] == "line 2: a network needs 'name'"


async def test_an_export_makes_an_empty_plan(owner: httpx2.AsyncClient) -> None:
    await _apply(owner, await _plan(owner, OFFICE))
    exported = (await owner.get("/api/v1/export")).json()
    assert "grace@corp.example" in exported["document"]
    for prune in (False, True):
        plan = await _plan(owner, exported["document"], prune=prune)
        assert (plan["changes"], plan["faults"]) == ([], [])


async def test_an_address_that_changed_hands_voids_the_plan(controller: Controller, owner: httpx2.AsyncClient) -> None:
    """E-mail addresses are beside the log: they can change without moving it, and must not change who is meant."""
    plan = await _plan(owner, OFFICE)
    grace = (await owner.get("/api/v1/users?email=grace@corp.example")).json()["items"][0]["id"]
    async with controller.services.store.transact() as connection:
        from controller.store import credentials

        await credentials.set_personal_data(connection, grace, email="gone@corp.example", fields={}, now=0.0)
        me = next(iter(user for user in controller.services.state.users if user != grace))
        await credentials.set_personal_data(connection, me, email="grace@corp.example", fields={}, now=0.0)
    refused = await _apply(owner, plan)
    assert (refused.status_code, code_of(refused)) == (409, "plan_refused")
    assert not controller.services.state.grants


async def test_t12_a_document_may_be_long_but_not_endless(controller: Controller, owner: httpx2.AsyncClient) -> None:
    long = "networks: []\n" + "# a long remark\n" * 40_000
    assert (await _plan(owner, long))["applicable"]
    for secret, code in {
        "ost_" + "A" * 43: "sign_in_required",
        "ost_api_" + "A" * 43: "sign_in_required",
        (await controller.add_user("member@corp.example")).token: "forbidden",
    }.items():
        async with controller.person(secret) as stranger:
            unread = await stranger.post("/api/v1/plans", json={"document": long})
        assert (code_of(unread), unread.headers["connection"]) == (code, "close"), secret
    for path, document in (("plans", "x" * 2_200_000), ("groups", long)):
        refused = await owner.post(f"/api/v1/{path}", json={"document": document})
        assert (refused.status_code, code_of(refused)) == (413, "body_too_large")
