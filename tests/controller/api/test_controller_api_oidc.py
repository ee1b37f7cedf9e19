"""Sign-in through real OpenID Connect providers, over their real HTTP flow (T-1, T-2, T-14, S-11)."""

import shutil
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from controller_api import URL, Agent, Controller, code_of, running_with, set_up
from real_providers import CLIENT, SECRET, Browser, RealProvider, install_node_provider, provider

from runtime.clock import ManualClock

SAME_ORIGIN = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    why = install_node_provider(folder)
    if why:
        print(why)
        pytest.skip(why)
    return folder


@pytest.fixture(params=["node", "python"])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealProvider]:
    folder = tmp_path / "provider"
    folder.mkdir()
    if request.param == "node":
        installed: Path = request.getfixturevalue("node_folder")
        (folder / "node_modules").symlink_to(installed / "node_modules")
        shutil.copy(installed / "package.json", folder)
    with provider(request.param, folder) as made:
        yield made


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[Controller]:
    # Providers have the real time.
    clock = ManualClock(wall=time.time())
    settings = await set_up(tmp_path, now=clock.wall())
    async with running_with(replace(settings, identity_providers_on_loopback=True), clock) as made:
        yield made


@dataclass
class Corp:
    """The controller with one provider."""

    controller: Controller
    real: RealProvider
    owner: httpx2.AsyncClient
    id: str

    async def leave(self, browser: httpx2.AsyncClient, **query: str) -> str:
        """Begins a sign-in; returns where the browser goes."""
        answer = await browser.get(f"/sign-in/{self.id}", params=query, headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def sign_in(self, subject: str, browser: httpx2.AsyncClient, **query: str) -> httpx2.Response:
        """The whole way, there and back; returns the controller's answer to the way back."""
        there = await self.leave(browser, **query)
        person = Browser(self.real.kind)
        try:
            back = await person.log_in(there, subject)
        finally:
            await person.close()
        assert back.startswith(f"{URL}/sign-in/{self.id}/callback?")
        return await browser.get(back)


async def corp(controller: Controller, real: RealProvider, **more: Any) -> Corp:
    owner = await controller.owner()
    body = {
        "name": "Corp",
        "issuer": real.issuer,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "scopes": ["openid", "email", "profile", "groups"] if real.kind == "node" else ["openid", "email", "profile"],
        "groups_claim": "groups",
        "new_users": "create",
        **more,
    }
    made = await owner.post("/api/v1/identity-providers", json=body)
    assert made.status_code == 201, made.text
    assert SECRET not in made.text
    real.redirect = made.json()["redirect_uri"]
    if not real.people:
        real.know("lin", email="Lin@corp.example", email_verified=True, name="Lin L.", groups=["engineers", "all"])
        real.know("eve", email="eve@corp.example", email_verified=False, name="Eve", groups=[])
    real.start()
    return Corp(controller, real, owner, made.json()["id"])


async def me(browser: httpx2.AsyncClient) -> dict[str, Any]:
    answer = await browser.get("/api/v1/me")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_console_is_entered_through_a_provider(controller: Controller, real: RealProvider) -> None:
    world = await corp(controller, real)
    browser = controller.person()
    done = await world.sign_in("lin", browser, console="/users")
    assert (done.status_code, done.headers["location"]) == (303, "/users"), done.text
    cookie = next(item for item in done.headers.get_list("set-cookie") if item.startswith("__Host-ostiary-console="))
    for attribute in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
        assert attribute in cookie
    lin = await me(browser)
    assert (lin["email"], lin["name"], lin["role"]) == ("lin@corp.example", "Lin L.", "member")
    assert lin["session"]["method"] == f"oidc:{real.issuer}"
    assert lin["session"]["kind"] == "console"
    linked = (await world.owner.get(f"/api/v1/users/{lin['id']}/identities")).json()["items"]
    assert [(item["provider"], item["issuer"], item["subject"]) for item in linked] == [(world.id, real.issuer, "lin")]
    again = controller.person()
    await world.sign_in("lin", again, console="/")
    assert (await me(again))["id"] == lin["id"], "the same subject is the same person"
    trail = (await world.owner.get("/api/v1/events", params={"limit": 200})).json()["items"]
    assert "user.identity_linked" in str([item["type"] for item in trail])
    assert "corp.example" not in str([item["data"] for item in trail]).replace(real.issuer, "")
    assert '"lin"' not in str([item["data"] for item in trail])


async def test_a_device_is_approved_through_a_provider(controller: Controller, real: RealProvider) -> None:
    world = await corp(controller, real)
    agent, browser = Agent(controller.clock), controller.person()
    started = (await controller.http.post("/api/v1/device_authorization", json=agent.start())).json()
    page = await browser.get("/device", params={"user_code": started["user_code"]})
    assert f'href="/sign-in/{world.id}?user_code={started["user_code"]}"' in page.text
    back = await world.sign_in("lin", browser, user_code=started["user_code"])
    assert back.headers["location"] == f"/device?user_code={started['user_code']}"
    assert "Sign in this device?" in (await browser.get(back.headers["location"])).text
    await browser.post(
        "/device/decision", data={"user_code": started["user_code"], "decision": "approve"}, headers=SAME_ORIGIN
    )
    polled = (await controller.http.post("/api/v1/token", json=agent.poll(started["device_code"]))).json()
    state = controller.services.state
    session = state.sessions[polled["session"]]
    assert (session.method, session.mfa_s) == (f"oidc:{real.issuer}", None)
    assert (await browser.get("/api/v1/me")).status_code == 401, "a sign-in to the page opens no API"


async def test_the_command_line_of_an_owner_without_a_password(controller: Controller, real: RealProvider) -> None:
    world = await corp(controller, real)
    browser = controller.person()
    await world.sign_in("lin", browser, console="/")
    lin = (await me(browser))["id"]
    assert (await world.owner.patch(f"/api/v1/users/{lin}", json={"role": "owner"})).status_code == 200
    agent = Agent(controller.clock)
    body = {**agent.start(), "scope": "administration"}
    begun = (await controller.http.post("/api/v1/device_authorization", json=body)).json()
    await world.sign_in("lin", browser, user_code=begun["user_code"])
    decision = {"user_code": begun["user_code"], "decision": "approve"}
    if real.kind == "node":
        # Unless it is asked, this one does not say when the person proved who he is, which may be long ago.
        refused = await browser.post("/device/decision", data=decision, headers=SAME_ORIGIN)
        assert "Your sign-in is too old" in refused.text
        assert f'/sign-in/{world.id}?user_code={begun["user_code"]}&amp;fresh=true"' in refused.text
        await world.sign_in("lin", browser, user_code=begun["user_code"], fresh="true")
    await browser.post("/device/decision", data=decision, headers=SAME_ORIGIN)
    token = (await controller.http.post("/api/v1/token", json=agent.poll(begun["device_code"]))).json()
    async with controller.person(token["access_token"]) as command_line:
        found = await me(command_line)
        assert (found["id"], found["role"]) == (lin, "owner")
        assert found["session"]["method"] == f"oidc:{real.issuer}"


async def test_group_claims_are_followed_at_each_sign_in(controller: Controller, real: RealProvider) -> None:
    world = await corp(controller, real)
    groups = [(await world.owner.post("/api/v1/groups", json={"name": name})).json()["id"] for name in ("eng", "ops")]
    mapping = [{"claim": "engineers", "group": groups[0]}, {"claim": "operators", "group": groups[1]}]
    mapped = await world.owner.put(f"/api/v1/identity-providers/{world.id}/groups", json={"groups": mapping})
    assert mapped.json()["groups"] == mapping

    async def members() -> list[int]:
        return [(await world.owner.get(f"/api/v1/groups/{group}")).json()["members"] for group in groups]

    await world.sign_in("lin", controller.person(), console="/")
    assert await members() == [1, 0]
    if real.kind == "python":
        return  # its people do not change
    real.know("lin", email="lin@corp.example", email_verified=True, name="Lin", groups=["operators"])
    await world.sign_in("lin", controller.person(), console="/")
    assert await members() == [0, 1]


async def test_a_groups_claim_that_is_missing_takes_nobody_out(controller: Controller, real: RealProvider) -> None:
    real.know("lin", email="lin@corp.example", email_verified=True, name="Lin")
    world = await corp(controller, real)
    group = (await world.owner.post("/api/v1/groups", json={"name": "eng"})).json()["id"]
    mapping = {"groups": [{"claim": "engineers", "group": group}]}
    assert (await world.owner.put(f"/api/v1/identity-providers/{world.id}/groups", json=mapping)).status_code == 200
    before = set(controller.services.state.users)
    assert (await world.sign_in("lin", controller.person(), console="/")).status_code == 403
    assert set(controller.services.state.users) == before, "nobody was made"
    (failed,) = (await world.owner.get("/api/v1/events", params={"type": "sign_in.failed"})).json()["items"]
    assert failed["data"] == {"user": None, "cause": "identity_refused/groups-claim-missing"}
    if real.kind == "python":
        return  # its people do not change
    for groups in ({"groups": ["engineers"]}, {}):
        real.know("lin", email="lin@corp.example", email_verified=True, name="Lin", **groups)
        assert (await world.sign_in("lin", controller.person(), console="/")).status_code == 303
        assert (await world.owner.get(f"/api/v1/groups/{group}")).json()["members"] == 1


async def test_t9_the_trail_names_the_rule_that_refused_and_no_claim(
    controller: Controller, real: RealProvider
) -> None:
    world = await corp(controller, real, email_domains=["other.example"])
    for person, rule in (("lin", "email-domain"), ("eve", "email-unverified")):
        assert (await world.sign_in(person, controller.person(), console="/")).status_code == 403
        trail = (await world.owner.get("/api/v1/events", params={"type": "sign_in.failed"})).json()["items"]
        assert trail[0]["data"] == {"user": None, "cause": f"identity_refused/{rule}"}
    answers: dict[str, dict[str, str]] = {
        "flow-state": {"state": "another", "code": "x"},
        "flow-issuer": {"iss": "https://elsewhere.example", "code": "x"},
        "provider-refused": {"error": "access_denied lin@corp.example"},
        "code": {},
    }
    for rule, query in answers.items():
        browser = controller.person()
        there = await world.leave(browser, console="/")
        given = {"state": parse_qs(urlsplit(there).query)["state"][0], "iss": real.issuer}
        back = await browser.get(f"/sign-in/{world.id}/callback", params={**given, **query})
        assert back.status_code == 403, back.text
        trail = (await world.owner.get("/api/v1/events", params={"type": "sign_in.failed"})).json()["items"]
        assert trail[0]["data"]["cause"] == f"identity_refused/{rule}"
    assert "corp.example" not in str([item["data"] for item in trail])


async def test_t2_a_mail_address_makes_nobody_somebody_else(controller: Controller, real: RealProvider) -> None:
    grace = await controller.add_user("lin@corp.example", role="admin")
    world = await corp(controller, real)
    browser = controller.person()
    await world.sign_in("lin", browser, console="/")
    lin = await me(browser)
    assert lin["id"] != grace.id
    assert (lin["role"], lin["email"]) == ("member", None)
    eve = controller.person()
    await world.sign_in("eve", eve, console="/")
    assert (await me(eve))["email"] is None, "an address that was not verified is none"


async def test_t2_whoever_comes_back_after_removal_is_somebody_new(controller: Controller, real: RealProvider) -> None:
    world = await corp(controller, real)
    browser = controller.person()
    await world.sign_in("lin", browser, console="/")
    old = (await me(browser))["id"]
    await world.owner.patch(f"/api/v1/users/{old}", json={"role": "admin"})
    assert (await browser.get("/api/v1/me")).status_code == 401, "another role: sign in anew"
    await world.owner.delete(f"/api/v1/users/{old}")
    await world.sign_in("lin", browser, console="/")
    lin = await me(browser)
    assert lin["id"] != old
    assert lin["role"] == "member"


async def test_unknown_people_are_refused_until_they_are_linked(controller: Controller, real: RealProvider) -> None:
    world = await corp(controller, real, new_users="refuse")
    grace = await controller.add_user("grace@corp.example", role="admin")
    before = set(controller.services.state.users)
    browser = controller.person()
    refused = await world.sign_in("lin", browser, console="/")
    assert refused.status_code == 403
    assert "No account belongs to this identity" in refused.text
    assert set(controller.services.state.users) == before
    (failed,) = (await world.owner.get("/api/v1/events", params={"type": "sign_in.failed"})).json()["items"]
    assert failed["data"] == {"user": None, "cause": "identity_unknown"}
    link = {"provider": world.id, "subject": "lin"}
    assert (await world.owner.post(f"/api/v1/users/{grace.id}/identities", json=link)).status_code == 201
    taken = await world.owner.post(f"/api/v1/users/{grace.id}/identities", json=link)
    assert (taken.status_code, code_of(taken)) == (409, "already_exists")
    await world.sign_in("lin", browser, console="/")
    assert (await me(browser))["id"] == grace.id
    gone = await world.owner.delete(f"/api/v1/users/{grace.id}/identities/{world.id}")
    assert gone.status_code == 204
    assert (await world.sign_in("lin", controller.person(), console="/")).status_code == 403


async def test_only_verified_addresses_of_the_domains_sign_in(controller: Controller, real: RealProvider) -> None:
    real.know("lin", email="lin@corp.example", email_verified=True, name="Lin")
    real.know("eve", email="eve@corp.example", email_verified=False, name="Eve")
    real.know("mal", email="mal@corp.example.evil.example", email_verified=True, name="Mal")
    world = await corp(controller, real, email_domains=["corp.example"], groups_claim=None)
    assert (await world.sign_in("lin", controller.person(), console="/")).status_code == 303
    for subject in ("eve", "mal"):
        refused = await world.sign_in(subject, controller.person(), console="/")
        assert refused.status_code == 403, subject


async def test_an_own_second_factor_is_asked_after_the_provider(controller: Controller, real: RealProvider) -> None:
    import pyotp

    world = await corp(controller, real)
    browser = controller.person()
    await world.sign_in("lin", browser, console="/")
    begun = await browser.post("/api/v1/me/second-factor", headers=SAME_ORIGIN)
    if real.kind == "node":
        assert code_of(begun) == "sign_in_not_recent", "this one says when only if it is asked"
        await world.sign_in("lin", browser, console="/", fresh="true")
        begun = await browser.post("/api/v1/me/second-factor", headers=SAME_ORIGIN)
    totp = pyotp.TOTP(begun.json()["secret"])
    body = {"code": totp.at(int(controller.clock.wall()))}
    assert (await browser.post("/api/v1/me/second-factor/confirm", json=body, headers=SAME_ORIGIN)).status_code == 200
    other = controller.person()
    back = await world.sign_in("lin", other, console="/users")
    assert back.headers["location"] == "/users?sign_in=second-factor"
    assert (await other.get("/api/v1/me")).status_code == 401
    code = {"kind": "console", "code": totp.at(int(controller.clock.wall()) + 30)}
    done = await other.post("/api/v1/sessions/second-factor", json=code, headers=SAME_ORIGIN)
    assert (done.status_code, done.json()["token"]) == (201, None), done.text
    assert (await me(other))["session"]["method"] == f"oidc:{real.issuer}+totp"


async def test_s11_an_answer_is_good_for_its_own_browser_and_once(controller: Controller, real: RealProvider) -> None:
    world = await corp(controller, real)
    browser, thief = controller.person(), controller.person()
    there = await world.leave(browser, console="/")
    query = parse_qs(urlsplit(there).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"] == [real.redirect]
    for name in ("state", "nonce", "code_challenge"):
        assert len(query[name][0]) >= 43
    person = Browser(real.kind)
    back = await person.log_in(there, "lin")
    await person.close()
    stolen = await thief.get(back)
    assert (stolen.status_code, "__Host-ostiary-console" in str(stolen.headers)) == (403, False)
    other = await world.leave(thief, console="/")
    assert other != there
    mixed = await thief.get(back)
    assert mixed.status_code == 403, "the answer to another browser's request"
    assert (await browser.get(back)).status_code == 303
    assert (await browser.get(back)).status_code == 403, "twice"
    await world.leave(browser, console="/")
    assert (await browser.get(back)).status_code == 403, "the code of an earlier request"


async def test_what_the_person_denies_is_no_sign_in(controller: Controller, real: RealProvider) -> None:
    world = await corp(controller, real)
    browser = controller.person()
    there = await world.leave(browser, console="/")
    state = parse_qs(urlsplit(there).query)["state"][0]
    back = await browser.get(f"/sign-in/{world.id}/callback", params={"error": "access_denied", "state": state})
    assert back.status_code == 403
    again = await browser.get(f"/sign-in/{world.id}/callback", params={"error": "access_denied", "state": state})
    assert again.status_code == 403


async def test_t14_new_keys_of_the_provider_are_fetched(controller: Controller, real: RealProvider) -> None:
    world = await corp(controller, real)
    assert (await world.sign_in("lin", controller.person(), console="/")).status_code == 303
    real.stop()
    real.alg = "ES256"  # the Python one has one algorithm and makes a fresh key
    real.start()
    early = await world.sign_in("lin", controller.person(), console="/")
    assert early.status_code == 403, "keys were fetched a moment ago"
    controller.clock.advance(31)
    assert (await world.sign_in("lin", controller.person(), console="/")).status_code == 303


async def test_f32_a_provider_that_is_away_is_named_and_passwords_go_on(
    controller: Controller, real: RealProvider
) -> None:
    world = await corp(controller, real)
    real.stop()
    answer = await controller.person().get(f"/sign-in/{world.id}", headers={"Sec-Fetch-Site": "none"})
    assert (answer.status_code, answer.headers["retry-after"] if answer.status_code == 429 else "") == (503, "")
    assert "The identity provider cannot be reached." in answer.text
    await controller.sign_in()
    check = await world.owner.post(f"/api/v1/identity-providers/{world.id}/check")
    assert (check.status_code, code_of(check)) == (503, "identity_provider_unreachable")


async def test_a_session_of_a_provider_passes_no_rule_by_itself(controller: Controller, real: RealProvider) -> None:
    world = await corp(controller, real)
    browser = controller.person()
    await world.sign_in("lin", browser, console="/")
    await world.owner.put("/api/v1/sign-in-rules", json={"second_factor_for": "everybody"})
    shut = await browser.get("/api/v1/devices")
    assert (shut.status_code, code_of(shut)) == (403, "second_factor_required")
