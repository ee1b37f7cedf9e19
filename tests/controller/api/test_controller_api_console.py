"""Sessions of browsers: the cookie, forged requests, and the list that staff sees (T-10, T-72, T-9)."""

from typing import Any

import pytest
from controller_api import OWNER, OWNER_PASSWORD, URL, Controller, code_of

from controller.api.operations.sign_in_audit import flush_failures
from controller.identity.failure_log import BURST
from controller.identity.web_sessions import LIFETIMES
from protocol.errors import LocalError
from protocol.reasons import Reason

SAME_ORIGIN = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
SIGN_IN = {"email": OWNER, "password": OWNER_PASSWORD, "kind": "console"}


async def console(controller: Controller) -> Any:
    browser = controller.person()
    answer = await browser.post("/api/v1/sessions", json=SIGN_IN, headers=SAME_ORIGIN)
    assert answer.status_code == 201, answer.text
    assert answer.json()["token"] is None
    return browser


async def test_the_console_has_a_cookie_that_no_script_reads(controller: Controller) -> None:
    browser = controller.person()
    answer = await browser.post("/api/v1/sessions", json=SIGN_IN, headers=SAME_ORIGIN)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-ostiary-console=ost_")
    for attribute in ("Secure", "HttpOnly", "SameSite=lax", "Path=/", f"Max-Age={LIFETIMES['console'].life_s}"):
        assert attribute in cookie
    assert "Domain" not in cookie
    assert "ost_" not in answer.text
    me = (await browser.get("/api/v1/me")).json()
    assert (me["email"], me["session"]["kind"]) == (OWNER, "console")
    secret = cookie.partition("=")[2].partition(";")[0]
    assert (await controller.person(secret).get("/api/v1/me")).status_code == 401, "a cookie is no bearer token"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": URL},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://other.controller.example"},
        {"Origin": "null"},
    ],
)
async def test_t72_other_sites_make_the_cookie_do_nothing(controller: Controller, headers: dict[str, str]) -> None:
    browser = await console(controller)
    for method, path in (
        ("POST", "/api/v1/networks"),
        ("PUT", "/api/v1/sign-in-rules"),
        ("DELETE", "/api/v1/sessions/x"),
    ):
        forged = await browser.request(
            method, path, json={"name": "x"} if method != "DELETE" else None, headers=headers
        )
        assert (forged.status_code, code_of(forged)) == (403, "forbidden"), path
    login = await controller.person().post("/api/v1/sessions", json=SIGN_IN, headers=headers)
    assert (login.status_code, "set-cookie" in login.headers) == (403, False), "nor does one sign a victim in"
    made = await browser.post("/api/v1/networks", json={"name": "office"}, headers=SAME_ORIGIN)
    assert made.status_code == 201


async def test_signing_out_ends_the_cookie_here_and_there(controller: Controller) -> None:
    browser = await console(controller)
    stolen = dict(browser.cookies)
    answer = await browser.delete("/api/v1/sessions/current", headers=SAME_ORIGIN)
    assert answer.status_code == 204
    assert '__Host-ostiary-console=""' in answer.headers["set-cookie"]
    thief = controller.person()
    thief.cookies.update(stolen)
    assert (await thief.get("/api/v1/me")).status_code == 401


async def test_staff_sees_and_ends_the_sessions_of_those_below(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    admin = await controller.add_user("admin@corp.example", role="admin")
    owner = await controller.owner()
    mine = (await grace.http.get("/api/v1/sessions")).json()["items"]
    assert {item["user"] for item in mine} == {grace.id}
    (shown,) = (await admin.http.get("/api/v1/sessions", params={"user": grace.id})).json()["items"]
    assert (shown["address"], shown["kind"], shown["method"]) == ("198.51.100.1", "api", "password")
    everybody = (await admin.http.get("/api/v1/sessions")).json()["items"]
    assert {item["user"] for item in everybody} > {grace.id, admin.id}
    boss = next(item["id"] for item in everybody if item["user"] not in (grace.id, admin.id))
    above = await admin.http.delete(f"/api/v1/sessions/{boss}")
    assert (above.status_code, code_of(above)) == (403, "forbidden")
    assert (await owner.get("/api/v1/me")).status_code == 200
    hidden = await grace.http.delete(f"/api/v1/sessions/{boss}")
    assert (hidden.status_code, code_of(hidden)) == (404, "not_found")
    assert (await admin.http.delete(f"/api/v1/sessions/{shown['id']}")).status_code == 204
    assert (await grace.http.get("/api/v1/me")).status_code == 401
    (ended,) = (await owner.get("/api/v1/events", params={"type": "sign_in.ended"})).json()["items"]
    assert (ended["actor"], ended["data"]["user"], ended["data"]["cause"]) == (admin.id, grace.id, "revoked")


async def test_all_sessions_of_a_user_end_but_the_callers_own(controller: Controller) -> None:
    first, second, third = [await controller.owner() for _ in range(3)]
    answer = await first.delete("/api/v1/sessions", params={"user": "me"})
    assert answer.json() == {"ended": 2}
    assert (await first.get("/api/v1/me")).status_code == 200
    for other in (second, third):
        assert (await other.get("/api/v1/me")).status_code == 401
    grace = await controller.add_user("grace@corp.example")
    assert (
        await grace.http.delete("/api/v1/sessions", params={"user": (await first.get("/api/v1/me")).json()["id"]})
    ).status_code == 404
    assert (await first.delete("/api/v1/sessions", params={"user": grace.id})).json() == {"ended": 1}


async def test_another_role_ends_the_sessions_of_before(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    owner = await controller.owner()
    await owner.patch(f"/api/v1/users/{grace.id}", json={"name": "Grace H."})
    assert (await grace.http.get("/api/v1/me")).status_code == 200
    await owner.patch(f"/api/v1/users/{grace.id}", json={"role": "auditor"})
    assert (await grace.http.get("/api/v1/me")).status_code == 401
    assert (await owner.get("/api/v1/me")).status_code == 200


async def test_t9_successful_sign_ins_are_in_the_log(controller: Controller) -> None:
    owner = await controller.owner()
    await console(controller)
    me = (await owner.get("/api/v1/me")).json()
    events = (await owner.get("/api/v1/events", params={"type": "sign_in.succeeded"})).json()["items"]
    assert [item["data"]["surface"] for item in events] == ["console", "api"]
    assert events[1]["data"] == {
        "user": me["id"],
        "surface": "api",
        "method": "password",
        "session": me["session"]["id"],
    }


async def test_t9_d10_a_flood_of_failures_is_counted_and_does_not_fill_the_log(controller: Controller) -> None:
    owner = await controller.owner()
    before = controller.services.state.position
    for number in range(BURST + 50):
        stranger = controller.person(address=f"203.0.{number // 250}.{number % 250}")
        wrong = {"email": f"u{number}@corp.example", "password": "wrong"}
        assert (await stranger.post("/api/v1/sessions", json=wrong)).status_code == 401
    assert controller.services.state.position == before + BURST
    controller.clock.advance(60)
    await controller.person(address="192.0.2.1").post("/api/v1/sessions", json={"email": OWNER, "password": "wrong"})
    (omitted,) = (await owner.get("/api/v1/events", params={"type": "sign_in.failures_omitted"})).json()["items"]
    assert omitted["data"] == {"count": 50}


async def test_t9_a_failure_that_could_not_be_written_is_counted(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await controller.owner()
    wrong = {"email": OWNER, "password": "wrong"}

    def busy(**_: object) -> None:
        raise LocalError(Reason.UNAVAILABLE, "the database is busy")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(controller.services.store, "write", busy)
        assert (await controller.person().post("/api/v1/sessions", json=wrong)).status_code == 503
        with pytest.raises(LocalError):
            await flush_failures(controller.services, controller.clock.wall())
    assert (await controller.person().post("/api/v1/sessions", json=wrong)).status_code == 401
    (omitted,) = (await owner.get("/api/v1/events", params={"type": "sign_in.failures_omitted"})).json()["items"]
    assert omitted["data"] == {"count": 1}
