"""Changes of policy in the console under a client that is at work: what is cut, what is told, what comes back."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_product import WIKI, LiveProduct, beside, everything
from console_world import WHY_NOT, World, running, sign_in, visiting
from playwright.sync_api import Browser, Locator, Page, expect
from real_providers import CLIENT, SECRET, provider

from lab.processes import wait_for
from lab.product import USER

pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.xdist_group("console"),
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

WITHOUT_GRANTS = "grants: []\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller of this module alone: its policy changes from test to test and is the same after each."""
    providers = {"OSTIARY_IDENTITY_PROVIDERS_ON_LOOPBACK": "true"}
    with running(tmp_path_factory.mktemp("live") / "controller", settings=providers) as made:
        yield made


@pytest.fixture(scope="module")
def product(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveProduct]:
    """Relay, connector and the client of Grace, who may reach the wiki."""
    with beside(world, tmp_path_factory.mktemp("live") / "product") as made:
        everything(world, made)
        yield made


def cut(curl: "subprocess.Popen[bytes]") -> bool:
    """Whether curl has ended as it does when the other side resets."""
    return curl.poll() in (18, 56)


def served(product: LiveProduct) -> None:
    """Waits until the wiki answers Grace."""
    wait_for("the wiki to answer", lambda: product.curl()[0] == 0)


def open_connection(page: Page) -> Locator:
    """The link to the one open connection, once both sides' records have told of it."""
    page.goto("/connections?open=true")
    row = page.get_by_role("region", name="Connections").get_by_role("row").filter(has_text=WIKI)
    expect(row.first).to_be_visible()
    return row.first.get_by_role("link").first


def apply(page: Page) -> None:
    """Approves the plan that is shown."""
    page.get_by_role("button", name="Approve and apply").click()
    page.get_by_role("dialog").get_by_role("button", name="Apply exactly this").click()
    expect(page.get_by_role("alert").filter(has_text="Applied")).to_be_visible()


def test_a_plan_names_the_connection_that_it_cuts_and_undo_gives_it_back(console: Page, product: LiveProduct) -> None:
    served(product)
    with product.download() as curl:
        open_connection(console)
        console.goto("/plans/new")
        console.get_by_label("Document").fill(WITHOUT_GRANTS)
        console.get_by_role("switch", name="Also remove what its sections do not name").click()
        console.get_by_role("button", name="Plan", exact=True).click()
        doomed = console.get_by_role("region", name="Live connections that would be cut")
        expect(doomed.get_by_role("row").filter(has_text=WIKI)).to_contain_text("Grace")
        assert curl.poll() is None
        apply(console)
        wait_for("the download to be cut", lambda: cut(curl))
    assert product.curl()[0] != 0
    console.get_by_role("button", name="Undo").click()
    expect(console.get_by_role("region", name="What changes").get_by_text("new")).to_be_visible()
    apply(console)
    served(product)


def test_a_revocation_cuts_a_download_and_the_pages_that_show_it_follow(
    console: Page, world: World, product: LiveProduct
) -> None:
    served(product)
    with product.download() as curl:
        open_connection(console).click()
        expect(console.get_by_role("heading", name=f"Connection to {WIKI}")).to_be_visible()
        expect(console.get_by_text("Open", exact=True).first).to_be_visible()
        admin = console.context.new_page()
        admin.goto("/grants")
        admin.get_by_role("link", name="Details of").click()
        admin.get_by_role("button", name="Revoke").click()
        dialog = admin.get_by_role("dialog")
        expect(dialog.get_by_text("1 open connection")).to_be_visible()
        dialog.get_by_role("button", name="Revoke grant").click()
        wait_for("the download to be cut", lambda: cut(curl))
    for side in ("client", "connector"):
        told = console.get_by_role("region", name=f"The {side}'s side")
        expect(told.get_by_text("access revoked")).to_be_visible()
    admin.goto("/connections?outcome=access_revoked")
    expect(admin.get_by_role("region", name="Connections").get_by_text("access revoked").first).to_be_visible()
    admin.close()
    grace, wiki = world.ids["Grace"], world.ids["wiki"]
    world.make("grants", subject_kind="user", subject=grace, resource=wiki)
    served(product)


def test_access_is_asked_for_and_given_in_the_console(
    browser: Browser, console: Page, world: World, product: LiveProduct
) -> None:
    for grant in world.ask("GET", "/api/v1/grants")["items"]:
        world.ask("DELETE", f"/api/v1/grants/{grant['id']}")
    wait_for("the wiki to be gone", lambda: product.curl()[0] != 0)
    with visiting(browser, world) as grace:
        grace.goto("/mine/resources")
        sign_in(grace, USER, "a quiet lighthouse")
        # An empty list has the same button once more.
        grace.get_by_role("button", name="Request access").first.click()
        drawer = grace.get_by_role("dialog")
        drawer.get_by_label("What").fill(WIKI)
        drawer.get_by_label("Port").fill(str(product.web_port))
        drawer.get_by_role("button", name="Send request").click()
        expect(drawer.get_by_label("Why")).to_have_attribute("aria-invalid", "true")
        drawer.get_by_label("Why").fill("to read the runbook")
        drawer.get_by_role("button", name="Send request").click()
        mine = grace.get_by_role("region", name="Requests of mine")
        expect(mine.get_by_text("open")).to_be_visible()
        console.goto("/access-requests")
        console.get_by_role("link", name=f"{WIKI}:{product.web_port}").click()
        console.get_by_role("button", name="Approve").click()
        drawer = console.get_by_role("dialog")
        drawer.get_by_label("For how long").fill("1h")
        drawer.get_by_role("button", name="Approve request").click()
        expect(console.get_by_role("main").get_by_text("approved")).to_be_visible()
        expect(mine.get_by_text("approved")).to_be_visible()
    served(product)


def test_a_destination_is_tested_from_the_connector(console: Page, world: World, product: LiveProduct) -> None:
    console.goto(f"/connectors/{world.ids['office-1']}")
    section = console.get_by_role("region", name="Test a destination")
    section.get_by_label("Host").fill(WIKI)
    section.get_by_label("TCP port").fill(str(product.web_port))
    section.get_by_role("button", name="Test").click()
    expect(section.get_by_text(re.compile(r"Connected to 127\.20\.0\.10"))).to_be_visible()
    section.get_by_label("Host").fill("nowhere.corp.internal")
    section.get_by_role("button", name="Test").click()
    expect(section.get_by_text("Connected to")).to_be_hidden()
    expect(section.locator('[role="alert"], [aria-invalid="true"]').first).to_be_visible()


def test_a_provider_is_added_checked_and_signed_in_with(
    browser: Browser, console: Page, world: World, tmp_path: Path
) -> None:
    with provider("python", tmp_path) as real:
        real.know("lin", email="lin@corp.example", email_verified=True, name="Lin")
        console.goto("/settings/identity-providers")
        console.get_by_role("button", name="New provider").first.click()
        drawer = console.get_by_role("dialog")
        drawer.get_by_role("textbox", name="Name").fill("corporate")
        drawer.get_by_label("Issuer").fill(real.issuer)
        drawer.get_by_label("Client ID").fill(CLIENT)
        drawer.locator('input[type="password"]').fill(SECRET)
        drawer.get_by_role("combobox", name="Unknown people").click()
        console.get_by_role("option", name="get an account").click()
        drawer.get_by_role("button", name="Add provider").click()
        expect(drawer).to_be_hidden()
        real.start()
        check = console.get_by_role("button", name="Check corporate")
        check.click()
        expect(console.get_by_role("alert").filter(has_text="its keys are usable")).to_be_visible()
        with visiting(browser, world) as lin:
            lin.goto("/mine/resources")
            lin.get_by_role("link", name="Go on with corporate").click()
            lin.locator('input[name="sub"]').fill("lin")
            lin.get_by_role("button").first.click()
            expect(lin.get_by_role("heading", name="My resources", level=1)).to_be_visible()
            expect(lin.get_by_role("button", name="Signed in as Lin")).to_be_visible()
