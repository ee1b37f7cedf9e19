"""Passkeys: made, used once per challenge, removed, and everything that must not pass (T-9, T-10, S-9, D7)."""

import asyncio
from typing import Any

import httpx2
import pyotp
import pytest
from controller_api import OWNER, URL, Controller, code_of
from software_passkey import PRESENT, SoftwarePasskey, b64

from controller.domain.model import Role
from controller.identity.passkeys import CHALLENGE_LIFE_S, PASSKEY_COOKIE, PASSKEYS_MAX, RelyingParty
from controller.identity.rate_limit import RateLimiter

SAME_ORIGIN = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
MINE = "/api/v1/me/passkeys"


async def add(http: httpx2.AsyncClient, passkey: SoftwarePasskey, name: str = "laptop") -> httpx2.Response:
    begun = await http.post(f"{MINE}/begin")
    assert begun.status_code == 200, begun.text
    answer = passkey.create(begun.json()["options"])
    return await http.post(MINE, json={"name": name, "credential": answer})


async def begin(http: httpx2.AsyncClient) -> dict[str, Any]:
    options: dict[str, Any] = (await http.post("/api/v1/passkeys/begin")).json()["options"]
    return options


async def use(http: httpx2.AsyncClient, answer: dict[str, Any], kind: str = "api") -> httpx2.Response:
    body = {"credential": answer, "kind": kind}
    return await http.post("/api/v1/passkeys/sign-in", json=body, headers=SAME_ORIGIN)


async def sign_in(controller: Controller, passkey: SoftwarePasskey, kind: str = "api") -> httpx2.Response:
    browser = controller.person()
    return await use(browser, passkey.get(await begin(browser)), kind)


async def strong_owner(controller: Controller, passkey: SoftwarePasskey) -> httpx2.AsyncClient:
    """The owner as he signed in with his passkey."""
    return controller.person((await sign_in(controller, passkey)).json()["token"])


async def causes(controller: Controller) -> list[str]:
    owner = await controller.owner()
    page = (await owner.get("/api/v1/events", params={"type": "sign_in.failed"})).json()
    return [item["data"]["cause"] for item in page["items"]]


@pytest.fixture
async def passkey(controller: Controller) -> SoftwarePasskey:
    made = SoftwarePasskey()
    assert (await add(await controller.owner(), made)).status_code == 201
    return made


async def test_a_passkey_signs_in_without_name_and_password(controller: Controller, passkey: SoftwarePasskey) -> None:
    signed = await sign_in(controller, passkey)
    assert signed.status_code == 201, signed.text
    shown = signed.json()
    assert (shown["method"], shown["second_factor_at"] is not None) == ("passkey", True)
    http = controller.person(shown["token"])
    assert (await http.get("/api/v1/me")).json()["email"] == OWNER
    assert (await http.get(MINE)).json()["items"][0]["last_used_at"] is not None
    events = (await http.get("/api/v1/events", params={"type": "sign_in.succeeded"})).json()["items"]
    assert "passkey" in [item["data"]["method"] for item in events]


async def test_the_options_ask_for_a_verified_person_and_a_discoverable_key(controller: Controller) -> None:
    owner = await controller.owner()
    begun = await owner.post(f"{MINE}/begin")
    options = begun.json()["options"]
    assert options["rp"]["id"] == "controller.example"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    cookie = begun.headers["set-cookie"]
    assert cookie.startswith(f"{PASSKEY_COOKIE}=")
    assert "HttpOnly" in cookie
    assert options["challenge"] not in cookie
    asked = await begin(controller.person())
    assert (asked["userVerification"], asked.get("allowCredentials", [])) == ("required", [])


async def test_the_console_gets_a_cookie_from_its_own_pages_only(
    controller: Controller, passkey: SoftwarePasskey
) -> None:
    signed = await sign_in(controller, passkey, "console")
    assert signed.json()["token"] is None
    assert any("__Host-ostiary-console=ost_" in value for value in signed.headers.get_list("set-cookie"))
    browser = controller.person()
    forged = await browser.post(
        "/api/v1/passkeys/sign-in",
        json={"credential": passkey.get(await begin(browser)), "kind": "console"},
        headers={"Origin": "https://evil.example"},
    )
    assert forged.status_code == 403


async def test_a_passkey_meets_the_rule_of_a_second_factor(controller: Controller, passkey: SoftwarePasskey) -> None:
    http = controller.person((await sign_in(controller, passkey)).json()["token"])
    changed = await http.put("/api/v1/sign-in-rules", json={"second_factor_for": "everybody"})
    assert changed.status_code == 200, changed.text
    assert (await http.get("/api/v1/users")).status_code == 200
    by_password = await controller.owner()
    assert code_of(await by_password.get("/api/v1/users")) == "second_factor_required"


async def test_s9_a_password_alone_neither_makes_nor_removes_a_factor_beside_a_passkey(
    controller: Controller, passkey: SoftwarePasskey
) -> None:
    strong = await strong_owner(controller, passkey)
    assert (await strong.put("/api/v1/sign-in-rules", json={"second_factor_for": "everybody"})).status_code == 200
    thief = await controller.owner()
    (item,) = (await thief.get(MINE)).json()["items"]
    for refused in (
        await thief.post(f"{MINE}/begin"),
        await thief.delete(f"{MINE}/{item['id']}"),
        await thief.post("/api/v1/me/second-factor"),
    ):
        assert (refused.status_code, code_of(refused)) == (403, "second_factor_required")
    assert (await add(strong, SoftwarePasskey())).status_code == 201
    assert (await strong.delete(f"{MINE}/{item['id']}")).status_code == 204


async def test_s9_a_factor_that_was_begun_before_the_passkey_does_not_count(controller: Controller) -> None:
    thief, owner = await controller.owner(), await controller.owner()
    secret = (await thief.post("/api/v1/me/second-factor")).json()["secret"]
    theirs, own = SoftwarePasskey(), SoftwarePasskey()
    answer = theirs.create((await thief.post(f"{MINE}/begin")).json()["options"])
    assert (await add(owner, own)).status_code == 201
    late = await thief.post(MINE, json={"name": "x", "credential": answer})
    code = pyotp.TOTP(secret).at(int(controller.clock.wall()))
    confirmed = await thief.post("/api/v1/me/second-factor/confirm", json={"code": code})
    assert [code_of(late), code_of(confirmed)] == ["second_factor_required"] * 2


async def test_d7_an_answer_is_good_once_and_in_its_browser(controller: Controller, passkey: SoftwarePasskey) -> None:
    passkey.counts = False
    browser, thief = controller.person(), controller.person()
    answer = passkey.get(await begin(browser))
    cookies = dict(browser.cookies)
    stolen = await use(thief, answer)
    assert (stolen.status_code, code_of(stolen)) == (400, "sign_in_expired")
    other = await use(controller.person(), passkey.get(await begin(thief)))
    assert other.status_code == 400
    twice = []
    for _ in range(2):
        again = controller.person()
        again.cookies.update(cookies)
        twice.append(again)
    answers = await asyncio.gather(*(use(http, answer) for http in twice))
    assert sorted(item.status_code for item in answers) == [201, 401]
    assert await causes(controller) == ["passkey_repeated"]


async def test_d7_a_challenge_is_for_one_purpose_and_a_short_while(
    controller: Controller, passkey: SoftwarePasskey
) -> None:
    browser = controller.person()
    answer = passkey.get(await begin(browser))
    controller.clock.advance(CHALLENGE_LIFE_S)
    assert (await use(browser, answer)).status_code == 400
    owner = await strong_owner(controller, passkey)
    options = (await owner.post(f"{MINE}/begin")).json()["options"]
    assert (await use(owner, passkey.get(options))).status_code == 400, "one of a registration"
    again = SoftwarePasskey()
    made = again.create(options)
    grace = await controller.add_user("grace@corp.example")
    grace.http.cookies.update(dict(owner.cookies))
    theirs = await grace.http.post(MINE, json={"name": "x", "credential": made})
    assert theirs.status_code == 400, "one that somebody else was asked"


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "https://evil.example"},
        {"rp_id": "evil.example"},
        {"flags": PRESENT},
        {"user": b64(b"usr_AAAAAAAAAAAAAAAAAAAAAA")},
        {"key": SoftwarePasskey().key},
    ],
    ids=["another page", "another party", "nobody verified", "another person", "another key"],
)
async def test_s9_what_does_not_answer_signs_nobody_in(
    controller: Controller, passkey: SoftwarePasskey, change: dict[str, Any]
) -> None:
    for name, value in change.items():
        setattr(passkey, name, value)
    refused = await sign_in(controller, passkey)
    assert (refused.status_code, code_of(refused)) == (401, "sign_in_failed")
    assert await causes(controller) == ["wrong_passkey"]


async def test_s9_an_unverified_or_foreign_key_is_not_registered(controller: Controller) -> None:
    owner = await controller.owner()
    for bad in (
        SoftwarePasskey(flags=PRESENT),
        SoftwarePasskey(origin="https://evil.example"),
        SoftwarePasskey(rp_id="x"),
    ):
        refused = await add(owner, bad)
        assert (refused.status_code, refused.json()["field"]) == (422, "credential")
    assert (await owner.get(MINE)).json()["items"] == []


async def test_t9_a_counter_that_went_back_is_refused_and_recorded(
    controller: Controller, passkey: SoftwarePasskey
) -> None:
    assert (await sign_in(controller, passkey)).status_code == 201
    passkey.count -= 1
    assert (await sign_in(controller, passkey)).status_code == 401
    assert await causes(controller) == ["passkey_counter"]
    passkey.count += 5
    assert (await sign_in(controller, passkey)).status_code == 201


async def test_t9_unknown_passkeys_and_disabled_accounts_leave_a_trace(
    controller: Controller, passkey: SoftwarePasskey
) -> None:
    stranger = SoftwarePasskey(user=passkey.user)
    assert (await sign_in(controller, stranger)).status_code == 401
    grace = await controller.add_user("grace@corp.example")
    hers = SoftwarePasskey()
    assert (await add(grace.http, hers)).status_code == 201
    owner = await controller.owner()
    await owner.patch(f"/api/v1/users/{grace.id}", json={"disabled": True})
    assert code_of(await sign_in(controller, hers)) == "user_disabled"
    assert await causes(controller) == ["account_disabled", "unknown_passkey"]


async def test_s9_tries_become_slow(controller: Controller, passkey: SoftwarePasskey) -> None:
    controller.services.limits.sign_in_address.spend("198.51.100.1", controller.clock.wall(), 16)
    stranger = SoftwarePasskey(user=passkey.user)
    statuses = [(await sign_in(controller, stranger)).status_code for _ in range(6)]
    assert statuses[-1] == 429
    assert isinstance(controller.services.limits.sign_in_address, RateLimiter)


async def test_own_passkeys_are_named_listed_and_removed(controller: Controller, passkey: SoftwarePasskey) -> None:
    owner = await strong_owner(controller, passkey)
    (item,) = (await owner.get(MINE)).json()["items"]
    again = await add(owner, passkey)
    assert (again.status_code, code_of(again)) == (409, "already_exists")
    renamed = await owner.patch(f"{MINE}/{item['id']}", json={"name": "old laptop"})
    assert renamed.json()["name"] == "old laptop"
    assert (await owner.delete(f"{MINE}/{item['id']}")).status_code == 204
    assert (await sign_in(controller, passkey)).status_code == 401
    types = [
        event["type"] for event in (await owner.get("/api/v1/events", params={"type": "user.passkey"})).json()["items"]
    ]
    assert types == ["user.passkey_removed/1", "user.passkey_renamed/1", "user.passkey_added/1"]


async def test_passkeys_are_bounded_and_need_a_recent_sign_in(controller: Controller) -> None:
    owner = await controller.owner()
    for _ in range(PASSKEYS_MAX):
        assert (await add(owner, SoftwarePasskey())).status_code == 201
    full = await owner.post(f"{MINE}/begin")
    assert (full.status_code, code_of(full)) == (429, "limit_exceeded")
    controller.clock.advance(3600)
    late = await owner.post(f"{MINE}/begin")
    assert code_of(late) == "sign_in_not_recent"


async def test_t10_staff_removes_the_passkeys_of_those_below(controller: Controller, passkey: SoftwarePasskey) -> None:
    grace = await controller.add_user("grace@corp.example")
    hers = SoftwarePasskey()
    await add(grace.http, hers)
    admin = await controller.add_user("admin@corp.example", role="admin")
    (shown,) = (await admin.http.get(f"/api/v1/users/{grace.id}/passkeys")).json()["items"]
    assert (
        await grace.http.delete(f"{MINE}/{(await grace.http.get(MINE)).json()['items'][0]['id']}x")
    ).status_code == 404
    other = await admin.http.delete(f"{MINE}/{shown['id']}")
    assert other.status_code == 404, "it is not his own"
    assert (await admin.http.delete(f"/api/v1/users/{grace.id}/passkeys")).json() == {"removed": 1}
    assert (await sign_in(controller, hers)).status_code == 401
    assert (await grace.http.get("/api/v1/me")).status_code == 401
    (owner,) = [item.id for item in controller.services.state.users.values() if item.role is Role.OWNER]
    assert (await admin.http.delete(f"/api/v1/users/{owner}/passkeys")).status_code == 403
    assert (await sign_in(controller, passkey)).status_code == 201


async def test_a_removed_account_leaves_no_passkey(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    hers = SoftwarePasskey()
    await add(grace.http, hers)
    owner = await controller.owner()
    assert (await owner.delete(f"/api/v1/users/{grace.id}")).status_code == 204
    assert (await sign_in(controller, hers)).status_code == 401


def test_an_address_is_no_relying_party() -> None:
    assert RelyingParty.of("https://ostiary.example:8443") == RelyingParty(
        "ostiary.example", "https://ostiary.example:8443"
    )
    assert RelyingParty.is_possible("https://localhost:8443")
    assert not RelyingParty.is_possible("https://192.0.2.1:8443")
    assert not RelyingParty.is_possible("https://[2001:db8::1]")
