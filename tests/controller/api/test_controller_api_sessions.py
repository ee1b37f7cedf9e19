"""Sign-in, sessions, accounts and roles (S-9, T-2, T-9, T-10, T-11, T-16)."""

import asyncio
from datetime import UTC, datetime

import pytest
from controller_api import OWNER, OWNER_PASSWORD, Controller, code_of

from controller.identity.web_sessions import LIFETIMES


async def test_a_session_is_shown_once_listed_and_ended(controller: Controller) -> None:
    token = await controller.sign_in()
    owner = controller.person(token)
    me = (await owner.get("/api/v1/me")).json()
    assert (me["email"], me["role"], me["session"]["current"]) == (OWNER, "owner", True)
    other = await controller.sign_in()
    sessions = (await owner.get("/api/v1/sessions")).json()["items"]
    assert sorted(item["current"] for item in sessions) == [False, True]
    assert token not in str(sessions)
    assert other not in str(sessions)
    second = next(item["id"] for item in sessions if not item["current"])
    assert (await owner.delete(f"/api/v1/sessions/{second}")).status_code == 204
    gone = await controller.person(other).get("/api/v1/me")
    assert (gone.status_code, code_of(gone)) == (401, "sign_in_required")
    assert gone.headers["www-authenticate"].startswith("Bearer")
    assert (await owner.delete("/api/v1/sessions/current")).status_code == 204
    assert (await owner.get("/api/v1/me")).status_code == 401


async def test_t11_only_the_hash_of_a_token_is_stored(controller: Controller) -> None:
    token = await controller.sign_in()
    folder = controller.services.settings.state_dir
    raw = b"".join(path.read_bytes() for path in folder.glob("controller.db*"))
    assert token.encode() not in raw
    assert OWNER_PASSWORD.encode() not in raw


async def test_sessions_end_by_idleness_and_by_age(controller: Controller) -> None:
    life = LIFETIMES["api"]
    person = await controller.owner()
    for _ in range(life.life_s // (life.idle_s - 60)):
        controller.clock.advance(life.idle_s - 60)
        assert (await person.get("/api/v1/me")).status_code == 200
    controller.clock.advance(life.idle_s - 60)
    assert (await person.get("/api/v1/me")).status_code == 401
    idle = await controller.owner()
    controller.clock.advance(life.idle_s)
    assert (await idle.get("/api/v1/me")).status_code == 401
    assert (await idle.get("/api/v1/me")).status_code == 401


@pytest.mark.parametrize("credentials", [None, "", "ost_short", "Basic x", "ost_" + "A" * 43])
async def test_nobody_is_let_in_without_a_session(controller: Controller, credentials: str | None) -> None:
    answer = await controller.person(credentials).get("/api/v1/networks")
    assert (answer.status_code, code_of(answer)) == (401, "sign_in_required")


async def test_t9_a_failed_sign_in_says_little_and_leaves_an_event(controller: Controller) -> None:
    owner = await controller.owner()
    secret = "my other password"
    for email in (OWNER, "nobody@corp.example"):
        answer = await controller.http.post("/api/v1/sessions", json={"email": email, "password": secret})
        assert (answer.status_code, code_of(answer)) == (401, "sign_in_failed")
        assert answer.json()["detail"] == "The name or the password is wrong."
    events = (await owner.get("/api/v1/events", params={"type": "sign_in.failed"})).json()["items"]
    me = (await owner.get("/api/v1/me")).json()["id"]
    assert [item["data"] for item in events] == [
        {"user": None, "cause": "unknown_account"},
        {"user": me, "cause": "wrong_password"},
    ]
    assert secret not in str(events)


async def test_s9_guesses_are_slowed_down_by_address_and_by_account(controller: Controller) -> None:
    async def attempt(address: str, email: str) -> int:
        async with controller.person(address=address) as person:
            answer = await person.post("/api/v1/sessions", json={"email": email, "password": "wrong"})
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
                assert code_of(answer) == "rate_limited"
            return answer.status_code

    one_address = [await attempt("203.0.113.7", f"user{number}@corp.example") for number in range(40)]
    assert one_address.count(429) >= 15
    one_account = [await attempt(f"203.0.113.{number}", "victim@corp.example") for number in range(40)]
    assert one_account.count(429) >= 25
    one_network = [await attempt(f"2001:db8::{number:x}", f"v6user{number}@corp.example") for number in range(40)]
    assert one_network.count(429) >= 15


async def test_right_sign_ins_are_not_slowed_down(controller: Controller) -> None:
    for _ in range(30):
        await controller.sign_in()


async def test_owners_make_users_with_a_password_that_is_shown_once(controller: Controller) -> None:
    owner = await controller.owner()
    made = await owner.post("/api/v1/users", json={"email": "Grace@corp.example", "name": "Grace"})
    assert made.status_code == 201
    password = made.json()["initial_password"]
    user = made.json()["id"]
    token = await controller.sign_in("grace@CORP.example", password)
    grace = controller.person(token)
    assert "password" not in (await owner.get(f"/api/v1/users/{user}")).text
    again = await owner.post("/api/v1/users", json={"email": "grace@corp.example", "name": "Other"})
    assert (again.status_code, code_of(again)) == (409, "already_exists")

    wrong = await grace.put(
        f"/api/v1/users/{user}/password", json={"password": "a new quiet night", "current_password": "wrong"}
    )
    assert (wrong.status_code, wrong.json()["field"]) == (422, "current_password")
    short = await grace.put(f"/api/v1/users/{user}/password", json={"password": "short", "current_password": password})
    assert (short.status_code, short.json()["field"]) == (422, "password")
    done = await grace.put(
        f"/api/v1/users/{user}/password", json={"password": "a new quiet night", "current_password": password}
    )
    assert done.status_code == 204
    assert (await grace.get("/api/v1/me")).status_code == 401
    await controller.sign_in("grace@corp.example", "a new quiet night")


async def test_a_disabled_user_is_out_at_once(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    owner = await controller.owner()
    done = await owner.patch(f"/api/v1/users/{grace.id}", json={"disabled": True})
    assert done.json()["disabled"] is True
    assert (await grace.http.get("/api/v1/me")).status_code == 401
    right = await controller.http.post("/api/v1/sessions", json={"email": grace.email, "password": grace.password})
    assert (right.status_code, code_of(right)) == (403, "user_disabled")
    wrong = await controller.http.post("/api/v1/sessions", json={"email": grace.email, "password": "wrong"})
    assert (wrong.status_code, code_of(wrong)) == (401, "sign_in_failed")
    assert (await owner.patch(f"/api/v1/users/{grace.id}", json={"disabled": False})).status_code == 200
    await controller.sign_in(grace.email, grace.password)


async def test_t2_a_removed_users_address_inherits_nothing(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example", role="admin")
    owner = await controller.owner()
    assert (await owner.delete(f"/api/v1/users/{grace.id}")).status_code == 204
    again = await controller.add_user("grace@corp.example")
    assert again.id != grace.id
    assert (await again.http.get("/api/v1/me")).json()["role"] == "member"
    assert (await grace.http.get("/api/v1/me")).status_code == 401


async def test_personal_data_is_erased_from_the_audit_trail_too(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    owner = await controller.owner()

    async def names() -> str:
        return (await owner.get("/api/v1/events", params={"stream": grace.id})).text

    assert '"grace"' in await names()
    early = await owner.delete(f"/api/v1/users/{grace.id}/personal-data")
    assert (early.status_code, code_of(early)) == (409, "in_use")
    await owner.delete(f"/api/v1/users/{grace.id}")
    assert '"grace"' in await names()
    assert (await owner.delete(f"/api/v1/users/{grace.id}/personal-data")).status_code == 204
    assert "grace" not in await names()
    assert grace.id in await names()
    unknown = await owner.delete("/api/v1/users/usr_unknown/personal-data")
    assert unknown.status_code == 404


async def test_t16_admins_cannot_make_themselves_owners(controller: Controller) -> None:
    admin = await controller.add_user("admin@corp.example", role="admin")
    owner = await controller.owner()
    owner_id = (await owner.get("/api/v1/me")).json()["id"]
    attempts = (
        admin.http.patch(f"/api/v1/users/{admin.id}", json={"role": "owner"}),
        admin.http.patch(f"/api/v1/users/{owner_id}", json={"disabled": True}),
        admin.http.put(f"/api/v1/users/{owner_id}/password", json={"password": "taken over by me"}),
        admin.http.delete(f"/api/v1/users/{owner_id}"),
        admin.http.post(
            "/api/v1/users",
            json={"email": "x@corp.example", "name": "x", "role": "owner", "password": "a" * 8 + "bcdef"},
        ),
        admin.http.post("/api/v1/keys/rotate"),
    )
    for attempt in attempts:
        answer = await attempt
        assert (answer.status_code, code_of(answer)) == (403, "forbidden"), answer.request.url
    assert (await admin.http.get("/api/v1/me")).json()["role"] == "admin"
    await controller.sign_in()


async def test_t9_whoever_sets_a_password_is_in_the_log(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    admin = await controller.add_user("admin@corp.example", role="admin")
    taken = await admin.http.put(f"/api/v1/users/{grace.id}/password", json={"password": "taken over by me"})
    assert taken.status_code == 204
    owner = await controller.owner()
    seen = await owner.get("/api/v1/events", params={"stream": grace.id, "type": "user.password_set"})
    (event,) = seen.json()["items"]
    assert (event["actor"], event["data"]) == (admin.id, {"user": grace.id})
    assert "taken over by me" not in seen.text


async def test_t16_the_last_owner_stays(controller: Controller) -> None:
    owner = await controller.owner()
    me = (await owner.get("/api/v1/me")).json()["id"]
    for attempt in (
        owner.patch(f"/api/v1/users/{me}", json={"role": "member"}),
        owner.patch(f"/api/v1/users/{me}", json={"disabled": True}),
        owner.delete(f"/api/v1/users/{me}"),
    ):
        answer = await attempt
        assert (answer.status_code, code_of(answer)) == (409, "last_owner")


async def test_t16_of_fifty_conflicting_role_changes_one_wins(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    owner = await controller.owner()
    answers = await asyncio.gather(
        *(
            owner.patch(
                f"/api/v1/users/{grace.id}",
                json={"role": "admin" if number % 2 else "owner"},
                headers={"If-Match": '"1"'},
            )
            for number in range(50)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 49
    assert (await owner.get(f"/api/v1/users/{grace.id}")).json()["version"] == 2


async def test_members_may_change_their_own_name_and_nothing_else(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    renamed = await grace.http.patch(f"/api/v1/users/{grace.id}", json={"name": "Grace H."})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Grace H.")
    for body in ({"role": "admin"}, {"disabled": False}):
        answer = await grace.http.patch(f"/api/v1/users/{grace.id}", json=body)
        assert (answer.status_code, code_of(answer)) == (403, "forbidden")
    everybody = (await grace.http.get("/api/v1/users")).json()["items"]
    assert [item["id"] for item in everybody] == [grace.id]


async def test_groups_and_their_members(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    owner = await controller.owner()
    group = (await owner.post("/api/v1/groups", json={"name": "engineers"})).json()["id"]
    for _ in range(2):
        assert (await owner.put(f"/api/v1/groups/{group}/members/{grace.id}")).status_code == 204
    members = (await owner.get(f"/api/v1/groups/{group}/members")).json()["items"]
    assert [item["email"] for item in members] == ["grace@corp.example"]
    assert (await owner.get(f"/api/v1/groups/{group}")).json()["members"] == 1
    await owner.post("/api/v1/groups", json={"name": "nobody's"})
    of_grace = (await owner.get("/api/v1/groups", params={"member": grace.id})).json()["items"]
    assert [item["id"] for item in of_grace] == [group]
    assert (await owner.get("/api/v1/groups", params={"member": "usr_unknown"})).json()["items"] == []
    renamed = await owner.patch(f"/api/v1/groups/{group}", json={"name": "developers"})
    assert renamed.json()["name"] == "developers"
    assert (await owner.delete(f"/api/v1/groups/{group}/members/{grace.id}")).status_code == 204
    assert (await owner.delete(f"/api/v1/groups/{group}/members/{grace.id}")).status_code == 404
    assert (await owner.put(f"/api/v1/groups/{group}/members/usr_unknown")).status_code == 404
    assert (await owner.delete(f"/api/v1/groups/{group}")).status_code == 204


async def test_whose_groups_is_asked_only_by_who_may_read_people(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    owner = await controller.owner()
    group = (await owner.post("/api/v1/groups", json={"name": "engineers"})).json()["id"]
    await owner.put(f"/api/v1/groups/{group}/members/{grace.id}")
    soon = datetime.fromtimestamp(controller.clock.wall() + 3600, UTC).isoformat()
    made = await owner.post("/api/v1/api-tokens", json={"name": "ci", "scopes": ["groups:read"], "expires_at": soon})
    assert made.status_code == 201, made.text
    async with controller.person(made.json()["secret"]) as script:
        assert (await script.get("/api/v1/groups")).status_code == 200
        asked = await script.get("/api/v1/groups", params={"member": grace.id})
    assert (asked.status_code, code_of(asked)) == (403, "forbidden")
    assert "engineers" not in asked.text


@pytest.mark.parametrize(
    "email", ["", "a", "@b", "a@", "a@b c", "a@.b", "a@b.", '"a"@b', "a" * 300 + "@b", "a@b\u2028c"]
)
async def test_what_is_no_address_is_refused(controller: Controller, email: str) -> None:
    owner = await controller.owner()
    answer = await owner.post("/api/v1/users", json={"email": email, "name": "x"})
    assert (answer.status_code, answer.json()["field"]) == (422, "email")
