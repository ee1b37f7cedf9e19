"""From a one-time token to a proved connection, all of it in the browser, beside real relay, connector and client processes."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_product import OFFICE, WIKI, LiveProduct, beside
from console_world import OWNER, PASSWORD, WHY_NOT, World, running, visiting
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT), pytest.mark.xdist_group("console")]

STEPS = ("Enrolled", "Connected to the controller", "Attached to a relay", "A real connection to a resource")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A controller that nobody owns yet."""
    with running(tmp_path / "controller", with_owner=False) as made:
        yield made


@pytest.fixture
def product(world: World, tmp_path: Path) -> Iterator[LiveProduct]:
    """Nothing of it runs yet but the office."""
    with beside(world, tmp_path / "product") as made:
        yield made


def next_step(page: Page, label: str) -> Locator:
    """The home page's card that names the first thing that is missing."""
    page.goto("/")
    expect(page.get_by_role("heading", name=f"Next: {label}")).to_be_visible()
    return page.get_by_role("main")


def token_of(drawer: Locator) -> str:
    """The one-time token, as it stands in the command that the console shows."""
    drawer.get_by_role("tab", name="Shell").click()
    command = drawer.get_by_role("tabpanel").get_by_role("group", name="Command").inner_text()
    found = re.match(r"printf %s '?([^' ]+)'? \|", command)
    assert found, command
    return found[1]


def shows_steps(drawer: Locator, done: int) -> None:
    """So many of the live steps are done, and the next one is waited for."""
    progress = drawer.get_by_role("status", name="Progress")
    for label in STEPS[:done]:
        expect(progress.get_by_text(f"{label}: done")).to_be_visible()
    if done < len(STEPS):
        expect(progress.get_by_text(f"{STEPS[done]}: waiting …")).to_be_visible()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_from_a_one_time_token_to_a_proved_connection(browser: Browser, world: World, product: LiveProduct) -> None:
    with visiting(browser, world) as page:
        set_up(page, world)
        deploy_relay(page, product)
        deploy_connector(page, product)
        make_policy(page, product)
        sign_in_device(page, product)
        code, said = product.curl()
        assert (code, "company wiki" in said) == (0, True), said
        prove(page)


def set_up(page: Page, world: World) -> None:
    """The first owner, and with him the first network; its egress list then lets the office's addresses through."""
    [secret] = [word for word in world.command("admin", "setup-token").split() if word.startswith("ost_")]
    page.goto("/setup")
    page.get_by_label("Set-up token").fill(secret)
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Your e-mail address").fill(OWNER)
    page.locator('input[autocomplete="new-password"]').fill(PASSWORD)
    page.get_by_role("button", name="Make the first owner").click()
    expect(page.get_by_role("heading", name="Next: connector")).to_be_visible()
    page.get_by_role("link", name="Deploy a connector").click()
    page.get_by_role("link", name="office", exact=True).click()
    page.get_by_role("button", name="Edit").click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_label("Addresses that connectors may dial").fill(OFFICE)
    page.keyboard.press("Enter")
    drawer.get_by_role("button", name="Save").click()
    expect(drawer).to_be_hidden()
    expect(page.get_by_role("main").get_by_text(OFFICE)).to_be_visible()


def deploy_relay(page: Page, product: LiveProduct) -> None:
    page.goto("/relays")
    page.get_by_role("button", name="Add a relay").first.click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_role("textbox", name="Name", exact=True).fill("relay-1")
    drawer.get_by_label("Public name").fill("localhost")
    drawer.get_by_label("TCP port").fill(str(product.relay_port))
    drawer.get_by_role("button", name="Make the one-time token").click()
    product.enrol_and_run("relay", token_of(drawer), "--live")
    expect(drawer.get_by_text("Reached by the controller: done")).to_be_visible()
    drawer.get_by_role("button", name="Done").click()


def deploy_connector(page: Page, product: LiveProduct) -> None:
    page.goto("/networks")
    page.get_by_role("link", name="office", exact=True).click()
    page.get_by_role("button", name="Deploy a connector").first.click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_label("Name").fill("office-1")
    drawer.get_by_role("button", name="Make the one-time token").click()
    shows_steps(drawer, 0)
    product.enrol_and_run("connector", token_of(drawer), "--ready")
    shows_steps(drawer, 3)
    expect(drawer.get_by_text("The network has no resource yet")).to_be_visible()
    product.lab.stop(product.lab.process("connector"), signal.SIGTERM)
    expect(drawer.get_by_text("Connected to the controller: waiting …")).to_be_visible()
    product.run_connector()
    shows_steps(drawer, 3)
    drawer.get_by_role("button", name="Done").click()


def make_policy(page: Page, product: LiveProduct) -> None:
    """A resource, and a grant for its maker."""
    next_step(page, "resource").get_by_role("link", name="Make a resource").click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_label("Name").fill("wiki")
    drawer.get_by_role("combobox", name="Network").click()
    page.get_by_role("option", name="office").click()
    drawer.get_by_role("textbox", name="Address").fill(WIKI)
    drawer.get_by_label("TCP ports").fill(f"{product.web_port}")
    page.keyboard.press("Enter")
    drawer.get_by_role("button", name="Create resource").click()
    expect(page.get_by_role("heading", name="wiki", level=1)).to_be_visible()
    next_step(page, "grant").get_by_role("link", name="Make a grant").click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_role("combobox", name="Kind of subject").click()
    page.get_by_role("option", name="Person").click()
    drawer.get_by_role("combobox", name="Person", exact=True).click()
    page.get_by_role("option", name=OWNER).click()
    drawer.get_by_role("combobox", name="Resource").click()
    page.get_by_role("option", name="wiki").click()
    drawer.get_by_role("button", name="Create grant").click()
    expect(drawer).to_be_hidden()
    next_step(page, "client")


def sign_in_device(page: Page, product: LiveProduct) -> None:
    """`ostiary up` names a page; there the owner proves who he is once more and approves the code."""

    def approve(user_code: str) -> None:
        page.goto(f"/device?user_code={user_code}")
        page.get_by_label("E-mail address").fill(OWNER)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_role("heading", level=1)).not_to_have_text("Sign in this device?")

    product.approver = approve
    product.start_client("--mode", "proxy")
    product.sign_in()


def prove(page: Page) -> None:
    """Home has no next step any more, and what happened can be looked at."""
    page.goto("/")
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("^Next:"))).to_have_count(0)
    expect(page.get_by_role("main").get_by_text("Nothing was denied.")).to_be_visible()
    page.goto("/connections")
    expect(page.get_by_role("region", name="Connections").get_by_text("Served").first).to_be_visible()
