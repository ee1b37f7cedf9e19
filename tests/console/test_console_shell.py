"""The console's frame in a real browser: sign-in and back, palette, keyboard, ended sessions, restarts."""

import pytest
from console_world import WHY_NOT, World, sign_in
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


def test_signing_in_leads_back_to_the_page_that_was_asked_for(page: Page, world: World) -> None:
    page.goto(f"/resources/{world.ids['wiki']}")
    page.wait_for_url("**/sign-in?next=**")
    sign_in(page, password="wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    sign_in(page)
    expect(page.get_by_role("heading", name="wiki", level=1)).to_be_visible()
    assert page.title() == "wiki · Ostiary"


def test_t72_a_link_to_the_sign_in_leads_to_no_other_site(page: Page, world: World) -> None:
    page.goto("/sign-in?next=https://evil.example/")
    sign_in(page)
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()
    assert page.url == world.url + "/"


def test_the_palette_goes_to_pages_and_finds_things_by_name(console: Page) -> None:
    console.get_by_role("heading", name="Home", level=1).wait_for()
    console.keyboard.press("Control+k")
    search = console.get_by_placeholder("A page, a name or an id")
    expect(search).to_be_focused()
    search.fill("wiki")
    console.get_by_role("button", name="wiki Resource · wiki.corp.internal").click()
    expect(console.get_by_role("heading", name="wiki", level=1)).to_be_visible()
    console.keyboard.press("Control+k")
    search.fill("resourc")
    console.keyboard.press("ArrowDown")
    console.keyboard.press("Enter")
    expect(console.get_by_role("heading", name="Resources", level=1)).to_be_visible()


def test_the_keyboard_reaches_the_content_and_a_drawer_gives_focus_back(console: Page) -> None:
    console.goto("/resources")
    button = console.get_by_role("button", name="New resource").first
    button.wait_for()
    console.locator("body").focus()
    console.keyboard.press("Tab")
    expect(console.get_by_role("link", name="Skip to the content")).to_be_focused()
    console.keyboard.press("Enter")
    assert console.evaluate("document.activeElement.id") == "content"
    button.focus()
    console.keyboard.press("Enter")
    expect(console.get_by_role("dialog").get_by_label("Name")).to_be_focused()
    console.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_refusals_land_on_their_field(console: Page) -> None:
    console.goto("/resources?create=1")
    drawer = console.get_by_role("dialog")
    drawer.get_by_label("Name").fill("printer")
    drawer.get_by_role("combobox", name="Network").click()
    console.get_by_role("option", name="office").click()
    drawer.get_by_role("textbox", name="Address").fill("not an address")
    drawer.get_by_role("button", name="Create resource").click()
    field = drawer.get_by_role("textbox", name="Address")
    expect(field).to_have_attribute("aria-invalid", "true")


def test_removal_says_what_goes_with_it_and_live_events_reach_other_windows(console: Page, world: World) -> None:
    name = "<img src=x onerror=alert(1)>"
    made = world.make(
        "resources", network=world.ids["office"], name=name, address="evil.corp.internal", ports={"tcp": ["80"]}
    )
    console.goto("/resources")
    link = console.get_by_role("link", name="<img src=x onerror=alert(1)>")
    expect(link).to_be_visible()
    other = console.context.new_page()
    other.goto(f"/resources/{made}")
    other.get_by_role("button", name="Remove").click()
    dialog = other.get_by_role("dialog")
    expect(dialog.get_by_text("0 open connections will be cut at once.")).to_be_visible()
    dialog.get_by_role("button", name="Remove resource").click()
    expect(other.get_by_role("heading", name="Resources", level=1)).to_be_visible()
    expect(link).to_be_hidden()


def test_t72_an_ended_session_leads_to_the_sign_in_and_back(console: Page, world: World) -> None:
    console.goto(f"/resources/{world.ids['wiki']}")
    console.get_by_role("heading", name="wiki", level=1).wait_for()
    world.ask("DELETE", "/api/v1/sessions?user=me")
    console.wait_for_url("**/sign-in?next=**", timeout=40_000)
    sign_in(console)
    expect(console.get_by_role("heading", name="wiki", level=1)).to_be_visible()


def test_the_console_outlives_a_restart_of_the_controller(console: Page, world: World) -> None:
    console.goto("/resources")
    expect(console.get_by_role("status").filter(has_text="Live")).to_be_visible()
    world.stop()
    expect(console.get_by_role("status").filter(has_text="Not live")).to_be_visible()
    world.start()
    world.sign_in()
    expect(console.get_by_role("status").filter(has_text="Not live")).to_be_hidden()
    expect(console.get_by_role("link", name="wiki", exact=True)).to_be_visible()
