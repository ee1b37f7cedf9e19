"""Every page of the console in both themes: axe finds nothing, and the first load stays small."""

import gzip
import json
import re

import pytest
from console_world import BUILD, ROOT, WHY_NOT, World, violations
from playwright.sync_api import Page

pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT), pytest.mark.xdist_group("console")]

FIRST_LOAD_MAX = 200_000
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


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_axe_finds_nothing_on_any_page_in_either_theme(console: Page, world: World) -> None:
    found: dict[str, list[str]] = {}
    for path in filter(None, (filled(path, world) for path in pages())):
        console.goto(path)
        console.get_by_role("heading", level=1).first.wait_for()
        console.wait_for_load_state("load")
        console.emulate_media(color_scheme="light", reduced_motion="reduce")
        found[path] = violations(console)
        console.emulate_media(color_scheme="dark", reduced_motion="reduce")
        found[f"{path} in the dark"] = violations(console, rules="color-contrast")
    assert {path: broken for path, broken in found.items() if broken} == {}


def test_no_page_is_wider_than_a_phone(console: Page, world: World) -> None:
    console.set_viewport_size(PHONE)  # type: ignore[arg-type]
    wide = []
    for path in filter(None, (filled(path, world) for path in pages())):
        console.goto(path)
        console.get_by_role("heading", level=1).first.wait_for()
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
