"""Delivery to real receivers: at least once, in order, from a stored cursor; strangers' addresses are never dialled (T-15)."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from empty_database import make_database
from flow_records import flow_record
from store_steps import give
from tls_material import TlsMaterial, tls_material

from controller.delivery import courier as module
from controller.delivery.courier import Courier, secret_name
from controller.delivery.stats import SinkStats
from controller.delivery.transports import HttpsTransport, SyslogTransport, parse_https, parse_syslog
from controller.domain import commands as c
from controller.identity.sealing import Seal
from controller.store import Store, records, secrets, sinks
from controller.store.sinks import Sink, SinkKind
from protocol.control import ConnectionRecord
from protocol.errors import RefusedError
from protocol.ids import ConnectorId, FlowId
from protocol.reasons import Reason
from runtime.clock import SystemClock
from runtime.entropy import new_id
from runtime.tasks import TaskScope
from runtime.trust import server_context

SEAL = Seal(b"k" * 32)
SINK = Sink("snk_1", "siem", "https", "", "", "connections events", 0, 0, 0)


def a_flow() -> ConnectionRecord:
    return flow_record(flow=FlowId(new_id("flow")), connector=ConnectorId("con_one"))


@dataclass
class Receiver:
    """A collector: takes what comes, or answers as told."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    lines: list[dict[str, object]] = field(default_factory=list)
    drop: int = 0
    """Connections to close without reading."""

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        raw = await reader.readexactly(int(re.search(r"Content-Length: (\d+)", head)[1]))  # type: ignore[index]
        self.heads.append(head)
        status = self.statuses.pop(0) if self.statuses else 204
        if status < 300:
            self.lines += [json.loads(line) for line in raw.splitlines()]
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nLocation: https://127.0.0.1/\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async def syslog(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.drop:
            self.drop -= 1
            writer.transport.abort()
            return
        try:
            while length := await reader.readuntil(b" "):
                frame = await reader.readexactly(int(length))
                self.lines.append(json.loads(frame.split(b"\xef\xbb\xbf", 1)[1]))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def seen(self, kind: str) -> list[object]:
        return [line["position" if kind == "event" else "flow"] for line in self.lines if line["type"] == kind]


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, material: TlsMaterial | None) -> AsyncIterator[int]:
    server = await asyncio.start_server(
        serve, "127.0.0.1", 0, ssl=None if material is None else server_context(material.cert_pem, material.key_pem)
    )
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    url = make_database(tmp_path / "controller.db")
    opened = await Store.open(url)
    await give(opened, c.InitialiseController("ctl_test", "https://ostiary.test"), now=SystemClock().wall())
    yield opened
    await opened.close()


async def add_sink(store: Store, kind: SinkKind, destination: str, *, token: str = "", ca_pem: str = "") -> Sink:
    sink = replace(SINK, kind=kind, destination=destination, ca_pem=ca_pem)
    async with store.transact() as db:
        await sinks.add(db, sink)
        if token:
            await secrets.put(db, secret_name(sink.id), SEAL.seal(secret_name(sink.id), token.encode()), 0.0)
    return sink


async def add_flows(store: Store, count: int) -> list[str]:
    flows = [a_flow() for _ in range(count)]
    async with store.transact() as db:
        await records.append(db, "con_one", flows)
    return [flow.flow for flow in flows]


@asynccontextmanager
async def carrying(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    *,
    loopback: bool = True,
    stats: dict[str, SinkStats] | None = None,
) -> AsyncIterator[None]:
    monkeypatch.setattr(module, "POLL_S", 0.01)
    monkeypatch.setattr(module.Backoff, "next", lambda _self: 0.01)
    courier = Courier(
        store, SEAL, SystemClock(), hostname=lambda: "ctl.test", process="1", loopback=loopback, stats=stats
    )
    async with TaskScope("test") as scope:
        scope.spawn(courier.run(), name="courier")
        yield
        scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def state(store: Store) -> Sink:
    async with store.read() as db:
        (sink,) = await sinks.list_all(db)
    return sink


async def test_https_gets_everything_in_order_and_once_when_nothing_fails(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    receiver, material = Receiver(), tls_material("127.0.0.1")
    async with listening(receiver.http, material) as port:
        await add_sink(store, "https", f"https://127.0.0.1:{port}/in", token="s3cret", ca_pem=material.ca_pem.decode())
        flows = await add_flows(store, 8)
        async with carrying(store, monkeypatch):
            await until(lambda: len(receiver.seen("connection")) == 8)
            flows += await add_flows(store, 2)
            await until(lambda: len(receiver.seen("connection")) == 10)
    assert receiver.seen("connection") == flows
    assert receiver.seen("event") == [1]
    assert "Authorization: Bearer s3cret" in receiver.heads[0]
    assert receiver.heads[0].startswith("POST /in HTTP/1.1")
    assert (await state(store)).failing_ms is None


async def test_t9_what_was_refused_is_sent_again_and_nothing_is_skipped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    receiver, material = Receiver(statuses=[500, 204, 302, 503]), tls_material("127.0.0.1")
    async with listening(receiver.http, material) as port:
        await add_sink(store, "https", f"https://127.0.0.1:{port}/in", ca_pem=material.ca_pem.decode())
        flows = await add_flows(store, 8)
        stats: dict[str, SinkStats] = {}
        async with carrying(store, monkeypatch, stats=stats):
            await until(lambda: len(receiver.seen("connection")) == 8 and stats["siem"].delivered == 9)
            assert (stats["siem"].failures, stats["siem"].failing) == (3, False)
    assert receiver.seen("connection") == flows


async def test_a_new_process_goes_on_behind_what_was_taken(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, material = Receiver(), tls_material("127.0.0.1")
    async with listening(receiver.http, material) as port:
        await add_sink(store, "https", f"https://127.0.0.1:{port}/in", ca_pem=material.ca_pem.decode())
        first = await add_flows(store, 2)
        async with carrying(store, monkeypatch):
            while (await state(store)).delivered < 3:
                await asyncio.sleep(0.01)
        second = await add_flows(store, 2)
        async with carrying(store, monkeypatch):
            await until(lambda: len(receiver.seen("connection")) >= 4)
    assert receiver.seen("connection") == first + second


@pytest.mark.parametrize("kind", ["syslog_tcp", "syslog_tls"])
async def test_syslog_receivers_get_frames_and_a_lost_connection_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, kind: SinkKind
) -> None:
    material = tls_material("127.0.0.1")
    receiver = Receiver(drop=2)
    async with listening(receiver.syslog, material if kind == "syslog_tls" else None) as port:
        ca_pem = material.ca_pem.decode() if kind == "syslog_tls" else ""
        await add_sink(store, kind, f"127.0.0.1:{port}", ca_pem=ca_pem)
        flows = await add_flows(store, 5)
        async with carrying(store, monkeypatch):
            await until(lambda: len(receiver.seen("connection")) >= 5)
    assert list(dict.fromkeys(receiver.seen("connection"))) == flows


async def test_t15_this_host_is_not_dialled_unless_that_is_allowed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver()
    async with listening(receiver.syslog, None) as port:
        await add_sink(store, "syslog_tcp", f"localhost:{port}")
        async with carrying(store, monkeypatch, loopback=False):
            while (sink := await state(store)).failing_ms is None:
                await asyncio.sleep(0.01)
    assert sink.failure == Reason.DESTINATION_FORBIDDEN.code
    assert receiver.lines == []


async def test_an_untrusted_receiver_gets_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, material, other = Receiver(), tls_material("127.0.0.1"), tls_material("other.example")
    async with listening(receiver.http, material) as port:
        await add_sink(store, "https", f"https://127.0.0.1:{port}/in", token="s3cret", ca_pem=other.ca_pem.decode())
        async with carrying(store, monkeypatch):
            while (sink := await state(store)).failing_ms is None:
                await asyncio.sleep(0.01)
    assert sink.failure == Reason.CERTIFICATE_UNTRUSTED.code
    assert (receiver.heads, "s3cret" in sink.detail) == ([], False)


async def test_after_a_restore_the_sink_goes_on_with_what_is_new(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cursors are ahead of the restored tables: what is written from now on must not wait to catch up with them."""
    receiver = Receiver()
    async with listening(receiver.syslog, None) as port:
        sink = replace(
            SINK, kind="syslog_tcp", destination=f"127.0.0.1:{port}", connections_seq=900, events_position=900
        )
        async with store.transact() as db:
            await sinks.add(db, sink)
        async with carrying(store, monkeypatch):
            while (await state(store)).events_position == 900:
                await asyncio.sleep(0.01)
            flows = await add_flows(store, 2)
            await until(lambda: len(receiver.seen("connection")) == 2)
    assert receiver.seen("connection") == flows


async def test_a_removed_sink_is_served_no_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver()
    async with listening(receiver.syslog, None) as port:
        await add_sink(store, "syslog_tcp", f"127.0.0.1:{port}")
        async with carrying(store, monkeypatch):
            await until(lambda: receiver.seen("event") == [1])
            async with store.transact() as db:
                assert await sinks.remove(db, "snk_1")
            await asyncio.sleep(0.05)
            await add_flows(store, 1)
            await asyncio.sleep(0.05)
    assert receiver.seen("connection") == []


@pytest.mark.parametrize(
    "url",
    [
        "http://h/",
        "https://",
        "https://u:p@h/",
        "https://h/?key=1",
        "https://h/#x",
        "ftp://h",
        "https://h:99999/",
        "h",
        "https://h/a b",
    ],
)
def test_a_secret_in_a_url_and_other_forms_are_refused(url: str) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_https(url)
    assert caught.value.reason is Reason.INVALID_INPUT


def test_syslog_destinations() -> None:
    assert parse_syslog("log.example") == ("log.example", 6514)
    assert parse_syslog("log.example:601") == ("log.example", 601)
    assert parse_syslog("[2001:db8::1]:601") == ("2001:db8::1", 601)
    for wrong in ("", ":1", "h:0", "h:x", "h:²", "h:" + "1" * 5_000, "u@h:1", "h/x:1"):
        with pytest.raises(RefusedError):
            parse_syslog(wrong)


def test_a_ca_that_is_none_is_refused() -> None:
    with pytest.raises(RefusedError):
        HttpsTransport("https://h/", token="", ca_pem="nonsense", loopback=False)
    with pytest.raises(RefusedError):
        SyslogTransport("h", 1, tls=True, ca_pem="nonsense", loopback=False, hostname="", process="")


def test_system_trust_is_the_default() -> None:
    assert isinstance(HttpsTransport("https://h/", token="", ca_pem="", loopback=False)._context, ssl.SSLContext)
