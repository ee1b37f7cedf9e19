"""API tokens over the API: shown once, bounded in time and power, ended at once (T-10, T-11, T-16)."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from controller_api import Controller, code_of
from store_steps import raw_connection

from controller.domain.permissions import ROLE_PERMISSIONS, TOKEN_SCOPES
from controller.identity.api_tokens import LIFE_MAX_S
from protocol.errors import LocalError
from protocol.reasons import Reason


def body(controller: Controller, *scopes: str, days: float = 1, name: str = "terraform") -> dict[str, Any]:
    expires = datetime.fromtimestamp(controller.clock.wall() + days * 86_400, UTC)
    return {"name": name, "scopes": list(scopes), "expires_at": expires.isoformat()}


async def make(controller: Controller, http: httpx2.AsyncClient, *scopes: str) -> tuple[dict[str, Any], Any]:
    """Makes a token; returns it and a client that uses it."""
    answer = await http.post("/api/v1/api-tokens", json=body(controller, *scopes))
    assert answer.status_code == 201, answer.text
    return answer.json(), controller.person(answer.json()["secret"])


async def test_t11_the_secret_is_shown_once_and_stored_as_a_hash(controller: Controller) -> None:
    owner = await controller.owner()
    made, token = await make(controller, owner, "networks:write", "networks:read")
    secret = made["secret"]
    assert secret.startswith("ost_api_")
    assert made["hint"] == secret[:12]
    assert made["scopes"] == ["networks:read", "networks:write"]
    assert (await token.get("/api/v1/networks")).status_code == 200
    for path in ("api-tokens", f"api-tokens/{made['id']}", "events", "me"):
        assert secret not in (await owner.get(f"/api/v1/{path}")).text
    async with raw_connection(controller.services.settings.effective_database_url) as database:
        for table in ("api_tokens", "events", "personal_data", "idempotency"):
            rows = (await database.exec_driver_sql(f"SELECT * FROM {table}")).all()
            assert secret not in str(rows), table


async def test_a_token_acts_for_its_owner_and_the_log_says_which(controller: Controller) -> None:
    owner = await controller.owner()
    made, token = await make(controller, owner, "networks:write", "self:read")
    network = (await token.post("/api/v1/networks", json={"name": "office"})).json()["id"]
    found = (await owner.get("/api/v1/events", params={"stream": network})).json()["items"][0]
    assert (found["actor"], found["names"][made["id"]]) == (made["id"], "terraform")
    me = (await token.get("/api/v1/me")).json()
    assert (me["role"], me["permissions"], me["session"]) == ("owner", ["networks:write", "self:read"], None)
    assert me["api_token"] == made["id"]
    mine = (await owner.get("/api/v1/me")).json()
    assert (mine["api_token"], "keys:write" in mine["permissions"]) == (None, True)


async def test_its_last_use_is_known_to_the_minute(controller: Controller) -> None:
    owner = await controller.owner()
    made, token = await make(controller, owner, "self:read")

    async def used() -> str | None:
        shown: str | None = (await owner.get(f"/api/v1/api-tokens/{made['id']}")).json()["last_used_at"]
        return shown

    assert await used() is None
    await token.get("/api/v1/me")
    first = await used()
    assert first is not None
    controller.clock.advance(59)
    await token.get("/api/v1/me")
    assert await used() == first
    controller.clock.advance(2)
    await token.get("/api/v1/me")
    assert await used() not in (None, first)


async def test_a_use_that_cannot_be_noted_is_a_use(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    _, token = await make(controller, await controller.owner(), "self:read")

    def full() -> None:
        raise LocalError(Reason.UNAVAILABLE, "the disk is full")

    monkeypatch.setattr(controller.services.store, "transact", full)
    assert (await token.get("/api/v1/me")).status_code == 200


async def test_t16_a_token_ends_with_its_time(controller: Controller) -> None:
    owner = await controller.owner()
    made, token = await make(controller, owner, "self:read")
    controller.clock.advance(86_399)
    assert (await token.get("/api/v1/me")).status_code == 200
    controller.clock.advance(1)
    assert (await token.get("/api/v1/me")).status_code == 401
    again = await controller.owner()
    assert (await again.get(f"/api/v1/api-tokens/{made['id']}")).json()["expired"] is True


async def test_t16_a_token_ends_when_it_is_revoked(controller: Controller) -> None:
    owner = await controller.owner()
    made, token = await make(controller, owner, "self:read", "self:write")
    stale = await owner.delete(f"/api/v1/api-tokens/{made['id']}", headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    assert (await owner.delete(f"/api/v1/api-tokens/{made['id']}", headers={"If-Match": '"1"'})).status_code == 204
    assert (await token.get("/api/v1/me")).status_code == 401
    assert (await owner.get(f"/api/v1/api-tokens/{made['id']}")).status_code == 404
    assert (await owner.get("/api/v1/api-tokens")).json()["items"] == []


async def test_t16_a_token_may_end_itself(controller: Controller) -> None:
    made, token = await make(controller, await controller.owner(), "self:write")
    assert (await token.delete(f"/api/v1/api-tokens/{made['id']}")).status_code == 204
    assert (await token.delete(f"/api/v1/api-tokens/{made['id']}")).status_code == 401


@pytest.mark.parametrize("end", ["disable", "remove", "demote"])
async def test_t16_a_token_ends_with_its_owner(controller: Controller, end: str) -> None:
    owner = await controller.owner()
    admin = await controller.add_user("grace@corp.example", "admin")
    _, token = await make(controller, admin.http, "networks:read")
    assert (await token.get("/api/v1/networks")).status_code == 200
    account = f"/api/v1/users/{admin.id}"
    match end:
        case "disable":
            await owner.patch(account, json={"disabled": True})
            await owner.patch(account, json={"disabled": False})
        case "remove":
            await owner.delete(account)
        case "demote":
            await owner.patch(account, json={"role": "member"})
    assert (await token.get("/api/v1/networks")).status_code == (403 if end == "demote" else 401)


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"scopes": []}, 422, "scopes"),
        ({"scopes": ["fly:write"]}, 422, "scopes"),
        ({"scopes": ["credentials:write"]}, 422, "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 422, "expires_at"),
        ({"expires_at": "2199-01-01T00:00:00Z"}, 422, "expires_at"),
        ({"expires_at": None}, 422, "expires_at"),
        ({"name": "bad\nname"}, 422, "name"),
        ({"owner": "usr_AAAAAAAAAAAAAAAAAAAAAA"}, 422, "owner"),
        ({"scopes": ["audit:read", "self:read"]}, 403, "audit:read"),
    ],
)
async def test_what_a_token_may_not_be(controller: Controller, change: dict[str, Any], status: int, said: str) -> None:
    member = await controller.add_user("grace@corp.example")
    answer = await member.http.post("/api/v1/api-tokens", json={**body(controller, "self:read"), **change})
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    longest = body(controller, "self:read", days=LIFE_MAX_S / 86_400)
    assert (await member.http.post("/api/v1/api-tokens", json=longest)).status_code == 201


async def test_t16_a_token_makes_no_credential(controller: Controller) -> None:
    owner = await controller.owner()
    member = await controller.add_user("grace@corp.example")
    _, token = await make(controller, owner, *sorted(item.value for item in TOKEN_SCOPES))
    before = controller.services.state.position
    new = await token.post("/api/v1/api-tokens", json=body(controller, "self:read"))
    password = await token.put(f"/api/v1/users/{member.id}/password", json={"password": "correct horse battery"})
    own = await token.put(
        f"/api/v1/users/{(await token.get('/api/v1/me')).json()['id']}/password",
        json={"password": "correct horse battery", "current_password": "correct horse battery staple"},
    )
    for answer in (new, password, own):
        assert (answer.status_code, code_of(answer)) == (403, "forbidden"), answer.text
    assert controller.services.state.position == before


async def test_t16_a_token_for_people_cannot_lift_anybody(controller: Controller) -> None:
    """Scopes bound whom a token can change, not only its owner's role."""
    owner = await controller.owner()
    auditor = await controller.add_user("grace@corp.example", "auditor")
    member = await controller.add_user("hal@corp.example")
    _, token = await make(controller, owner, "people:read", "people:write", "roles:write")
    for body_, target in (({"role": "owner"}, member), ({"role": "auditor"}, member), ({"disabled": True}, auditor)):
        answer = await token.patch(f"/api/v1/users/{target.id}", json=body_)
        assert answer.status_code == 403, answer.text
    assert (await token.patch(f"/api/v1/users/{member.id}", json={"disabled": True})).status_code == 200
    new = {"email": "ida@corp.example", "name": "Ida", "role": "owner"}
    assert (await token.post("/api/v1/users", json=new)).status_code == 403
    assert (await token.post("/api/v1/users", json={**new, "role": "member"})).status_code == 201


async def test_t16_a_token_makes_nobody_who_outlives_it(controller: Controller) -> None:
    """Neither an account of rank nor one whose password the token's holder knows."""
    owner = await controller.owner()
    member = await controller.add_user("grace@corp.example")
    _, token = await make(controller, owner, *sorted(item.value for item in TOKEN_SCOPES))
    before = controller.services.state.position
    new = {"email": "ida@corp.example", "name": "Ida"}
    for role in ("owner", "auditor"):
        made = await token.post("/api/v1/users", json={**new, "role": role})
        lifted = await token.patch(f"/api/v1/users/{member.id}", json={"role": role})
        for answer in (made, lifted):
            assert (answer.status_code, code_of(answer)) == (403, "forbidden"), answer.text
    chosen = await token.post("/api/v1/users", json={**new, "password": "a quiet lighthouse"})
    assert (chosen.status_code, code_of(chosen)) == (403, "forbidden")
    assert "password" in chosen.json()["detail"]
    assert controller.services.state.position == before


async def test_an_account_that_a_token_makes_has_no_password_until_a_person_sets_one(controller: Controller) -> None:
    owner = await controller.owner()
    _, token = await make(controller, owner, "people:write")
    made = await token.post("/api/v1/users", json={"email": "ida@corp.example", "name": "Ida"})
    assert (made.status_code, made.json()["initial_password"]) == (201, None), made.text
    attempt = {"email": "ida@corp.example", "password": "a quiet lighthouse"}
    assert (await controller.http.post("/api/v1/sessions", json=attempt)).status_code == 401
    fresh = {"password": "a quiet lighthouse"}
    assert (await owner.put(f"/api/v1/users/{made.json()['id']}/password", json=fresh)).status_code == 204
    assert await controller.sign_in("ida@corp.example", "a quiet lighthouse")


async def test_t10_who_sees_and_ends_whose_tokens(controller: Controller) -> None:
    owner = await controller.owner()
    grace, hal = await controller.add_user("grace@corp.example"), await controller.add_user("hal@corp.example")
    auditor = await controller.add_user("ida@corp.example", "auditor")
    made, _ = await make(controller, grace.http, "self:read")
    url = f"/api/v1/api-tokens/{made['id']}"
    assert (await hal.http.get("/api/v1/api-tokens")).json()["items"] == []
    assert (await hal.http.get(url)).status_code == (await hal.http.delete(url)).status_code == 404
    seen = (await auditor.http.get("/api/v1/api-tokens", params={"owner": grace.id})).json()["items"]
    assert [item["id"] for item in seen] == [made["id"]]
    assert (await auditor.http.delete(url)).status_code == 403
    assert (await owner.delete(url)).status_code == 204


async def test_d10_tokens_are_bounded(controller: Controller) -> None:
    member = await controller.add_user("grace@corp.example")
    for _ in range(50):
        await make(controller, member.http, "self:read")
    refused = await member.http.post("/api/v1/api-tokens", json=body(controller, "self:read"))
    assert (refused.status_code, code_of(refused)) == (429, "limit_exceeded")
    page = (await member.http.get("/api/v1/api-tokens", params={"limit": 49})).json()
    rest = (await member.http.get("/api/v1/api-tokens", params={"cursor": page["next_cursor"]})).json()
    assert (len(page["items"]), len(rest["items"])) == (49, 1)


async def test_f31_a_repeated_creation_shows_the_same_secret_and_makes_one(controller: Controller) -> None:
    owner = await controller.owner()
    ask = {"json": body(controller, "self:read"), "headers": {"Idempotency-Key": "the-first-token"}}
    first, second = [await owner.post("/api/v1/api-tokens", **ask) for _ in range(2)]
    assert first.json() == second.json()
    assert len((await owner.get("/api/v1/api-tokens")).json()["items"]) == 1


async def test_an_answer_kept_for_a_session_is_not_replayed_to_a_token(controller: Controller) -> None:
    owner = await controller.owner()
    ask = {"json": {"name": "office"}, "headers": {"Idempotency-Key": "the-same-key"}}
    assert (await owner.post("/api/v1/networks", **ask)).status_code == 201
    _, token = await make(controller, owner, "networks:write")
    assert (await token.post("/api/v1/networks", **ask)).status_code == 409


async def test_many_uses_at_once(controller: Controller) -> None:
    _, token = await make(controller, await controller.owner(), "self:read")
    answers = await asyncio.gather(*(token.get("/api/v1/me") for _ in range(30)))
    assert {answer.status_code for answer in answers} == {200}


async def test_roles_are_listed_as_the_table_says(controller: Controller) -> None:
    member = await controller.add_user("grace@corp.example")
    answer = (await member.http.get("/api/v1/roles")).json()
    assert {item["role"]: set(item["permissions"]) for item in answer["items"]} == {
        role.value: {item.value for item in held} for role, held in ROLE_PERMISSIONS.items()
    }
    assert set(answer["token_scopes"]) == {item.value for item in TOKEN_SCOPES}
