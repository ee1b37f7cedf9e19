"""What several controllers know together: who enforces what, and what the sinks have got."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from replica_fleet import Fleet, ReplicaProcess, TcpServer, attached
from test_replicas_live import eventually, make, office

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


async def line_of(client: httpx2.AsyncClient, agent: str) -> dict[str, Any]:
    """An agent's line of the table of enforcement."""
    answer = await client.get("/api/v1/enforcement", params={"limit": 100})
    assert answer.status_code == 200
    lines = {item["agent"]: item for item in answer.json()["items"]}
    found: dict[str, Any] = lines[agent]
    return found


async def test_every_replica_says_what_the_agents_of_the_others_enforce(fleet: Fleet) -> None:
    second = fleet.replicas[1]
    async with office(fleet, agents_at=second.url) as place:
        token = place.owner.headers["Authorization"].removeprefix("Bearer ")

        async def enforced(number: int, revision: int) -> bool:
            async with fleet.client(number, token) as client:
                said = await line_of(client, place.host.id)
            return bool(said["current"]) and said["enforced_revision"] >= revision

        async with attached(place.connector, place.host):
            resource = await place.resource()
            await place.grant(resource)
            await place.host.until(lambda agent: agent.holds(resource))
            for number in (0, 1):
                await eventually(lambda number=number: enforced(number, place.host.revision))
            known = place.host.revision

            # The agents' own replica dies: what they enforced stays true, and what they missed is outstanding.
            second.kill()
            missed = await place.resource()
            await place.grant(missed)

            async def outstanding() -> bool:
                said = await line_of(place.owner, place.host.id)
                return not said["current"] and said["pending_revision"] > known

            await eventually(outstanding)
            assert (await line_of(place.owner, place.host.id))["enforced_revision"] == known

            # It comes back, and it knows as much as the other one.
            await second.start()
            await place.host.until(lambda agent: agent.holds(missed))
            for number in (0, 1):
                await eventually(lambda number=number: enforced(number, place.host.revision))


class Siem(TcpServer):
    """A receiver of syslog over TCP (RFC 6587, octet counting). ``positions`` are the events' in the order of arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.positions: list[int] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while size := await reader.readuntil(b" "):
                frame = await reader.readexactly(int(size))
                self.positions.append(json.loads(frame[frame.index(b"{") :])["position"])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def leader_of(fleet: Fleet) -> ReplicaProcess:
    """The replica that was elected."""

    async def elected() -> bool:
        return any("leader.elected" in replica.log() for replica in fleet.replicas)

    await eventually(elected)
    return next(replica for replica in fleet.replicas if "leader.elected" in replica.log())


async def test_a_sink_gets_every_event_of_all_replicas_though_its_carrier_dies(fleet: Fleet) -> None:
    leader = await leader_of(fleet)
    number = 1 - fleet.replicas.index(leader)
    token = await fleet.sign_in(number)
    async with Siem().running() as siem, fleet.client(number, token) as client:
        await make(
            client,
            "sinks",
            name="siem",
            kind="syslog_tcp",
            destination=f"127.0.0.1:{siem.port}",
            content=["events"],
            from_start=True,
        )

        async def everything() -> bool:
            answer = await client.get("/api/v1/enforcement", params={"limit": 1})
            return set(siem.positions) == set(range(1, answer.json()["revision"] + 1))

        async with fleet.client(fleet.replicas.index(leader), token) as other:
            for turn in range(5):
                await make(client, "networks", name=f"here-{turn}")
                await make(other, "networks", name=f"there-{turn}")
        await eventually(everything)
        # One carries for all: nothing came twice.
        assert siem.positions == sorted(set(siem.positions))

        leader.kill()
        for turn in range(5):
            await make(client, "networks", name=f"after-{turn}")
        await eventually(everything)
