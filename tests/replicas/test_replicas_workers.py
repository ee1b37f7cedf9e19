"""One parent with several workers over one PostgreSQL: they share the port, the work and what they know, and are kept alive."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from postgres_cluster import Cluster
from prometheus_client.parser import text_string_to_metric_families
from replica_fleet import Fleet, LightAgent, attached, enrol, running_fleet
from test_replicas_live import eventually, make, office, online

from controller.cli.worker_metrics import ask
from controller.store import schema

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
AGENTS_MAX = 40
"""The kernel chooses the worker for each: that all of so many come to the same one does not happen."""


@pytest.fixture
async def crew(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Fleet]:
    """One controller with two workers."""
    url = cluster.create("crew")
    schema.upgrade(url)
    async with running_fleet(tmp_path, url, 1, workers=2) as running:
        yield running


def state_of(crew: Fleet) -> Path:
    return crew.replicas[0].folder / "state"


async def samples(path: Path, name: str) -> dict[str, float]:
    """The samples of clients or without a kind, by worker."""
    text = (await ask(path, "/metrics")).decode()
    return {
        sample.labels.get("worker", ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels.get("kind", "client") == "client"
    }


async def held(crew: Fleet) -> dict[str, float]:
    """How many clients each worker holds."""
    return await samples(state_of(crew) / "metrics.sock", "ostiary_controller_agents_attached")


def pids(crew: Fleet) -> dict[str, int]:
    """The process of each worker, as the parent's log told last."""

    def told() -> Iterator[tuple[str, int]]:
        for line in crew.replicas[0].log().splitlines():
            said = json.loads(line) if line.startswith("{") else {}
            if said.get("event") == "worker.started":
                yield str(said["worker"]), said["pid"]

    return dict(told())


async def is_ready(crew: Fleet) -> bool:
    try:
        return json.loads(await ask(state_of(crew) / "workers.sock", "/healthz/ready"))["ready"] is True
    except OSError:
        return False


async def ended(pid_descriptor: int) -> None:
    """Wait until a process is gone, and with it every socket of it; closes the descriptor."""
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pid_descriptor, gone.set)
    try:
        async with asyncio.timeout(60):
            await gone.wait()
    finally:
        loop.remove_reader(pid_descriptor)
        os.close(pid_descriptor)


async def test_f7_workers_share_agents_and_changes_and_one_that_is_killed_loses_nothing(crew: Fleet) -> None:
    parent = crew.replicas[0]
    async with office(crew, agents_at=parent.url) as place, AsyncExitStack() as attachments:
        await attachments.enter_async_context(attached(place.connector, place.host))
        agents: list[LightAgent] = [place.host]
        accounts = [place.account]

        async def both_hold_some() -> bool:
            counts = await held(crew)
            return len(counts) == 2 and min(counts.values()) > 0

        while not await both_hold_some():
            assert len(agents) < AGENTS_MAX
            account = await make(place.owner, "service-accounts", name=f"robot-{len(agents)}")
            agents.append(await enrol(crew, "service", account, url=parent.url))
            accounts.append(account["id"])
            await attachments.enter_async_context(attached(agents[-1]))

        # What any worker is told reaches the agents of all.
        resource = await place.resource()
        for robot in accounts:
            grant = {"subject_kind": "service_account", "subject": robot, "resource": resource}
            await make(place.owner, "grants", **grant)
        for agent in agents:
            await agent.until(lambda one: one.holds(resource))

        before = pids(crew)
        victim, connections = before["1"], sum(agent.connections for agent in agents)
        lost = (await held(crew))["1"]
        ending = os.pidfd_open(victim)
        os.kill(victim, signal.SIGKILL)
        await ended(ending)  # only then the admin's client sees which of its idle connections went with it
        more = await place.resource()
        for robot in accounts:
            grant = {"subject_kind": "service_account", "subject": robot, "resource": more}
            await make(place.owner, "grants", **grant)
        for agent in agents:
            await agent.until(lambda one: one.holds(more))
            assert agent.revisions == sorted(agent.revisions)
        assert sum(agent.connections for agent in agents) >= connections + lost
        await eventually(lambda: is_ready(crew))
        assert pids(crew)["1"] != victim
        assert pids(crew)["2"] == before["2"]
        shown = state_of(crew) / "metrics.sock"
        assert await samples(shown, "ostiary_controller_worker_restarts_total") == {"1": 1.0, "2": 0.0}

        # Each worker's own numbers, by itself and in the parent's.
        for worker in ("1", "2"):
            own = await samples(state_of(crew) / f"metrics-{worker}.sock", "ostiary_controller_policy_revision")
            everybodys = await samples(shown, "ostiary_controller_policy_revision")
            assert own[""] == everybodys[worker] > 0

    assert parent.process is not None
    workers = pids(crew)
    parent.process.terminate()
    assert await asyncio.to_thread(parent.process.wait, 60) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers.values())


async def test_workers_end_when_their_parent_was_killed(crew: Fleet) -> None:
    workers = pids(crew)
    assert await is_ready(crew)
    # Before its end it is looked at: a worker that is no child of ours cannot be waited for.
    waiting = [os.pidfd_open(pid) for pid in workers.values()]
    crew.replicas[0].kill()
    for descriptor in waiting:
        await ended(descriptor)


async def test_every_worker_can_have_a_destination_tested(crew: Fleet) -> None:
    async with office(crew, agents_at=crew.replicas[0].url) as place, attached(place.connector):
        resource = await place.resource()
        address = (await place.owner.get(f"/api/v1/resources/{resource}")).json()["address"]
        token = place.owner.headers["Authorization"].removeprefix("Bearer ")
        path, body = f"/api/v1/connectors/{place.connector.id}/test", {"host": address, "port": 443}
        # Connections of their own: the kernel leads them to one worker or the other.
        for _ in range(8):
            async with crew.client(0, token) as somewhere:
                await eventually(lambda client=somewhere: online(client, place.connector.id))
                answer = await somewhere.post(path, json=body)
                assert answer.status_code == 200, answer.text
        assert len(place.connector.tested) == 8
