"""The topology as it was: a moment is chosen by slider, key, button and link, and what was there then is there again."""

import re

import pytest
from console_world import WHY_NOT, World, violations
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT), pytest.mark.xdist_group("console")]

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def ledger(world: World) -> str:
    """A resource on which a group held a grant for a while."""
    world.make("groups", name="bookkeepers")
    return world.make(
        "resources",
        network=world.ids["office"],
        name="ledger",
        address="ledger.corp.internal",
        ports={"tcp": ["443"]},
    )


def grant(world: World, resource: str) -> str:
    """Lets the bookkeepers reach it; returns the grant's path."""
    made = world.make("grants", subject_kind="group", subject=world.ids["bookkeepers"], resource=resource)
    return f"/api/v1/grants/{made}"


def slider_of(page: Page) -> Locator:
    return page.get_by_role("slider", name="Moment that is shown")


def test_a_removed_grant_is_there_again_at_a_moment_when_it_held(console: Page, world: World, ledger: str) -> None:
    path = grant(world, ledger)
    console.goto(f"/topology?view=table&focus={ledger}")
    table = console.get_by_role("region", name="Topology")
    tie = table.get_by_role("row").filter(has_text="bookkeepers").filter(has_text="holds")
    expect(tie).to_have_count(1)
    world.ask("DELETE", path)
    expect(tie).to_have_count(0)
    console.get_by_role("button", name="Go back in time").click()
    slider, told = slider_of(console), console.get_by_role("region", name="Moment").get_by_role("status")
    expect(slider).to_have_attribute("aria-valuetext", "now")
    slider.press("PageDown")
    expect(told).to_contain_text("grant.revoked")
    expect(tie).to_have_count(0)
    slider.press("PageDown")
    expect(told).to_contain_text("grant.created")
    expect(tie).to_contain_text("gone now")
    # Connectors are drawn, but what they do is of now.
    expect(table.get_by_role("row").filter(has_text="Connector first").first).to_contain_text("not enrolled now")
    console.reload()
    expect(tie).to_have_count(1)
    slider.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "now")
    expect(tie).to_have_count(0)
    slider.press("Home")
    expect(console.get_by_role("alert").filter(has_text="It was not there")).to_be_visible()
    console.get_by_role("button", name="Back to now").click()
    expect(slider).to_be_hidden()
    expect(console).not_to_have_url(re.compile(r"[?&](at|span)="))


def test_the_picture_of_a_past_moment_is_for_everybody(console: Page, world: World, ledger: str) -> None:
    path = grant(world, ledger)
    world.ask("DELETE", path)
    console.emulate_media(reduced_motion="reduce")
    console.goto(f"/topology?span=1d&focus={ledger}")
    console.get_by_role("button", name="Change before").click()
    expect(console.get_by_role("region", name="Moment").get_by_role("status")).to_contain_text("grant.revoked")
    console.get_by_role("button", name="Change before").click()
    group = console.get_by_role("button", name="bookkeepers", exact=False)
    expect(group).to_be_visible()
    expect(console.get_by_text("0 pairs of device and resource permitted")).to_be_visible()
    assert violations(console) == []
    console.set_viewport_size(PHONE)  # type: ignore[arg-type]
    # A page that is shown takes some frames to follow its window: this is about one that was opened there.
    console.reload()
    expect(group).to_be_visible()
    assert not console.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    console.get_by_role("link", name="Why: access explorer").click()
    expect(console.get_by_role("heading", name="Access explorer", level=1)).to_be_visible()
    expect(console.get_by_label("When")).not_to_have_value("")
