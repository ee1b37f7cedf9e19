"""One lab with the whole product for all end-to-end tests; they drive nothing but installed commands."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from lab.demo import missing_for_tun
from lab.hosts import Lab
from lab.processes import wait_for
from lab.product import Product
from lab.story import Story

HERE = Path(__file__).parent
URGENT = -10


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """What is promised in seconds goes before tests that only want a processor; the lab's programs inherit it."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, URGENT)
    try:
        return (yield)
    finally:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The private internet, without the product."""
    # Not in pytest's folder: each run of pytest that begins takes the others' rights on that away, and with them PostgreSQL's,
    # which is a user of its own, on its data.
    with tempfile.TemporaryDirectory(prefix="ostiary-e2e-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        try:
            with Lab(folder, f"ost{os.getpid() % 10000}e") as built:
                yield built
        finally:
            kept = tmp_path_factory.mktemp("lab")
            for log in folder.glob("*.log"):
                shutil.copy(log, kept)


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
