"""Every page of the console in both themes: axe finds nothing, and the first load stays small."""

import gzip
import json
import re
from typing import Literal

import pytest
from console_world import BUILD, ROOT, WHY_NOT, World, violations
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

FIRST_LOAD_MAX = 200_000
SETTLED = """async () => {
  for (let frame = 0; frame < 12; frame += 1) await new Promise(requestAnimationFrame);
}"""
"""Inherited colours pass from element to element, a frame each, however short their transitions are."""
PARTS = 3
"""Among so many tests the pages are shared out: one that axe goes through takes most of a second."""
PHONE = {"width": 390, "height": 844}


def pages() -> list[str]:
    """The paths that the areas declare, without those that need an id that only their own tests have."""
    texts = [file.read_text() for file in sorted((ROOT / "console/src/pages").glob("*/area.ts"))]
    return [path for text in texts for path in re.findall(r'path: "([^"]+)"', text)]


def filled(path: str, world: World) -> str | None:
    """The path of something that exists; None when there is none of its kind."""
    known = {
        "/resources/$id": world.ids["wiki"],
        "/networks/$id": world.ids["office"],
        "/groups/$id": world.ids["engineers"],
        "/connectors/$id": world.ids["first"],
    }
    if "$" not in path:
        return path
    return path.split("$")[0] + known[path] if path in known else None


def show(page: Page, path: str) -> None:
    """Opens a page and waits until nothing on it is still being loaded."""
    page.goto(path)
    page.get_by_role("heading", level=1).first.wait_for()
    expect(page.locator('[role="status"][aria-label^="Loading"]')).to_have_count(0, timeout=15_000)


def themed(page: Page, scheme: Literal["light", "dark"]) -> None:
    """Changes the theme, without transitions, and waits until the page has it."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator(f'html[data-mantine-color-scheme="{scheme}"]')).to_have_count(1)
    page.evaluate(SETTLED)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("part", range(PARTS))
def test_axe_finds_nothing_on_any_page_in_either_theme(console: Page, world: World, part: int) -> None:
    found: dict[str, list[str]] = {}
    for path in list(filter(None, (filled(path, world) for path in pages())))[part::PARTS]:
        show(console, path)
        themed(console, "light")
        found[path] = violations(console)
        themed(console, "dark")
        found[f"{path} in the dark"] = violations(console, rules="color-contrast")
    assert {path: broken for path, broken in found.items() if broken} == {}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_page_is_wider_than_a_phone(console: Page, world: World) -> None:
    console.set_viewport_size(PHONE)  # type: ignore[arg-type]
    wide = []
    for path in filter(None, (filled(path, world) for path in pages())):
        show(console, path)
        if console.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            wide.append(path)
    assert wide == []


def test_first_load_is_small_and_pages_are_loaded_when_they_are_shown() -> None:
    manifest = json.loads((BUILD / ".vite/manifest.json").read_text())
    first: set[str] = set()
    waiting = ["index.html"]
    while waiting:
        name = waiting.pop()
        if name not in first:
            first.add(name)
            waiting += manifest[name].get("imports", [])
    scripts = [(BUILD / manifest[name]["file"]).read_bytes() for name in first]
    assert sum(len(gzip.compress(script)) for script in scripts) <= FIRST_LOAD_MAX
    assert any("resources" in name for name in manifest["index.html"]["dynamicImports"])
    assert not [name for name in first if "/pages/" in name]


def test_axe_finds_nothing_in_drawers_and_dialogs(console: Page, world: World) -> None:
    found: list[str] = []
    show(console, "/resources")
    themed(console, "light")
    console.get_by_role("button", name="New resource").first.click()
    console.get_by_role("dialog").get_by_label("Name").wait_for()
    found += violations(console)
    show(console, f"/resources/{world.ids['wiki']}")
    console.get_by_role("button", name="Remove").click()
    console.get_by_role("dialog").get_by_text("This cannot be undone.").wait_for()
    found += violations(console)
    assert found == []
