"""Device sign-in: RFC 8628 over the API and the pages (C6; S-9, D7, T-72)."""

import asyncio
import re
from typing import Any

import httpx2
import pytest
from controller_api import URL, Agent, Controller, Person, code_of

from protocol.ids import is_id
from protocol.limits import DEVICE_CODE_LIFE_S, SESSION_LIFE_S

SAME_ORIGIN = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
FORM = "application/x-www-form-urlencoded"


class Browser:
    """What a person's browser does: keeps cookies, sends forms from our own pages."""

    def __init__(self, controller: Controller, *, address: str = "198.51.100.9") -> None:
        self.http = controller.person(address=address)

    async def open(self, user_code: str = "") -> httpx2.Response:
        return await self.http.get("/device", params={"user_code": user_code} if user_code else None)

    async def post(self, path: str, headers: dict[str, str] | None = None, **form: str) -> httpx2.Response:
        return await self.http.post(f"/device/{path}", data=form, headers=SAME_ORIGIN if headers is None else headers)

    async def sign_in(self, person: Person, user_code: str = "") -> httpx2.Response:
        return await self.post("sign-in", email=person.email, password=person.password, user_code=user_code)


async def _start(controller: Controller, agent: Agent, name: str = "grace-laptop") -> dict[str, Any]:
    answer = await controller.http.post("/api/v1/device_authorization", json=agent.start(name))
    assert answer.status_code == 200, answer.text
    started: dict[str, Any] = answer.json()
    return started


async def _poll(controller: Controller, agent: Agent, device_code: str) -> httpx2.Response:
    return await controller.http.post("/api/v1/token", json=agent.poll(device_code))


@pytest.fixture
async def grace(controller: Controller) -> Person:
    return await controller.add_user("grace@corp.example")


async def _approved(controller: Controller, grace: Person, agent: Agent) -> dict[str, Any]:
    started = await _start(controller, agent)
    browser = Browser(controller)
    await browser.sign_in(grace)
    done = await browser.post("decision", user_code=started["user_code"], decision="approve")
    assert done.status_code == 200, done.text
    return started


async def test_a_device_is_signed_in_by_a_person_on_the_page(controller: Controller, grace: Person) -> None:
    agent = Agent(controller.clock)
    started = await _start(controller, agent)
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", started["user_code"])
    assert started["verification_uri_complete"] == f"{URL}/device?user_code={started['user_code']}"
    pending = await _poll(controller, agent, started["device_code"])
    assert (pending.status_code, pending.json()["error"]) == (400, "authorization_pending")
    assert code_of(pending) == "authorization_pending"

    browser = Browser(controller)
    stranger = await browser.open(started["user_code"])
    assert "Sign in" in stranger.text
    assert "grace-laptop" not in stranger.text
    signed = await browser.sign_in(grace, started["user_code"])
    assert (signed.status_code, signed.headers["location"]) == (303, f"/device?user_code={started['user_code']}")
    cookie = signed.headers["set-cookie"]
    assert cookie.startswith("__Host-ostiary=")
    for attribute in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
        assert attribute in cookie
    assert "Domain" not in cookie

    page = await browser.open(started["user_code"])
    for fact in ("grace-laptop", "linux", "198.51.100.1", started["user_code"], "grace"):
        assert fact in page.text
    done = await browser.post("decision", user_code=started["user_code"], decision="approve")
    assert "Device approved" in done.text

    controller.clock.advance(started["interval"])
    answer = await _poll(controller, agent, started["device_code"])
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"device", "user", "session", "session_expires", "issuer", "controller_url", "jwks"}
    assert is_id(body["device"], "device")
    assert body["user"] == grace.id
    assert body["session_expires"] == int(controller.clock.wall()) + SESSION_LIFE_S
    device = (await grace.http.get(f"/api/v1/devices/{body['device']}")).json()
    assert (device["name"], device["platform"], device["session"]) == ("grace-laptop", "linux", body["session"])

    controller.clock.advance(started["interval"])
    again = await _poll(controller, agent, started["device_code"])
    assert (again.status_code, again.json()["error"]) == (400, "expired_token")


async def test_s9_the_code_is_single_use_under_fifty_parallel_polls(controller: Controller, grace: Person) -> None:
    agent = Agent(controller.clock)
    started = await _approved(controller, grace, agent)
    answers = await asyncio.gather(*(_poll(controller, agent, started["device_code"]) for _ in range(50)))
    assert [answer.status_code for answer in answers].count(200) == 1
    assert {answer.json()["error"] for answer in answers if answer.status_code != 200} <= {"slow_down", "expired_token"}
    assert len(controller.services.state.sessions) == 1
    assert len(controller.services.state.devices) == 1


async def test_s9_polling_too_fast_is_slowed_down_by_five_seconds_each_time(controller: Controller) -> None:
    agent = Agent(controller.clock)
    started = await _start(controller, agent)
    first = await _poll(controller, agent, started["device_code"])
    assert first.json()["error"] == "authorization_pending"
    expected = started["interval"]
    for _ in range(3):
        early = await _poll(controller, agent, started["device_code"])
        expected += 5
        assert early.json() == {
            "error": "slow_down",
            "error_description": "The sign-in is polled too often.",
            "code": "slow_down",
            "interval": expected,
        }
        assert early.headers["retry-after"] == str(expected)
    controller.clock.advance(expected)
    patient = await _poll(controller, agent, started["device_code"])
    assert patient.json()["error"] == "authorization_pending"


async def test_s9_an_expired_code_says_so(controller: Controller, grace: Person) -> None:
    agent = Agent(controller.clock)
    started = await _start(controller, agent)
    controller.clock.advance(DEVICE_CODE_LIFE_S)
    late = await _poll(controller, agent, started["device_code"])
    assert (late.status_code, late.json()["error"]) == (400, "expired_token")
    browser = Browser(controller)
    await browser.sign_in(grace)
    page = await browser.open(started["user_code"])
    assert page.status_code == 404
    assert "no such code" in page.text


async def test_a_denied_sign_in_is_denied(controller: Controller, grace: Person) -> None:
    agent = Agent(controller.clock)
    started = await _start(controller, agent)
    browser = Browser(controller)
    await browser.sign_in(grace)
    done = await browser.post("decision", user_code=started["user_code"], decision="deny")
    assert "Denied" in done.text
    answer = await _poll(controller, agent, started["device_code"])
    assert (answer.status_code, answer.json()["error"], code_of(answer)) == (400, "access_denied", "sign_in_denied")
    late = await browser.post("decision", user_code=started["user_code"], decision="approve")
    assert late.status_code == 404


async def test_s9_a_thousand_wrong_codes_are_throttled(controller: Controller, grace: Person) -> None:
    """From one address and from many: only signed-in people may ask at all, and few times."""
    started = await _start(controller, Agent(controller.clock))
    secret = (await Browser(controller).sign_in(grace)).cookies["__Host-ostiary"]
    looked = 0
    for number in range(300):
        address = f"203.0.113.{number % 200 + 1}"
        async with controller.person(address=address) as browser:
            browser.headers["Cookie"] = f"__Host-ostiary={secret}"
            guess = "".join("BCDFGHJKLMNPQRSTVWXZ"[(number >> shift) % 20] for shift in range(8))
            page = await browser.get("/device", params={"user_code": guess})
            looked += page.status_code == 404
            if page.status_code == 429:
                assert int(page.headers["retry-after"]) >= 1
    assert looked <= 20
    stranger = await Browser(controller).open(started["user_code"])
    unknown = await Browser(controller).open("BCDF-GHJK")
    assert stranger.text.replace(started["user_code"], "") == unknown.text.replace("BCDF-GHJK", "")


async def test_the_same_key_signs_in_again_as_the_same_device(controller: Controller, grace: Person) -> None:
    agent = Agent(controller.clock)
    bodies = []
    for _ in range(2):
        started = await _approved(controller, grace, agent)
        bodies.append((await _poll(controller, agent, started["device_code"])).json())
    assert bodies[0]["device"] == bodies[1]["device"]
    assert bodies[0]["session"] != bodies[1]["session"]


async def test_a_device_that_changes_hands_keeps_nothing(controller: Controller, grace: Person) -> None:
    hopper = await controller.add_user("hopper@corp.example")
    agent = Agent(controller.clock)
    started = await _approved(controller, grace, agent)
    first = (await _poll(controller, agent, started["device_code"])).json()
    started = await _approved(controller, hopper, agent)
    second = (await _poll(controller, agent, started["device_code"])).json()
    assert (second["user"], second["device"] != first["device"]) == (hopper.id, True)
    assert list(controller.services.state.devices) == [second["device"]]
    assert (await grace.http.get("/api/v1/devices")).json()["items"] == []


async def test_the_one_who_polls_must_hold_the_key_that_asked(controller: Controller, grace: Person) -> None:
    agent, thief = Agent(controller.clock), Agent(controller.clock)
    started = await _approved(controller, grace, agent)
    stolen = await _poll(controller, thief, started["device_code"])
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert code_of(stolen) == "token_key_unknown"
    controller.clock.advance(started["interval"])
    assert (await _poll(controller, agent, started["device_code"])).status_code == 200


async def test_a_user_who_was_disabled_meanwhile_is_not_signed_in(controller: Controller, grace: Person) -> None:
    agent = Agent(controller.clock)
    started = await _approved(controller, grace, agent)
    owner = await controller.owner()
    await owner.patch(f"/api/v1/users/{grace.id}", json={"disabled": True})
    answer = await _poll(controller, agent, started["device_code"])
    assert (answer.status_code, code_of(answer)) == (400, "user_disabled")
    assert not controller.services.state.devices


async def test_forms_work_like_json(controller: Controller) -> None:
    import json

    agent = Agent(controller.clock)
    form = {**agent.start(), "jwk": json.dumps(agent.jwk)}
    started = await controller.http.post("/api/v1/device_authorization", data=form)
    assert started.status_code == 200, started.text
    answer = await controller.http.post("/api/v1/token", data=agent.poll(started.json()["device_code"]))
    assert answer.json()["error"] == "authorization_pending"
    for content in (b"a=1&a=2", b"\xff=1", b"a", b"a=%00", b"&".join(b"%d=1" % number for number in range(50))):
        wrong = await controller.http.post("/api/v1/token", content=content, headers={"Content-Type": FORM})
        assert (wrong.status_code, code_of(wrong)) == (422, "invalid_input")


@pytest.mark.parametrize("change", [{"grant_type": "password"}, {"device_code": "A" * 43}, {"proof": ""}, {"x": "y"}])
async def test_odd_polls_are_refused(controller: Controller, change: dict[str, str]) -> None:
    agent = Agent(controller.clock)
    started = await _start(controller, agent)
    answer = await controller.http.post("/api/v1/token", json={**agent.poll(started["device_code"]), **change})
    assert answer.status_code in (400, 422)
    assert code_of(answer) in ("invalid_input", "sign_in_expired")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": URL},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://controller.example.evil.example"},
    ],
)
@pytest.mark.parametrize("path", ["sign-in", "decision", "sign-out"])
async def test_t72_forms_from_elsewhere_are_refused(
    controller: Controller, grace: Person, path: str, headers: dict[str, str]
) -> None:
    started = await _start(controller, Agent(controller.clock))
    browser = Browser(controller)
    await browser.sign_in(grace)
    answer = await browser.post(
        path,
        headers,
        email=grace.email,
        password=grace.password,
        user_code=started["user_code"],
        decision="approve",
    )
    assert (answer.status_code, code_of(answer)) == (403, "forbidden")
    assert "set-cookie" not in answer.headers
    page = await browser.open(started["user_code"])
    assert "Sign in this device?" in page.text


async def test_t72_names_are_shown_as_text(controller: Controller, grace: Person) -> None:
    hostile = "<img src=x onerror=alert(1)>\"'"
    agent = Agent(controller.clock)
    started = await _start(controller, agent, hostile)
    browser = Browser(controller)
    await browser.sign_in(grace)
    page = await browser.open(started["user_code"])
    assert "<img" not in page.text
    assert "&lt;img src=x" in page.text
    assert "script" not in page.headers["content-security-policy"]
    echoed = await browser.open('"><script>alert(1)</script>')
    assert "<script" not in echoed.text
    failed = await Browser(controller).post("sign-in", email='"><script>', password="x", user_code='"><b>')
    assert failed.status_code == 403
    assert "<script" not in failed.text
    assert "<b>" not in failed.text


async def test_hidden_characters_in_a_device_name_are_refused(controller: Controller) -> None:
    agent = Agent(controller.clock)
    for name in ("a\u202eb", "\x1b[31mred", " ", "line\nbreak"):
        answer = await controller.http.post("/api/v1/device_authorization", json=agent.start(name))
        assert (answer.status_code, code_of(answer)) == (422, "invalid_input")
    long = await controller.http.post("/api/v1/device_authorization", json=agent.start("h" * 200))
    assert long.status_code == 200


async def test_signing_out_ends_the_session_in_the_store_too(controller: Controller, grace: Person) -> None:
    browser = Browser(controller)
    signed = await browser.sign_in(grace)
    secret = signed.cookies["__Host-ostiary"]
    out = await browser.post("sign-out", user_code="")
    assert (out.status_code, out.headers["location"]) == (303, "/device")
    browser.http.headers["Cookie"] = f"__Host-ostiary={secret}"
    assert "Sign in" in (await browser.open()).text


async def test_a_session_of_the_page_opens_no_api_and_the_other_way_round(
    controller: Controller, grace: Person
) -> None:
    secret = (await Browser(controller).sign_in(grace)).cookies["__Host-ostiary"]
    assert (await controller.person(secret).get("/api/v1/me")).status_code == 401
    browser = Browser(controller)
    browser.http.headers["Cookie"] = f"__Host-ostiary={grace.token}"
    assert "Enter the code" not in (await browser.open()).text


async def test_wrong_credentials_on_the_page(controller: Controller, grace: Person) -> None:
    browser = Browser(controller)
    wrong = await browser.post("sign-in", email=grace.email, password="wrong", user_code="BCDF-GHJK")
    assert wrong.status_code == 403
    assert "The name or the password is wrong." in wrong.text
    assert grace.email in wrong.text
    assert 'value="BCDF-GHJK"' in wrong.text
    for _ in range(30):
        wrong = await browser.post("sign-in", email=grace.email, password="wrong")
    assert wrong.status_code == 429
    assert "Try again in" in wrong.text


async def test_every_form_leads_somewhere(controller: Controller, grace: Person) -> None:
    started = await _start(controller, Agent(controller.clock))
    browser = Browser(controller)
    stranger = await browser.open(started["user_code"])
    await browser.sign_in(grace)
    forms: set[tuple[str, str]] = set()
    for page in (stranger, await browser.open(), await browser.open(started["user_code"])):
        forms |= set(re.findall(r'<form[^>]* method="(\w+)" action="([^"]+)"', page.text))
    assert {action for _, action in forms} == {"/device", "/device/sign-in", "/device/sign-out", "/device/decision"}
    for method, action in forms:
        async with controller.person() as other:
            answer = await other.request(method.upper(), action, headers=SAME_ORIGIN, data={"user_code": "x"})
            assert answer.status_code not in (404, 405), action


async def test_the_pages_need_no_script_and_have_labels(controller: Controller, grace: Person) -> None:
    browser = Browser(controller)
    for page in (await browser.open(), await browser.sign_in(grace), await browser.open()):
        assert "<script" not in page.text
        assert " style=" not in page.text
        for name in re.findall(r'<input id="([a-z_]+)"', page.text):
            assert f'<label for="{name}">' in page.text
    style = await browser.http.get("/device/style.css")
    assert style.headers["content-type"].startswith("text/css")
