"""The API over PostgreSQL: what differs from SQLite is locks, types and what a text may hold."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from controller_api import Agent, Controller, code_of, running
from postgres_cluster import Cluster, postgres_bin, running_cluster

from protocol.enrolment import parse_untrusted

pytestmark = pytest.mark.skipif(postgres_bin() is None, reason="PostgreSQL is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    programs = postgres_bin()
    assert programs is not None
    with running_cluster(programs) as made:
        yield made


@pytest.fixture
async def controller(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Controller]:
    url = cluster.create("api")
    async with running(tmp_path, database_url=url) as made:
        yield made
    cluster.drop("api")


async def test_parallel_writes_agree(controller: Controller) -> None:
    owner = await controller.owner()
    grace = await controller.add_user("grace@corp.example")
    changes = (
        owner.patch(f"/api/v1/users/{grace.id}", json={"role": "admin"}, headers={"If-Match": '"1"'}) for _ in range(20)
    )
    assert sorted(answer.status_code for answer in await asyncio.gather(*changes)) == [200] + [412] * 19
    key = {"Idempotency-Key": "one-of-many"}
    creations = (owner.post("/api/v1/networks", json={"name": "office"}, headers=key) for _ in range(10))
    answers = await asyncio.gather(*creations)
    assert len({answer.text for answer in answers}) == 1
    network = answers[0].json()["id"]
    made = await owner.post("/api/v1/connectors", json={"network": network, "name": "c"})
    secret = parse_untrusted(made.json()["enrolment_token"]).secret
    agents = [Agent(controller.clock) for _ in range(8)]
    enrolled = await asyncio.gather(
        *(
            controller.http.post("/api/v1/enroll", json=agent.enrolment(secret, "connector", pin=agent.pin))
            for agent in agents
        )
    )
    assert sorted(answer.status_code for answer in enrolled) == [200] + [410] * 7


async def test_texts_that_postgresql_cannot_hold_are_refused(controller: Controller) -> None:
    owner = await controller.owner()
    json = {"Content-Type": "application/json"}
    for answer in (
        await owner.post("/api/v1/networks", json={"name": "a\0b"}),
        await owner.post("/api/v1/networks", content=b'{"name": "\\ud800"}', headers=json),
        await owner.get("/api/v1/events?stream=%00"),
        await owner.get("/api/v1/networks/%00"),
        await controller.http.post("/api/v1/sessions", json={"email": "a\0", "password": "x"}),
    ):
        assert answer.status_code in (400, 422)
        assert code_of(answer) == "invalid_input"
    assert (await owner.get("/api/v1/events", params={"until": "9999-12-31T23:59:59Z"})).status_code == 200
    assert (await owner.get("/api/v1/events", params={"cursor": "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMF0"})).status_code == 200
