"""One lab with the whole product for all end-to-end tests; they drive nothing but installed commands."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.demo import missing_for_tun
from lab.hosts import Lab
from lab.processes import wait_for
from lab.product import Product
from lab.story import Story

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is an end-to-end test; without root and TUN it is skipped, and says why."""
    why = missing_for_tun()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            # They share one lab: one worker runs them all.
            item.add_marker(pytest.mark.xdist_group("lab"))
            if why:
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The private internet, without the product."""
    folder = tmp_path_factory.mktemp("lab")
    # pytest's folders are 0700; PostgreSQL runs as its own user and must reach its cluster.
    for parent in (folder, *folder.parents):
        if parent == Path("/tmp"):
            break
        parent.chmod(0o755)
    with Lab(folder, f"ost{os.getpid() % 10000}e") as built:
        yield built


@pytest.fixture(scope="session")
def product(lab: Lab) -> Product:
    """Controller, relay, connector and a signed-in client."""
    running = Product(lab)
    running.start_all(lab)
    return running


@pytest.fixture(scope="module")
def bench(product: Product) -> Iterator[Product]:
    """The product, with more servers in the office."""
    folder = product.lab.folder
    (folder / "flow-services.log").unlink(missing_ok=True)
    process = product.lab.daemon("servers", "flow-services", sys.executable, "-m", "lab.flow_services", str(folder))
    wait_for("the servers", lambda: "listening" in product.lab.log("flow-services"), 30)
    yield product
    product.lab.stop(process)


@pytest.fixture(scope="session")
def story(product: Product, lab: Lab) -> Story:
    return Story(product, lab)
