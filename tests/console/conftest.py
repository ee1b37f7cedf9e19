"""One controller with some policy in it, and one browser, for all tests of the console."""

from collections.abc import Iterator

import console_world
import pytest
from console_world import World, sign_in, visiting
from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller with a network, a resource, a group and a grant."""
    with console_world.running(tmp_path_factory.mktemp("console")) as made:
        office = made.make("networks", name="office")
        wiki = made.make("resources", network=office, name="wiki", address="wiki.corp.internal", ports={"tcp": ["443"]})
        engineers = made.make("groups", name="engineers")
        made.make("grants", subject_kind="group", subject=engineers, resource=wiki)
        made.make("connectors", network=office, name="first")
        yield made


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser process."""
    with console_world.browser() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, world: World) -> Iterator[Page]:
    """A page where nobody is signed in."""
    with visiting(browser, world) as opened:
        yield opened


@pytest.fixture
def console(page: Page) -> Page:
    """The home page, the owner signed in."""
    page.goto("/sign-in")
    sign_in(page)
    page.wait_for_url("/")
    return page
