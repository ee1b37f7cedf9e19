"""The metrics server: what Prometheus reads, health that means what it says, bounded and harmless to strangers."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime import metrics as module
from runtime.metrics import Metric, MetricsServer, Source, counter, exposition, gauge, labelled, parse_listen


def collected() -> Iterable[Metric]:
    yield gauge("ostiary_test_flows", "Open flows.", 3)
    yield counter("ostiary_test_pairs_total", "Pairs.", 7)
    yield labelled("ostiary_test_outcomes_total", "counter", "Ends.", "reason", {"normal": 2, 'a"b\nc': 1})


class Program:
    """A program that can be made unready."""

    why: Mapping[str, str] | None = None

    async def why_not_ready(self) -> Mapping[str, str] | None:
        return self.why

    def server(self, listen: str | None, default: Path) -> MetricsServer:
        return MetricsServer(Source("test", collected, self.why_not_ready), listen, default)


async def ask(server: MetricsServer, request: bytes) -> bytes:
    if server.address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(server.address.removeprefix("unix:"))
    else:
        host, _, port = server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


def test_the_text_is_what_prometheus_reads() -> None:
    text = exposition(collected(), component="relay").decode()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["ostiary_test_flows",] == 3
    assert samples["ostiary_test_pairs_total",] == 7
    assert samples["ostiary_test_outcomes_total", 'a"b\nc'] == 1
    assert any(name == "ostiary_build_info" and "relay" in labels for name, *labels in samples)


async def test_metrics_and_health_are_served_on_a_socket_of_the_host(tmp_path: Path) -> None:
    program = Program()
    path = tmp_path / "run" / "metrics.sock"
    path.parent.mkdir()
    path.write_text("left by a dead process")
    async with program.server(None, path) as server:
        assert path.stat().st_mode & 0o007 == 0
        answer = await ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"ostiary_test_flows 3.0" in answer
        assert (await ask(server, b"GET /healthz/live HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert (await ask(server, b"GET /healthz/ready HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")
        program.why = {"reason": "unavailable"}
        answer = await ask(server, b"GET /healthz/ready?x HTTP/1.0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"reason": "unavailable"' in answer
        assert (await ask(server, b"GET /healthz/live HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert not path.exists()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"nonsense\r\n\r\n", b"405"),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", b""),
    ],
)
async def test_other_requests_get_short_answers(tmp_path: Path, request_: bytes, status: bytes) -> None:
    async with Program().server("127.0.0.1:0", tmp_path / "unused") as server:
        assert (await ask(server, request_))[9:12] == status


async def test_who_says_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_DEADLINE_S", 0.05)
    async with Program().server("127.0.0.1:0", tmp_path / "unused") as server:
        assert await ask(server, b"GET /metrics") == b""


async def test_head_has_no_body(tmp_path: Path) -> None:
    async with Program().server("127.0.0.1:0", tmp_path / "unused") as server:
        assert (await ask(server, b"HEAD /metrics HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")


async def test_a_place_that_was_asked_for_must_be_had_and_the_default_need_not(tmp_path: Path) -> None:
    async with Program().server("127.0.0.1:0", tmp_path / "unused") as server:
        with pytest.raises(LocalError):
            async with Program().server(server.address, tmp_path / "unused"):
                pass
    async with Program().server(None, tmp_path / ("x" * 200) / "metrics.sock") as without:
        assert without.address == "off"
    async with Program().server("off", tmp_path / "unused") as silent:
        assert silent.address == "off"


@pytest.mark.parametrize("listen", ["localhost:1", "9491", "127.0.0.1:x", "127.0.0.1:70000", "unix:relative", ""])
def test_a_wrong_place_is_named(listen: str) -> None:
    with pytest.raises(LocalError) as caught:
        parse_listen(listen, Path("/x"))
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "metrics_listen" in caught.value.detail


def test_places() -> None:
    assert parse_listen("[::1]:9491", Path("/x")) == ("::1", 9491)
    assert parse_listen("unix:/run/m.sock", Path("/x")) == Path("/run/m.sock")
    assert parse_listen(None, Path("/x")) == Path("/x")
    assert parse_listen("off", Path("/x")) is None
