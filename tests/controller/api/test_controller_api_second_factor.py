"""Second factors: two-step sign-in, one use of each code, recovery, rules, step-up (S-9, T-9, T-16, D7)."""

import asyncio
import re
from dataclasses import replace
from typing import Any

import httpx2
import pyotp
import pytest
from controller_api import OWNER, OWNER_PASSWORD, URL, Agent, Controller, code_of

from controller.api.operations.second_factors import require_recent
from controller.domain.authentication import Authentication
from controller.store import web_sessions

SAME_ORIGIN = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
SIGN_IN = {"email": OWNER, "password": OWNER_PASSWORD}


class Authenticator:
    """The app on somebody's telephone; its clock is the controller's."""

    def __init__(self, controller: Controller, secret: str, codes: list[str]) -> None:
        self._controller = controller
        self._totp = pyotp.TOTP(secret)
        self.recovery = codes

    def code(self, *, steps: int = 0) -> str:
        """The code of this moment, or of so many steps later."""
        return self._totp.at(int(self._controller.clock.wall()) + 30 * steps)

    def fresh(self) -> str:
        """A code that nobody has used: time goes on."""
        self._controller.clock.advance(60)
        return self.code()


async def set_up(controller: Controller, http: httpx2.AsyncClient) -> Authenticator:
    begun = await http.post("/api/v1/me/second-factor")
    assert begun.status_code == 201, begun.text
    assert begun.json()["uri"].startswith("otpauth://totp/Ostiary%20controller.example:")
    secret = begun.json()["secret"]
    done = await http.post(
        "/api/v1/me/second-factor/confirm", json={"code": pyotp.TOTP(secret).at(int(controller.clock.wall()))}
    )
    assert done.status_code == 200, done.text
    return Authenticator(controller, secret, done.json()["recovery_codes"])


async def sign_in(controller: Controller, *, code: str | None = None, **more: Any) -> httpx2.Response:
    body = {**SIGN_IN, **more, **({"code": code} if code is not None else {})}
    return await controller.http.post("/api/v1/sessions", json=body)


async def test_with_a_second_factor_the_password_is_only_the_first_step(controller: Controller) -> None:
    app = await set_up(controller, await controller.owner())
    first = await sign_in(controller)
    assert (first.status_code, first.json()["second_factor"]) == (202, "totp")
    pending = first.json()["pending"]
    half = await controller.person(pending).get("/api/v1/me")
    assert (half.status_code, code_of(half)) == (401, "sign_in_required")
    second = await controller.http.post(
        "/api/v1/sessions/second-factor", json={"pending": pending, "code": app.fresh()}
    )
    assert second.status_code == 201, second.text
    me = (await controller.person(second.json()["token"]).get("/api/v1/me")).json()
    assert me["session"]["method"] == "password+totp"
    assert me["session"]["second_factor_at"] is not None
    assert me["second_factor"] == "totp"
    again = await controller.http.post("/api/v1/sessions/second-factor", json={"pending": pending, "code": app.fresh()})
    assert (again.status_code, code_of(again)) == (401, "sign_in_required"), "a first step is good for one session"


async def test_both_steps_in_one_request(controller: Controller) -> None:
    app = await set_up(controller, await controller.owner())
    assert (await sign_in(controller, code=app.fresh())).status_code == 201


async def test_d7_a_code_is_good_once_however_many_try_at_once(controller: Controller) -> None:
    app = await set_up(controller, await controller.owner())
    code = app.fresh()
    answers = await asyncio.gather(*(sign_in(controller, code=code) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 5
    wrong = next(answer for answer in answers if answer.status_code == 422)
    assert code_of(wrong) == "second_factor_wrong"


async def test_the_code_that_confirmed_signs_nobody_in(controller: Controller) -> None:
    app = await set_up(controller, await controller.owner())
    assert (await sign_in(controller, code=app.code())).status_code == 422
    assert (await sign_in(controller, code=app.code(steps=1))).status_code == 201


async def test_one_step_of_drift_is_allowed_and_no_more(controller: Controller) -> None:
    app = await set_up(controller, await controller.owner())
    controller.clock.advance(600)
    for steps, status in ((-2, 422), (2, 422), (-1, 201), (1, 201)):
        assert (await sign_in(controller, code=app.code(steps=steps))).status_code == status, steps
    assert (await sign_in(controller, code=app.code())).status_code == 422, "an earlier step than one that was used"


async def test_d7_recovery_codes_are_good_once_and_are_made_anew_on_demand(controller: Controller) -> None:
    owner = await controller.owner()
    app = await set_up(controller, owner)
    assert len(set(app.recovery)) == 10
    assert all(re.fullmatch(r"([A-Z2-7]{4}-){3}[A-Z2-7]{4}", code) for code in app.recovery)
    typed = app.recovery[0].lower().replace("-", " ")
    answers = await asyncio.gather(*(sign_in(controller, code=typed) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422]
    state = (await owner.get("/api/v1/me/second-factor")).json()
    assert state["recovery_codes_left"] == 9
    fresh = await owner.post("/api/v1/me/second-factor/recovery-codes", json={"code": app.fresh()})
    assert fresh.status_code == 200, fresh.text
    assert not set(fresh.json()["recovery_codes"]) & set(app.recovery)
    assert (await sign_in(controller, code=app.recovery[1])).status_code == 422
    assert (await sign_in(controller, code=fresh.json()["recovery_codes"][1])).status_code == 201
    trail = (await owner.get("/api/v1/events", params={"type": "user.recovery_code_used"})).json()["items"]
    assert [item["data"]["left"] for item in trail] == [9, 9]


async def test_t11_no_secret_and_no_code_is_stored_or_logged_in_clear(
    controller: Controller, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = await controller.owner()
    begun = (await owner.post("/api/v1/me/second-factor")).json()
    app = await set_up(controller, owner)
    folder = controller.services.settings.state_dir
    raw = b"".join(path.read_bytes() for path in folder.glob("controller.db*"))
    for secret in (begun["secret"], *app.recovery, *(code.replace("-", "") for code in app.recovery)):
        assert secret.encode() not in raw
        assert secret not in capsys.readouterr().out
    assert (await owner.get("/api/v1/me/second-factor")).json().keys() == {
        "method",
        "confirmed_at",
        "recovery_codes_left",
        "required",
    }


async def test_setting_one_up_ends_the_sign_ins_that_have_none(controller: Controller) -> None:
    other, mine = await controller.owner(), await controller.owner()
    await set_up(controller, mine)
    assert (await other.get("/api/v1/me")).status_code == 401
    assert (await mine.get("/api/v1/me")).json()["session"]["method"] == "password+totp"


async def test_a_second_factor_is_begun_soon_after_a_sign_in_only(controller: Controller) -> None:
    owner = await controller.owner()
    controller.clock.advance(15 * 60)
    late = await owner.post("/api/v1/me/second-factor")
    assert (late.status_code, code_of(late)) == (403, "sign_in_not_recent")
    app = await set_up(controller, await controller.owner())
    again = await sign_in(controller, code=app.fresh())
    twice = await controller.person(again.json()["token"]).post("/api/v1/me/second-factor")
    assert (twice.status_code, code_of(twice)) == (409, "already_exists")


async def leave_undated(controller: Controller) -> None:
    """As if each sign-in so far were through a provider that did not say when the person proved who he is."""
    now = controller.clock.wall()
    async with controller.services.store.transact() as connection:
        for session in await web_sessions.list_of(connection, None, now):
            await web_sessions.note(connection, session.hash, replace(session.how, dated=False))


async def test_s9_a_sign_in_that_nobody_dated_sets_no_second_factor_up(controller: Controller) -> None:
    owner = await controller.owner()
    await leave_undated(controller)
    refused = await owner.post("/api/v1/me/second-factor")
    assert (refused.status_code, code_of(refused)) == (403, "sign_in_not_recent")
    again = await controller.owner()
    app = await set_up(controller, again)
    await leave_undated(controller)
    passed = await again.post("/api/v1/me/second-factor/pass", json={"code": app.fresh()})
    assert passed.status_code == 200, "what is asked for itself needs no other proof"
    now = int(controller.clock.wall())
    require_recent(Authentication(now, now, "oidc:https://id.corp.example+totp"), now)


async def test_a_wrong_first_code_puts_nothing_in_force(controller: Controller) -> None:
    owner = await controller.owner()
    early = await owner.post("/api/v1/me/second-factor/confirm", json={"code": "000000"})
    assert (early.status_code, code_of(early)) == (404, "not_found")
    await owner.post("/api/v1/me/second-factor")
    for typed in ("000000", "ABCD-EFGH-IJKL-MNOP", "x"):
        wrong = await owner.post("/api/v1/me/second-factor/confirm", json={"code": typed})
        assert (wrong.status_code, code_of(wrong)) == (422, "second_factor_wrong")
    assert (await sign_in(controller)).status_code == 201


async def test_s9_codes_cannot_be_guessed_by_trying(controller: Controller) -> None:
    await set_up(controller, await controller.owner())
    answers = [await sign_in(controller, code=f"{number:06}") for number in range(14)]
    assert [answer.status_code for answer in answers].count(429) >= 3
    controller.clock.advance(60)
    tries = [(await sign_in(controller, code=f"{number:06}")).status_code for number in range(3)]
    assert 429 in tries, "one minute gives back less than one try"


async def test_t9_wrong_codes_leave_an_event(controller: Controller) -> None:
    owner = await controller.owner()
    await set_up(controller, owner)
    await sign_in(controller, code="000000")
    (failed,) = (await owner.get("/api/v1/events", params={"type": "sign_in.failed"})).json()["items"]
    me = (await owner.get("/api/v1/me")).json()["id"]
    assert failed["data"] == {"user": me, "cause": "wrong_code"}


async def test_removing_it_takes_a_code(controller: Controller) -> None:
    owner = await controller.owner()
    app = await set_up(controller, owner)
    assert (await owner.post("/api/v1/me/second-factor/remove", json={"code": "000000"})).status_code == 422
    assert (await owner.post("/api/v1/me/second-factor/remove", json={"code": app.fresh()})).status_code == 204
    assert (await sign_in(controller)).status_code == 201
    assert (await owner.get("/api/v1/me/second-factor")).json()["recovery_codes_left"] == 0


async def test_t16_staff_resets_only_those_below(controller: Controller) -> None:
    owner = await controller.owner()
    grace = await controller.add_user("grace@corp.example")
    admin = await controller.add_user("admin@corp.example", role="admin")
    me = (await owner.get("/api/v1/me")).json()["id"]
    await set_up(controller, grace.http)
    above = await admin.http.delete(f"/api/v1/users/{me}/second-factor")
    assert (above.status_code, code_of(above)) == (403, "forbidden")
    assert (await grace.http.delete(f"/api/v1/users/{grace.id}/second-factor")).status_code == 403
    assert (await admin.http.delete(f"/api/v1/users/{grace.id}/second-factor")).status_code == 204
    assert (await grace.http.get("/api/v1/me")).status_code == 401
    await controller.sign_in(grace.email, grace.password)
    (event,) = (await owner.get("/api/v1/events", params={"type": "user.second_factor_removed"})).json()["items"]
    assert event["actor"] == admin.id


async def test_rules_shut_out_whoever_has_passed_none_until_he_has(controller: Controller) -> None:
    owner = await controller.owner()
    grace = await controller.add_user("grace@corp.example")
    admin = await controller.add_user("admin@corp.example", role="admin")
    denied = await admin.http.put("/api/v1/sign-in-rules", json={"second_factor_for": "nobody"})
    assert (denied.status_code, code_of(denied)) == (403, "forbidden")
    seen = (await owner.get("/api/v1/sign-in-rules")).headers["etag"]
    body, stale = {"second_factor_for": "staff"}, {"If-Match": '"7"'}
    assert (await owner.put("/api/v1/sign-in-rules", json=body, headers=stale)).status_code == 412
    assert (await owner.put("/api/v1/sign-in-rules", json=body, headers={"If-Match": seen})).status_code == 200
    shut = await admin.http.get("/api/v1/users")
    assert (shut.status_code, code_of(shut)) == (403, "second_factor_required")
    assert (await grace.http.get("/api/v1/users")).status_code == 200
    # What leads out of it is open: see oneself, set one up, sign out.
    assert (await admin.http.get("/api/v1/me")).status_code == 200
    assert (await admin.http.get("/api/v1/me/second-factor")).json()["required"] is True
    elsewhere = await admin.http.delete("/api/v1/sessions/tok_" + "0" * 22)
    assert (elsewhere.status_code, code_of(elsewhere)) == (403, "second_factor_required")
    await set_up(controller, admin.http)
    assert (await admin.http.get("/api/v1/users")).status_code == 200
    assert (await owner.get("/api/v1/sign-in-rules")).status_code == 403


async def test_a_session_passes_it_again_for_a_step_up(controller: Controller) -> None:
    owner = await controller.owner()
    app = await set_up(controller, owner)
    before = (await owner.get("/api/v1/me")).json()["session"]["second_factor_at"]
    controller.clock.advance(3600)
    answer = await owner.post("/api/v1/me/second-factor/pass", json={"code": app.fresh()})
    assert answer.status_code == 200, answer.text
    after = (await owner.get("/api/v1/me")).json()["session"]["second_factor_at"]
    assert after == answer.json()["second_factor_at"] > before


async def approved_device(controller: Controller, agent: Agent, code: str | None) -> str:
    """A device signed in over the page, through both steps if there are two."""
    started = (await controller.http.post("/api/v1/device_authorization", json=agent.start())).json()
    browser = controller.person()
    answer = await browser.post(
        "/device/sign-in", data={**SIGN_IN, "user_code": started["user_code"]}, headers=SAME_ORIGIN
    )
    assert answer.status_code == 303
    if code is not None:
        page = await browser.get(answer.headers["location"])
        assert "One-time code" in page.text
        early = await browser.post(
            "/device/decision",
            data={"user_code": started["user_code"], "decision": "approve"},
            headers=SAME_ORIGIN,
        )
        assert "<h1>Sign in</h1>" in early.text, "half a sign-in approves nothing"
        answer = await browser.post(
            "/device/second-factor", data={"code": code, "user_code": started["user_code"]}, headers=SAME_ORIGIN
        )
        assert answer.status_code == 303, answer.text
    done = await browser.post(
        "/device/decision", data={"user_code": started["user_code"], "decision": "approve"}, headers=SAME_ORIGIN
    )
    assert "Device approved" in done.text
    polled = await controller.http.post("/api/v1/token", json=agent.poll(started["device_code"]))
    return str(polled.json()["device"])


async def test_a_devices_session_says_how_its_user_proved_himself(controller: Controller) -> None:
    now = int(controller.clock.wall())
    device = await approved_device(controller, Agent(controller.clock), None)
    state = controller.services.state
    session = state.sessions[state.session_of[device]]  # type: ignore[index]
    assert (session.authenticated_s, session.mfa_s, session.method) == (now, None, "password")


async def test_a_device_is_approved_after_both_steps_and_steps_up_by_its_own_key(controller: Controller) -> None:
    owner = await controller.owner()
    app = await set_up(controller, owner)
    agent = Agent(controller.clock)
    device = await approved_device(controller, agent, app.fresh())

    def session() -> Any:
        state = controller.services.state
        return state.sessions[state.session_of[device]]  # type: ignore[index]

    first = session()
    assert (first.mfa_s, first.method) == (int(controller.clock.wall()), "password+totp")
    controller.clock.advance(8 * 3600)

    async def step_up(code: str, holder: Agent = agent, name: str = device) -> httpx2.Response:
        body = {"device": name, "proof": holder.proof(agent=name), "code": code}
        return await controller.http.post("/api/v1/device-sessions/second-factor", json=body)

    code = app.fresh()
    stranger = await step_up(code, Agent(controller.clock))
    assert stranger.status_code == 403, "another key"
    assert (await step_up(code, name="dev_" + "0" * 22)).status_code == 403
    assert (await step_up("000000")).status_code == 422
    assert session() == first
    done = await step_up(code)
    assert done.status_code == 200, done.text
    assert session().mfa_s == int(controller.clock.wall())
    assert session().id == first.id
    assert (await step_up(code)).status_code == 422, "a code is good once, here too"


async def test_a_second_factor_is_set_up_on_the_page_when_the_rules_want_one(controller: Controller) -> None:
    owner = await controller.owner()
    await owner.put("/api/v1/sign-in-rules", json={"second_factor_for": "everybody"})
    agent, browser = Agent(controller.clock), controller.person()
    code = (await controller.http.post("/api/v1/device_authorization", json=agent.start())).json()["user_code"]
    await browser.post("/device/sign-in", data={**SIGN_IN, "user_code": code}, headers=SAME_ORIGIN)
    for page in (
        await browser.get("/device", params={"user_code": code}),
        await browser.post("/device/decision", data={"user_code": code, "decision": "approve"}, headers=SAME_ORIGIN),
    ):
        assert "A second factor is needed" in page.text
    begin = {"url": "/device/second-factor/begin", "data": {"user_code": code}, "headers": SAME_ORIGIN}
    await leave_undated(controller)
    anew = await browser.post(**begin)
    assert "Your sign-in is too old" in anew.text
    assert 'name="password"' in anew.text, "the page goes on to the sign-in, not to nowhere"
    await browser.post("/device/sign-in", data={**SIGN_IN, "user_code": code}, headers=SAME_ORIGIN)
    begun = await browser.post(**begin)
    assert "<svg" in begun.text
    secret = re.search(r'class="code">([A-Z2-7 ]{39})<', begun.text)
    assert secret is not None
    totp = pyotp.TOTP(secret[1].replace(" ", ""))
    wrong = await browser.post(
        "/device/second-factor/confirm", data={"code": "000000", "user_code": code}, headers=SAME_ORIGIN
    )
    assert wrong.status_code == 422
    done = await browser.post(
        "/device/second-factor/confirm",
        data={"code": totp.at(int(controller.clock.wall())), "user_code": code},
        headers=SAME_ORIGIN,
    )
    assert len(re.findall(r"(?:[A-Z2-7]{4}-){3}[A-Z2-7]{4}", done.text)) == 10
    approved = await browser.post(
        "/device/decision", data={"user_code": code, "decision": "approve"}, headers=SAME_ORIGIN
    )
    assert "Device approved" in approved.text
    forged = await browser.post("/device/second-factor/begin", data={"user_code": code})
    assert forged.status_code == 403, "only from our own page"
