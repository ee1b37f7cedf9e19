"""A session of the API that was approved on the sign-in page: for the command line of people without a password (RFC 8628)."""

from dataclasses import replace
from typing import Any

import httpx2
import pytest
from controller_api import OWNER, OWNER_PASSWORD, URL, Agent, Controller, Person, code_of

from controller.api.operations import device_sign_in
from controller.domain.authentication import Authentication
from controller.identity.device_flow import AskingDevice, Purpose
from controller.identity.web_sessions import RECENT_S

PURPOSES: tuple[Purpose, ...] = ("administration", "device")
SAME_ORIGIN = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def grace(controller: Controller) -> Person:
    return await controller.add_user("grace@corp.example", role="network-admin")


async def start(controller: Controller, agent: Agent) -> dict[str, Any]:
    body = {**agent.start("grace-laptop"), "scope": "administration"}
    answer = await controller.http.post("/api/v1/device_authorization", json=body)
    assert answer.status_code == 200, answer.text
    begun: dict[str, Any] = answer.json()
    return begun


async def page_of(controller: Controller, email: str, password: str) -> httpx2.AsyncClient:
    """A browser that is signed in to the page."""
    browser = controller.person(address="198.51.100.9")
    form = {"email": email, "password": password}
    assert (await browser.post("/device/sign-in", data=form, headers=SAME_ORIGIN)).status_code == 303
    return browser


async def decide(browser: httpx2.AsyncClient, begun: dict[str, Any], decision: str = "approve") -> httpx2.Response:
    form = {"user_code": begun["user_code"], "decision": decision}
    return await browser.post("/device/decision", data=form, headers=SAME_ORIGIN)


async def poll(controller: Controller, agent: Agent, begun: dict[str, Any]) -> httpx2.Response:
    controller.clock.advance(begun["interval"])
    return await controller.http.post("/api/v1/token", json=agent.poll(begun["device_code"]))


async def test_a_person_approves_the_command_line_on_the_page(controller: Controller, grace: Person) -> None:
    agent = Agent(controller.clock)
    begun = await start(controller, agent)
    browser = await page_of(controller, grace.email, grace.password)
    page = await browser.get("/device", params={"user_code": begun["user_code"]})
    for fact in (
        "Sign in this command line?",
        "every permission of",
        "grace-laptop",
        "198.51.100.1",
        begun["user_code"],
    ):
        assert fact in page.text
    assert "everything that" not in page.text, "it says what it is for, not what a device gets"
    assert (await poll(controller, agent, begun)).json()["error"] == "authorization_pending"
    assert "Command line approved" in (await decide(browser, begun)).text

    answer = await poll(controller, agent, begun)
    body = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert set(body) == {"access_token", "token_type", "expires_in", "user", "role"}
    assert (body["token_type"], body["user"], body["role"]) == ("Bearer", grace.id, "network-admin")
    async with controller.person(body["access_token"]) as command_line:
        me = (await command_line.get("/api/v1/me")).json()
        assert (me["email"], me["session"]["kind"], me["session"]["method"]) == (grace.email, "api", "password")
        assert (await command_line.post("/api/v1/networks", json={"name": "office"})).status_code == 201
        assert (await command_line.delete("/api/v1/sessions/current")).status_code == 204
        assert (await command_line.get("/api/v1/me")).status_code == 401
    assert not controller.services.state.devices
    assert (await poll(controller, agent, begun)).json()["error"] == "expired_token"
    trail = (await (await controller.owner()).get("/api/v1/events", params={"type": "sign_in.succeeded"})).json()
    assert [item["data"]["surface"] for item in trail["items"] if item["data"]["user"] == grace.id][:1] == ["api"]


async def test_s9_what_was_denied_or_is_anothers_gives_no_token(controller: Controller, grace: Person) -> None:
    agent, thief = Agent(controller.clock), Agent(controller.clock)
    browser = await page_of(controller, grace.email, grace.password)
    denied = await start(controller, agent)
    await decide(browser, denied, "deny")
    assert (await poll(controller, agent, denied)).json()["error"] == "access_denied"
    begun = await start(controller, agent)
    await decide(browser, begun)
    assert (await poll(controller, thief, begun)).json()["error"] == "invalid_grant", "the key is another one"
    assert (await poll(controller, agent, begun)).status_code == 200


async def test_s9_an_old_page_does_not_open_the_api(controller: Controller, grace: Person) -> None:
    agent = Agent(controller.clock)
    made = {"name": "Corp", "issuer": "https://id.corp.example", "client_id": "ostiary", "client_secret": "none"}
    provider = (await (await controller.owner()).post("/api/v1/identity-providers", json=made)).json()["id"]
    browser = await page_of(controller, grace.email, grace.password)
    for _ in range(4):
        controller.clock.advance(RECENT_S / 4)
        assert "Connect a device" in (await browser.get("/device")).text
    begun = await start(controller, agent)
    page = await browser.get("/device", params={"user_code": begun["user_code"]})
    assert "Your sign-in is too old" in page.text
    assert 'type="password"' in page.text
    assert f'/sign-in/{provider}?user_code={begun["user_code"]}&amp;fresh=true"' in page.text, (
        "it is to ask anew as well"
    )
    assert "Command line approved" not in (await decide(browser, begun)).text
    assert (await poll(controller, agent, begun)).json()["error"] == "authorization_pending"
    again = await page_of(controller, grace.email, grace.password)
    assert "Command line approved" in (await decide(again, begun)).text
    assert (await poll(controller, agent, begun)).status_code == 200
    # A device is approved by an old page as before.
    for _ in range(2):
        controller.clock.advance(RECENT_S / 2)
        assert "Connect a device" in (await again.get("/device")).text
    device = (await controller.http.post("/api/v1/device_authorization", json=agent.start())).json()
    assert "Device approved" in (await decide(again, device)).text


def test_s9_a_moment_that_nobody_stated_is_not_recent() -> None:
    command_line, device = (AskingDevice("grace-laptop", "linux", "198.51.100.1", kind) for kind in PURPOSES)
    for mfa_s in (None, 1000):
        told = Authentication(1000, mfa_s, "oidc:https://id.corp.example")
        assert not device_sign_in.needs_recent(command_line, told, 1001.0)
        assert device_sign_in.needs_recent(command_line, replace(told, dated=False), 1001.0)
        assert not device_sign_in.needs_recent(device, replace(told, dated=False), 1001.0)


async def test_t16_half_a_sign_in_opens_nothing(controller: Controller, grace: Person) -> None:
    """The second factor was set up between the approval and the poll."""
    from controller.domain.commands_sign_in import AddSecondFactor
    from protocol.ids import UserId

    agent = Agent(controller.clock)
    begun = await start(controller, agent)
    await decide(await page_of(controller, grace.email, grace.password), begun)
    async with controller.services.store.write(actor="cli", request_id="r", now=controller.clock.wall()) as unit:
        await unit.execute(AddSecondFactor(UserId(grace.id), "totp"))
    answer = await poll(controller, agent, begun)
    assert (answer.status_code, code_of(answer)) == (400, "second_factor_required")


async def test_a_fresh_sign_in_answers_what_asks_for_one(controller: Controller) -> None:
    agent = Agent(controller.clock)
    async with await controller.owner() as old:
        controller.clock.advance(RECENT_S)
        refused = await old.post("/api/v1/me/second-factor")
        assert (refused.status_code, code_of(refused)) == (403, "sign_in_not_recent")
    begun = await start(controller, agent)
    await decide(await page_of(controller, OWNER, OWNER_PASSWORD), begun)
    token = (await poll(controller, agent, begun)).json()["access_token"]
    async with controller.person(token) as fresh:
        assert (await fresh.post("/api/v1/me/second-factor")).status_code in (200, 201)
