"""Two admins at the same form: the second is told, keeps what he typed, and overwrites nothing."""

from collections.abc import Iterator

import pytest
from console_world import WHY_NOT, World
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT), pytest.mark.xdist_group("console")]

TOLD = "Somebody else has changed it meanwhile"
CONDITIONS = {"sign_in_max_age_s": 28_800}


@pytest.fixture
def other(console: Page) -> Iterator[Page]:
    """A second window, in which another change is made."""
    opened = console.context.new_page()
    yield opened
    opened.close()


def rename(page: Page, verb: str, save: str, name: str) -> None:
    """Opens the form of the page and sends another name."""
    page.get_by_role("button", name=verb, exact=True).click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_label("Name", exact=False).first.fill(name)
    drawer.get_by_role("button", name=save, exact=True).click()
    expect(drawer).to_be_hidden()


@pytest.mark.parametrize(
    ("kind", "verb", "save", "more"),
    [
        ("networks", "Edit", "Save", {}),
        ("groups", "Rename", "Rename", {}),
        ("policies", "Change", "Save policy", {"conditions": CONDITIONS}),
    ],
)
def test_the_slower_admin_is_told_and_overwrites_nothing(
    console: Page, other: Page, world: World, kind: str, verb: str, save: str, more: dict[str, object]
) -> None:
    path = f"/{kind}/{world.make(kind, name=f'{kind} before', **more)}"
    console.goto(path)
    console.get_by_role("button", name=verb, exact=True).click()
    drawer = console.get_by_role("dialog")
    name = drawer.get_by_label("Name").first
    name.fill("mine")
    other.goto(path)
    rename(other, verb, save, f"{kind} of another")
    expect(drawer.get_by_role("alert").filter(has_text=TOLD)).to_be_visible()
    expect(name).to_have_value("mine")
    drawer.get_by_role("button", name=save, exact=True).click()
    expect(drawer.get_by_text("It was changed by somebody else in the meantime.")).to_be_visible()
    assert world.ask("GET", "/api/v1" + path)["name"] == f"{kind} of another"
    drawer.get_by_role("button", name="Begin again from how it is now").click()
    expect(name).to_have_value(f"{kind} of another")
    name.fill(f"{kind} of both")
    drawer.get_by_role("button", name=save, exact=True).click()
    expect(console.get_by_role("heading", name=f"{kind} of both", level=1)).to_be_visible()


def test_a_role_that_another_gave_is_not_taken_back_unseen(console: Page, world: World) -> None:
    user = world.make("users", email="eve@corp.example", name="Eve", password="a quiet lighthouse")
    console.goto(f"/users/{user}")
    console.get_by_role("button", name="Change role").click()
    drawer = console.get_by_role("dialog")
    version = world.ask("GET", f"/api/v1/users/{user}")["version"]
    world.ask("PATCH", f"/api/v1/users/{user}", {"role": "auditor"})
    expect(drawer.get_by_role("alert").filter(has_text=TOLD)).to_be_visible()
    drawer.get_by_role("button", name="Give the role").click()
    expect(drawer.get_by_text("It was changed by somebody else in the meantime.")).to_be_visible()
    found = world.ask("GET", f"/api/v1/users/{user}")
    assert (found["role"], found["version"] > version) == ("auditor", True)
