"""From an empty controller to a signed-in owner, and sign-in with a passkey."""

from pathlib import Path

import pytest
from console_world import PASSWORD, WHY_NOT, World, running, sign_in, violations, visiting
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


def test_the_first_owner_is_made_in_the_browser(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, with_owner=False) as world, visiting(browser, world) as page:
        page.goto("/")
        expect(page.get_by_role("heading", name="Set up Ostiary")).to_be_visible()
        assert violations(page) == []
        token = world.command("admin", "setup-token").split()
        [secret] = [word for word in token if word.startswith("ost_")]
        page.get_by_label("Set-up token").fill("ost_setup_wrong")
        page.get_by_label("Your name").fill("Grace")
        page.get_by_label("Your e-mail address").fill("grace@corp.example")
        page.locator('input[autocomplete="new-password"]').fill(PASSWORD)
        page.get_by_role("button", name="Make the first owner").click()
        expect(page.locator('[role="alert"], [aria-invalid="true"]').first).to_be_visible()
        page.get_by_label("Set-up token").fill(secret)
        page.get_by_role("button", name="Make the first owner").click()
        expect(page.get_by_role("heading", name="Next: connector")).to_be_visible()
        page.goto("/setup")
        expect(page.get_by_text("There is an owner already.")).to_be_visible()


def test_t72_a_passkey_signs_in_without_a_password(page: Page, world: World) -> None:
    debugger = page.context.new_cdp_session(page)
    debugger.send("WebAuthn.enable")
    authenticator = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
    }
    debugger.send("WebAuthn.addVirtualAuthenticator", {"options": authenticator})
    page.goto("/sign-in")
    sign_in(page)
    page.get_by_role("heading", name="Home", level=1).wait_for()
    made = page.evaluate(ADD_PASSKEY)
    assert made == 201
    page.get_by_role("button", name="Signed in as Ada").click()
    page.get_by_role("menuitem", name="Sign out").click()
    page.get_by_role("button", name="Go on with a passkey").click()
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()


ADD_PASSKEY = """async () => {
  const post = (path, body) => fetch(path, {method: "POST", body, headers: {"Content-Type": "application/json"}});
  const {options} = await (await post("/api/v1/me/passkeys/begin")).json();
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const credential = (await navigator.credentials.create({publicKey})).toJSON();
  return (await post("/api/v1/me/passkeys", JSON.stringify({name: "laptop", credential}))).status;
}"""
