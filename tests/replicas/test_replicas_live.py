"""Any number of controllers over one database: whatever is done at one is so at all of them."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from replica_fleet import DEADLINE_S, Balancer, Fleet, LightAgent, attached, enrol
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from protocol.control import AGENT_PATH
from runtime.trust import client_context

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
_names = itertools.count(1)


async def make(client: httpx2.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@dataclass
class Office:
    """A network with a connector, and a service account with a host."""

    owner: httpx2.AsyncClient
    network: str
    account: str
    connector: LightAgent
    host: LightAgent

    async def resource(self) -> str:
        number = next(_names)
        made = await make(
            self.owner,
            "resources",
            network=self.network,
            name=f"r{number}",
            address=f"h{number}.internal",
            ports={"tcp": ["443"]},
        )
        return str(made["id"])

    async def grant(self, resource: str, owner: httpx2.AsyncClient | None = None) -> str:
        made = await make(
            owner or self.owner, "grants", subject_kind="service_account", subject=self.account, resource=resource
        )
        return str(made["id"])


@asynccontextmanager
async def office(fleet: Fleet, *, agents_at: str) -> AsyncIterator[Office]:
    """Everything is made at the first replica; the agents talk to ``agents_at``."""
    async with fleet.client(0, await fleet.sign_in(0)) as owner:
        network = (await make(owner, "networks", name="office"))["id"]
        account = await make(owner, "service-accounts", name="robot")
        made = await make(owner, "connectors", network=network, name="gate")
        connector = await enrol(fleet, "connector", made, url=agents_at)
        host = await enrol(fleet, "service", account, url=agents_at)
        yield Office(owner, network, account["id"], connector, host)


async def online(client: httpx2.AsyncClient, connector: str) -> bool:
    answer = await client.get(f"/api/v1/connectors/{connector}")
    assert answer.status_code == 200
    return bool(answer.json()["online"])


async def eventually(condition: Any, deadline_s: float = DEADLINE_S) -> float:
    """Asks until it is so; returns how long that took."""
    started = time.monotonic()
    async with asyncio.timeout(deadline_s):
        while not await condition():
            await asyncio.sleep(0.05)
    return time.monotonic() - started


async def test_a_change_at_one_replica_reaches_the_agents_of_another_within_a_second(fleet: Fleet) -> None:
    async with office(fleet, agents_at=fleet.replicas[1].url) as place, attached(place.connector, place.host):
        for _ in range(5):
            resource = await place.resource()
            grant = await place.grant(resource)
            assert await place.host.until(lambda agent, wanted=resource: agent.holds(wanted)) < 1
            assert await place.connector.until(lambda agent, wanted=resource: agent.holds(wanted)) < 1
            await place.owner.delete(f"/api/v1/grants/{grant}")
            assert await place.host.until(lambda agent, wanted=resource: not agent.holds(wanted)) < 1
            cut = await place.connector.until(
                lambda agent, wanted=resource: any(wanted in str(m) for m in agent.revoked)
            )
            assert cut < 1


async def test_every_replica_says_who_is_online_and_reads_what_was_just_written(fleet: Fleet) -> None:
    async with office(fleet, agents_at=fleet.replicas[1].url) as place:
        token = place.owner.headers["Authorization"].removeprefix("Bearer ")
        async with fleet.client(1, token) as elsewhere:
            async with attached(place.connector):
                for client in (place.owner, elsewhere):
                    assert await eventually(lambda client=client: online(client, place.connector.id)) < 5

            async def offline() -> bool:
                return not await online(place.owner, place.connector.id)

            await eventually(offline)
            for _ in range(30):
                resource = await place.resource()
                assert (await elsewhere.get(f"/api/v1/resources/{resource}")).status_code == 200


async def test_d7_an_assertion_that_one_replica_took_is_spent_at_the_others(fleet: Fleet) -> None:
    async with office(fleet, agents_at=fleet.replicas[1].url) as place:
        assertion = place.connector.assertion()

        def dial(number: int) -> connect:
            return connect(
                f"wss://localhost:{fleet.replicas[number].port}{AGENT_PATH}",
                ssl=client_context(fleet.ca),
                additional_headers={"Authorization": f"Bearer {assertion}"},
                compression=None,
                proxy=None,
            )

        async with dial(0):
            pass
        for number in (0, 1):
            with pytest.raises(InvalidStatus) as refused:
                await dial(number)
            assert refused.value.response.headers["Ostiary-Reason"] == "token_revoked"


async def test_a_session_that_ended_at_one_replica_has_ended_at_all(fleet: Fleet) -> None:
    token = await fleet.sign_in(0)
    async with fleet.client(0, token) as here, fleet.client(1, token) as there:
        assert (await there.get("/api/v1/me")).status_code == 200
        assert (await here.delete("/api/v1/sessions/current")).status_code == 204
        assert (await there.get("/api/v1/me")).status_code == 401


@pytest.mark.parametrize("fleet", [3], indirect=True)
async def test_f7_a_replica_killed_under_writers_loses_nothing_and_its_agents_come_back(fleet: Fleet) -> None:
    async with Balancer([replica.port for replica in fleet.replicas]).running() as balancer:
        entrance = f"https://localhost:{balancer.port}"
        async with office(fleet, agents_at=entrance) as place:
            owner = place.owner.headers["Authorization"].removeprefix("Bearer ")
            acknowledged: dict[str, str] = {}
            stop = asyncio.Event()

            async def writer(number: int) -> None:
                async with fleet.client(number % 3, owner) as client:
                    while not stop.is_set():
                        name = f"net-{next(_names)}"
                        try:
                            answer = await client.post("/api/v1/networks", json={"name": name})
                        except httpx2.TransportError:
                            await asyncio.sleep(0.05)
                            continue
                        if answer.status_code == 201:
                            acknowledged[name] = answer.json()["id"]

            async with attached(place.connector, place.host):
                writers = [asyncio.create_task(writer(number)) for number in range(6)]
                await asyncio.sleep(0.5)
                connections = place.connector.connections + place.host.connections
                for number in (1, 2):
                    fleet.replicas[number].kill()
                await asyncio.sleep(0.5)
                stop.set()
                await asyncio.gather(*writers)
                resource = await place.resource()
                await place.grant(resource)
                # Both may have been attached to the one that lives; else they are back within the backoff's cap.
                assert await place.host.until(lambda agent: agent.holds(resource)) < 6
                assert await place.connector.until(lambda agent: agent.holds(resource)) < 6
                assert place.connector.connections + place.host.connections >= connections
            for agent in (place.connector, place.host):
                assert agent.revisions == sorted(agent.revisions)
            assert acknowledged
            listed: dict[str, str] = {}
            cursor: str | None = ""
            while cursor is not None:
                answer = await place.owner.get(
                    "/api/v1/networks", params={"limit": 100, **({"cursor": cursor} if cursor else {})}
                )
                page = json.loads(answer.text)
                listed |= {item["name"]: item["id"] for item in page["items"]}
                cursor = page["next_cursor"]
            assert {name: listed.get(name) for name in acknowledged} == acknowledged


async def test_a_destination_is_tested_from_a_connector_of_any_replica(fleet: Fleet) -> None:
    async with office(fleet, agents_at=fleet.replicas[1].url) as place, attached(place.connector):
        resource = await place.resource()
        address = (await place.owner.get(f"/api/v1/resources/{resource}")).json()["address"]
        token = place.owner.headers["Authorization"].removeprefix("Bearer ")
        async with fleet.client(1, token) as elsewhere:
            for client in (place.owner, elsewhere):
                await eventually(lambda client=client: online(client, place.connector.id))
                body = {"host": address, "port": 443}
                answer = await client.post(f"/api/v1/connectors/{place.connector.id}/test", json=body)
                assert answer.status_code == 200, answer.text
                told = answer.json()
                assert (told["connected"], told["address"], told["connect_ms"]) == (True, "192.0.2.7", 0.9)
        assert place.connector.tested == [(address, 443)] * 2
