"""What administrators and members change in the console: a resource with its blast radius, mappings of groups, an app for codes."""

import base64
import hashlib
import hmac
import re
import struct
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from console_world import PASSWORD, WHY_NOT, World, sign_in, violations, visiting
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT), pytest.mark.xdist_group("console")]


def code_of(secret: str) -> str:
    """The one-time code of this moment (RFC 6238)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.digest(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1)
    return f"{int.from_bytes(digest[(at := digest[-1] & 15) : at + 4], 'big') % (1 << 31) % 1_000_000:06}"


def granted(world: World, name: str, address: str) -> str:
    """A resource that one person reaches."""
    resource = world.make("resources", network=world.ids["office"], name=name, address=address, ports={"tcp": ["443"]})
    person = world.make("users", email=f"{name}@corp.example", name=f"Grace of {name}", password=PASSWORD)
    world.make("grants", subject_kind="user", subject=person, resource=resource)
    return resource


def test_a_resource_is_changed_after_the_plan_said_whom_that_touches(console: Page, world: World) -> None:
    resource = granted(world, "intranet", "intranet.corp.internal")
    console.goto(f"/resources/{resource}")
    console.get_by_role("button", name="Edit").click()
    drawer = console.get_by_role("dialog")
    drawer.get_by_role("textbox", name="Address").fill("*.corp.internal")
    meaning = drawer.get_by_role("status", name="What the address means")
    expect(meaning).to_contain_text("Every name below corp.internal")
    expect(meaning.get_by_role("link", name="wiki")).to_be_visible()
    drawer.get_by_role("combobox", name="TCP ports").fill("8443")
    drawer.get_by_role("combobox", name="TCP ports").press("Enter")
    drawer.get_by_role("button", name="Show what it changes").click()
    expect(drawer.get_by_text(re.compile("Grace of intranet: .*gains TCP 443, 8443, address .* → "))).to_be_visible()
    assert violations(console) == []
    # What was looked at is what is saved: another value has to be looked at again.
    drawer.get_by_role("textbox", name="Name").fill("extranet")
    expect(drawer.get_by_role("button", name="Save resource")).to_have_count(0)
    drawer.get_by_role("button", name="Show what it changes").click()
    drawer.get_by_role("button", name="Save resource").click()
    expect(console.get_by_role("heading", level=1, name="extranet")).to_be_visible()
    expect(console.get_by_text("TCP 443, 8443")).to_be_visible()
    assert world.ask("GET", f"/api/v1/resources/{resource}")["address"] == "*.corp.internal"


def test_who_was_slower_is_told_and_overwrites_nothing(console: Page, world: World) -> None:
    resource = granted(world, "slow", "slow.corp.internal")
    console.goto(f"/resources/{resource}")
    console.get_by_role("button", name="Edit").click()
    drawer = console.get_by_role("dialog")
    drawer.get_by_role("textbox", name="Name").fill("mine")
    drawer.get_by_role("button", name="Show what it changes").click()
    drawer.get_by_role("button", name="Save resource").wait_for()
    world.ask("PATCH", f"/api/v1/resources/{resource}", {"address": "quick.corp.internal"})
    drawer.get_by_role("button", name="Save resource").click()
    expect(drawer.get_by_role("alert")).to_contain_text("It was changed by somebody")
    kept = world.ask("GET", f"/api/v1/resources/{resource}")
    assert (kept["name"], kept["address"]) == ("slow", "quick.corp.internal")


def test_groups_of_a_provider_are_mapped(console: Page, world: World) -> None:
    secret = "a-secret-of-the-provider"
    body = {"issuer": "https://id.corp.example", "client_id": "ostiary", "client_secret": secret}
    provider = world.make("identity-providers", name="corporate", groups_claim="groups", **body)
    console.goto("/settings/identity-providers")
    console.get_by_role("button", name="Groups of corporate").click()
    drawer = console.get_by_role("dialog")
    drawer.get_by_role("button", name="Add a mapping").click()
    drawer.get_by_role("button", name="Save mappings").click()
    expect(drawer.get_by_text("The group's name at the provider.")).to_be_visible()
    drawer.get_by_label("Group at the provider").fill("eng-all")
    drawer.get_by_role("combobox", name="Group here").click()
    console.get_by_role("option", name="engineers").click()
    assert violations(console) == []
    drawer.get_by_role("button", name="Save mappings").click()
    expect(console.get_by_role("cell", name="1 mapped")).to_be_visible()
    kept = world.ask("GET", f"/api/v1/identity-providers/{provider}")["groups"]
    assert kept == [{"claim": "eng-all", "group": world.ids["engineers"]}]
    console.get_by_role("button", name="Groups of corporate").click()
    drawer.get_by_role("button", name="Remove mapping 1").click()
    drawer.get_by_role("button", name="Save mappings").click()
    expect(console.get_by_role("cell", name="0 mapped")).to_be_visible()


def test_an_app_for_codes_is_set_up_by_a_picture_or_by_its_key(browser: Browser, world: World) -> None:
    world.make("users", email="hedy@corp.example", name="Hedy", password=PASSWORD)
    with visiting(browser, world) as page:
        page.goto("/sign-in")
        sign_in(page, "hedy@corp.example")
        page.wait_for_url(lambda url: "sign-in" not in url)
        page.goto("/mine/security")
        page.get_by_role("button", name="Set up").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Begin").click()
        picture = dialog.get_by_role("img", name="The key as a QR code")
        expect(picture).to_be_visible()
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] >= 200
        assert violations(page) == []
        uri = dialog.get_by_role("link", name="open the app").get_attribute("href") or ""
        [secret] = parse_qs(urlsplit(uri).query)["secret"]
        expect(dialog.get_by_text(secret, exact=True)).to_be_visible()
        dialog.get_by_role("textbox", name="Code").fill(code_of(secret))
        dialog.get_by_role("button", name="Turn on").click()
        expect(page.get_by_role("dialog", name="Recovery codes")).to_be_visible()
