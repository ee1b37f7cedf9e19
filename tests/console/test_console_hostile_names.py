"""Names that turn text around or never end: each form says readably why it refuses them, and keeps its width."""

import re

import pytest
from console_world import WHY_NOT, World
from playwright.sync_api import Page, expect

from lab.processes import wait_for

pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT), pytest.mark.xdist_group("console")]

TURNED = "invoice\u202egnp.exe"
"""U+202E turns what follows around; the API refuses what cannot be seen in a name (T-72, T-74)."""
ENDLESS = "W" * 10_000
FITS = "document.documentElement.scrollWidth <= window.innerWidth"
SIZES = ({"width": 1280, "height": 800}, {"width": 390, "height": 844})
HIDDEN = re.compile(r"U\+202E cannot be seen")
LONG = re.compile(r"(at most|1 to) \d+ characters")
FORMS = {
    "/networks": ("New network", "Create network", {}),
    "/groups": ("New group", "Create group", {}),
    "/policies": ("New policy", "Create policy", {"Signed in within": "8h"}),
    "/resources": ("New resource", "Create resource", {"Address": "hostile.corp.internal"}),
    "/relays": ("Add a relay", "Make the one-time token", {"Public name": "relay.example.com"}),
    "/users": ("New user", "Create user", {"E-mail address": "mallory@corp.example"}),
    "/settings/identity-providers": (
        "New provider",
        "Add provider",
        {"Issuer": "https://login.example.com", "Client ID": "o"},
    ),
}


def fits(page: Page) -> None:
    """The page is not wider than the window, on a desk or on a phone."""
    for size in SIZES:
        page.set_viewport_size(size)  # type: ignore[arg-type]
        wait_for(f"{page.url} to fit", lambda: page.evaluate(FITS), 10)
    page.set_viewport_size(SIZES[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("path", FORMS)
def test_a_form_says_why_it_refuses_a_name(console: Page, world: World, path: str) -> None:
    button, save, fields = FORMS[path]
    console.goto(path)
    console.get_by_role("button", name=button).first.click()
    drawer = console.get_by_role("dialog")
    name = drawer.get_by_role("textbox", name="Name", exact=True)
    for label, text in fields.items():
        drawer.get_by_role("textbox", name=label, exact=True).fill(text)
    if path == "/resources":
        drawer.get_by_role("combobox", name="Network").click()
        console.get_by_role("option", name="office").first.click()
    if path.endswith("providers"):
        drawer.locator('input[type="password"]').fill("secret")
    for text, why in ((TURNED, HIDDEN), (ENDLESS, LONG)):
        name.fill(text)
        drawer.get_by_role("button", name=save).click()
        expect(drawer.get_by_text(why)).to_be_visible()
        fits(console)
