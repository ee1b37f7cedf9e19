"""Agents know the addresses of single replicas and need nothing in front of them (docs/replicas.md)."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from postgres_cluster import Cluster
from replica_fleet import Fleet, attached, running_fleet
from test_replicas_live import office

from controller.store import schema
from runtime.controllers import load_controllers
from runtime.files import StateDir

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.fixture
async def announcing(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Two replicas that agents reach under different host names."""
    url = cluster.create("fleet")
    schema.upgrade(url)
    async with running_fleet(tmp_path, url, 2, announced=("localhost", "127.0.0.1")) as running:
        yield running


async def test_f7_agents_leave_a_dead_replica_for_another_whose_address_they_were_told(
    announcing: Fleet, tmp_path: Path
) -> None:
    first, second = announcing.replicas
    there = f"https://127.0.0.1:{second.port}"
    state = StateDir(tmp_path)
    async with office(announcing, agents_at=first.url) as place:
        place.connector.known = load_controllers(state, first.url, time.time)
        async with attached(place.connector, place.host):
            assert place.connector.at == place.host.at == first.url
            first.kill()
            for agent in (place.connector, place.host):
                await agent.until(lambda one: one.connections > 1)
                assert agent.at == there, "by its own host name, with a certificate for it by the pinned CA"
        place.connector.known = load_controllers(state, first.url, time.time)
        assert place.connector.known.last == there, "the next start begins where the last one ended"
        async with attached(place.connector):
            await place.connector.until(lambda one: one.connections > 2)
            assert place.connector.at == there
