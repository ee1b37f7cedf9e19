"""Every test of this folder runs over SQLite and over PostgreSQL: the store promises the same of both."""

import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from postgres_cluster import Cluster, postgres_bin, running_cluster

from controller.store import Store, schema

_numbers = itertools.count(1)
TEMPLATE = "ostiary_template"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL cluster whose template database has the newest schema."""
    programs = postgres_bin()
    if programs is None:
        pytest.skip("POSTGRESQL IS NOT INSTALLED: nothing is tested on it (apt-get install postgresql)")
    with running_cluster(programs) as running:
        schema.upgrade(running.create(TEMPLATE))
        yield running


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the newest schema."""
    path = tmp_path_factory.mktemp("template") / "controller.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Which database."""
    return str(request.param)


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    name = f"empty_{next(_numbers)}"
    yield cluster.create(name)
    cluster.drop(name)


@pytest.fixture
def url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database with the newest schema."""
    if backend == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "controller.db")
        yield f"sqlite:///{tmp_path / 'controller.db'}"
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    name = f"test_{next(_numbers)}"
    yield cluster.create(name, template=TEMPLATE)
    cluster.drop(name)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open store over a fresh database."""
    opened = await Store.open(url)
    yield opened
    await opened.close()
