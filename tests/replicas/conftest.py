"""Real controller processes over a real PostgreSQL; a cluster of its own, because it is stopped and started."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from postgres_cluster import Cluster, postgres_bin, running_cluster
from replica_fleet import Fleet, running_fleet

from controller.store import schema


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster that the test may stop."""
    programs = postgres_bin()
    if programs is None:
        pytest.skip("POSTGRESQL IS NOT INSTALLED: nothing is tested on it (apt-get install postgresql)")
    with running_cluster(programs) as running:
        yield running


@pytest.fixture
async def fleet(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Fleet]:
    """Two replicas, or as many as the test's parameter says."""
    url = cluster.create("fleet")
    schema.upgrade(url)
    async with running_fleet(tmp_path, url, getattr(request, "param", 2)) as running:
        yield running
