"""The console's frame in a real browser: sign-in and back, palette, keyboard, ended sessions, restarts."""

import pytest
from console_world import WHY_NOT, World, sign_in
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT), pytest.mark.xdist_group("console")]


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
