"""The controller's metrics and readiness over the socket that it serves them on."""

import asyncio
from pathlib import Path

import pytest
from controller_api import running
from prometheus_client.parser import text_string_to_metric_families

from controller.domain import commands as c
from protocol.errors import LocalError
from protocol.ids import NetworkId
from protocol.reasons import Reason
from runtime.entropy import new_id


async def ask(path: Path, what: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(f"GET {what} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(60):
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split(" ")[1]), body


async def test_the_metrics_follow_the_policy(tmp_path: Path) -> None:
    async with running(tmp_path) as controller:
        services = controller.services
        async with services.store.write(actor="cli", request_id="r", now=controller.clock.wall()) as unit:
            await unit.execute(c.CreateNetwork(NetworkId(new_id("network")), "office"))
        status, body = await ask(tmp_path / "metrics.sock", "/metrics")
        assert status == 200
        values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }
        assert values["ostiary_controller_policy_revision",] == services.state.position
        assert values["ostiary_controller_agents_online", "connector"] == 0
        assert values["ostiary_controller_connection_records_total", "stored"] == 0
    assert not (tmp_path / "metrics.sock").exists()


async def test_ready_means_that_the_database_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as controller:
        path = tmp_path / "metrics.sock"
        assert (await ask(path, "/healthz/ready"))[0] == 200

        async def away(_: object) -> None:
            raise LocalError(Reason.UNAVAILABLE, "database: gone")

        monkeypatch.setattr(type(controller.services.store), "ping", away)
        status, body = await ask(path, "/healthz/ready")
        assert (status, "unavailable" in body) == (503, True)
        assert (await ask(path, "/healthz/live"))[0] == 200
