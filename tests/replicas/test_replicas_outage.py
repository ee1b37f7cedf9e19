"""PostgreSQL stops and comes back under running controllers (F-10)."""

import asyncio
import time

import httpx2
import pytest
from postgres_cluster import Cluster
from replica_fleet import Fleet, attached
from test_replicas_live import eventually, office

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


async def test_f10_without_the_database_writes_are_refused_and_known_state_goes_on(
    fleet: Fleet, cluster: Cluster
) -> None:
    async with office(fleet, agents_at=fleet.replicas[1].url) as place:
        resource = await place.resource()
        async with attached(place.connector, place.host):
            await place.grant(resource)
            await place.host.until(lambda agent: agent.holds(resource))
            connections = place.host.connections
            await asyncio.to_thread(cluster.stop, "immediate")
            for _ in range(3):
                started = time.monotonic()
                answer = await place.owner.post("/api/v1/networks", json={"name": "late"})
                assert time.monotonic() - started < 5
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert int(answer.headers["retry-after"]) >= 1
            assert (await place.owner.get("/healthz/ready")).status_code == 503
            assert (await place.owner.get("/healthz/live")).status_code == 200
            # Its connection lives, and a new one gets what is known.
            assert place.host.connections == connections
            place.host._link.network_changed()
            place.host.snapshot = {}
            place.host.revision = 0
            await place.host.until(lambda agent: agent.connections > connections, 10)
            await place.host.until(lambda agent: agent.holds(resource), 10)

            await asyncio.to_thread(cluster.start)

            async def writes() -> bool:
                return (await place.owner.post("/api/v1/networks", json={"name": "back"})).status_code in (201, 409)

            assert await eventually(writes) <= 3
            assert (await place.owner.get("/healthz/ready")).status_code == 200
            other = await place.resource()
            await place.grant(other)
            assert await place.host.until(lambda agent: agent.holds(other)) < 3
        for replica in fleet.replicas:
            assert replica.process is not None
            assert replica.process.poll() is None


async def test_f10_what_was_written_meanwhile_is_not_missed(fleet: Fleet, cluster: Cluster) -> None:
    async with office(fleet, agents_at=fleet.replicas[1].url) as place:
        resources: list[str] = []

        async def granted() -> bool:
            try:
                resource = await place.resource()
                await place.grant(resource)
            except (AssertionError, httpx2.TransportError):
                return False
            resources.append(resource)
            return True

        async with attached(place.host):
            for _ in range(3):
                await asyncio.to_thread(cluster.stop, "immediate")
                await asyncio.to_thread(cluster.start)
                await eventually(granted)
                assert await place.host.until(lambda agent, wanted=resources[-1]: agent.holds(wanted)) < 3
