"""Writers that meet, repeat themselves, or send too much: one rule for every operation (T-12, T-16, F-31)."""

import asyncio
from typing import Any

import pytest
from api_world import OPERATIONS, Company, company
from controller_api import Controller, code_of

from controller.api.middleware import LARGE_BODIES
from protocol.limits import API_BODY_MAX_BYTES

STALE = '"987654321"'


def headers_of(document: dict[str, Any]) -> set[str]:
    return {item["name"].lower() for item in document.get("parameters", ()) if item["in"] == "header"}


CONDITIONAL = [operation for operation in OPERATIONS if "if-match" in headers_of(operation.document)]
REPEATABLE = [operation for operation in OPERATIONS if "idempotency-key" in headers_of(operation.document)]


@pytest.fixture
async def world(controller: Controller) -> Company:
    return await company(controller)


def test_every_operation_with_a_condition_announces_its_failure() -> None:
    assert len(CONDITIONAL) > 15
    announced = {operation.id for operation in OPERATIONS if "412" in operation.document["responses"]}
    assert announced == {operation.id for operation in CONDITIONAL}


def test_every_creation_may_be_repeated() -> None:
    created = {
        operation.id for operation in OPERATIONS if operation.permission and "201" in operation.document["responses"]
    }
    assert created - {operation.id for operation in REPEATABLE} <= ANEW


ANEW = {"begin_second_factor", "make_recovery_codes", "link_identity", "create_plan", "undo_event", "add_passkey"}
"""Creations that repeat themselves harmlessly: the earlier one is void, or the same, or the later one is refused, because a
challenge is good once."""


async def test_t16_a_stale_writer_is_told_the_present_version(world: Company) -> None:
    for operation in CONDITIONAL:
        before = world.controller.services.state.position
        # What everybody may do is about one's own things.
        http = world.victim.http if (operation.permission or "").startswith("self:") else world.owner
        answer = await http.request(
            operation.method, operation.url(world.ids), json=operation.body(), headers={"If-Match": STALE}
        )
        said = f"{operation.id}: {answer.status_code} {answer.text}"
        assert (answer.status_code, code_of(answer)) == (412, "conflict"), said
        assert answer.headers["ETag"] not in ("", STALE), said
        assert answer.headers["ETag"].strip('"') in answer.json()["detail"], said
        assert world.controller.services.state.position == before, said


async def test_t16_of_many_writers_with_one_version_one_wins(world: Company) -> None:
    url = f"/api/v1/groups/{world.ids['group']}"
    tag = (await world.owner.get(url)).headers["ETag"]
    answers = await asyncio.gather(
        *(world.owner.patch(url, json={"name": f"name {number}"}, headers={"If-Match": tag}) for number in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 19
    (winner,) = (answer for answer in answers if answer.status_code == 200)
    assert (await world.owner.get(url)).json() == winner.json()
    assert {answer.headers["ETag"] for answer in answers} == {winner.headers["ETag"]}


async def test_t16_of_many_with_one_name_one_wins(world: Company) -> None:
    answers = await asyncio.gather(*(world.owner.post("/api/v1/groups", json={"name": "one"}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    assert {code_of(answer) for answer in answers if answer.status_code == 409} == {"already_exists"}


async def test_f31_of_many_repetitions_at_once_one_is_done(world: Company) -> None:
    ask: dict[str, Any] = {"json": {"name": "office"}, "headers": {"Idempotency-Key": "the-same-one"}}
    answers = await asyncio.gather(*(world.owner.post("/api/v1/networks", **ask) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert sorted(answer.headers.get("Idempotency-Replayed", "") for answer in answers) == [""] + ["true"] * 19
    named = (await world.owner.get("/api/v1/networks", params={"name": "office"})).json()["items"]
    assert [item["id"] for item in named] == [answers[0].json()["id"]]


async def test_f31_a_key_is_for_one_request(world: Company) -> None:
    key = {"Idempotency-Key": "one-request-only"}
    assert (await world.owner.post("/api/v1/groups", json={"name": "a"}, headers=key)).status_code == 201
    before = world.controller.services.state.position
    for path, body in (("groups", {"name": "b"}), ("networks", {"name": "a"}), ("groups?x=1", {"name": "a"})):
        other = await world.owner.post(f"/api/v1/{path}", json=body, headers=key)
        assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")
    assert world.controller.services.state.position == before


async def test_a_body_that_is_not_json_is_named(world: Company) -> None:
    answer = await world.owner.post(
        "/api/v1/groups", content=b'{"name": ', headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["field"]) == (422, "body")
    assert answer.json()["detail"] == "the body is not JSON"


async def test_f31_a_key_is_its_owners(world: Company) -> None:
    admin = await world.controller.add_user("grace@corp.example", "admin")
    ask: dict[str, Any] = {"json": {"name": "office"}, "headers": {"Idempotency-Key": "a-common-key"}}
    assert (await world.owner.post("/api/v1/networks", **ask)).status_code == 201
    assert code_of(await admin.http.post("/api/v1/networks", **ask)) == "already_exists"


async def test_f31_a_refusal_is_not_remembered(world: Company) -> None:
    key = {"Idempotency-Key": "refused-at-first"}
    first = await world.owner.post("/api/v1/groups", json={"name": "grp-marker"}, headers=key)
    assert first.status_code == 409
    await world.owner.delete(f"/api/v1/groups/{world.ids['group']}")
    assert (await world.owner.post("/api/v1/groups", json={"name": "grp-marker"}, headers=key)).status_code == 201


async def test_f31_who_lost_his_role_gets_no_kept_answer(world: Company) -> None:
    admin = await world.controller.add_user("grace@corp.example", "admin")
    ask: dict[str, Any] = {"json": {"name": "ci"}, "headers": {"Idempotency-Key": "with-a-token-in-it"}}
    assert "otk_" in (await admin.http.post("/api/v1/service-accounts", **ask)).text
    await world.owner.patch(f"/api/v1/users/{admin.id}", json={"role": "member"})
    again = await world.controller.person(await world.controller.sign_in(admin.email, admin.password)).post(
        "/api/v1/service-accounts", **ask
    )
    assert again.status_code == 403
    assert "otk_" not in again.text


@pytest.mark.parametrize("declared", [True, False])
async def test_t12_a_body_over_the_cap_is_refused_whoever_sends_it(world: Company, declared: bool) -> None:
    before = world.controller.services.state.position
    for operation in OPERATIONS:
        if "requestBody" not in operation.document:
            continue
        cap = max(API_BODY_MAX_BYTES, LARGE_BODIES.get(operation.path, 0))

        async def parts(size: int = cap) -> Any:
            for _ in range(size // 65_536 + 1):
                yield b" " * 65_536

        content: Any = b" " * (cap + 1) if declared else parts()
        for http in (world.controller.http, world.owner):
            answer = await http.request(
                operation.method,
                operation.url(world.ids),
                content=content if declared else parts(),
                headers={"Content-Type": "application/json"},
            )
            said = f"{operation.id}: {answer.status_code} {answer.text}"
            # Nobody's body is read further than the cap; who is not signed in may be told that first.
            assert answer.status_code == 413 or (answer.status_code == 401 and not declared), said
    assert world.controller.services.state.position == before
