"""`serve` with real sockets and real TLS (D10, S-5, T-12, C12)."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from controller_api import OWNER, OWNER_PASSWORD, set_up
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from controller.agents import agent_socket
from controller.api.operations.keys import load_ca
from controller.cli import listening, serve, server, tls
from controller.identity.ca import LEAF_LIFE, CertificateAuthority, utc
from controller.identity.sealing import load_seal
from controller.settings import Settings
from controller.store import Store
from protocol.control import AGENT_PATH
from protocol.errors import LocalError
from protocol.reasons import Reason
from protocol.tokens.claims import Assertion
from protocol.tokens.issue import issue_assertion
from protocol.tokens.keys import generate_key
from runtime.clock import ManualClock, SystemClock
from runtime.lifecycle import Lifecycle
from runtime.trust import client_context


@dataclass
class Serving:
    """A controller that serves on a loopback port."""

    port: int
    ca: bytes
    life: Lifecycle
    done: "asyncio.Task[None]"

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=f"https://localhost:{self.port}", verify=client_context(self.ca))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def _serving(folder: Path, **more: Any) -> AsyncIterator[Serving]:
    clock = SystemClock()
    base = await set_up(folder, now=clock.wall())
    port = _free_port()
    settings = Settings(
        state_dir=base.state_dir,
        public_url=f"https://localhost:{port}",
        listen_host="127.0.0.1",
        listen_port=port,
        **more,
    )
    life = Lifecycle()
    ready = asyncio.Event()
    life.ready = lambda status="": ready.set()  # type: ignore[method-assign]
    task = asyncio.create_task(serve.run(settings, life))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
    store = await Store.open(settings.effective_database_url)
    ca = (await load_ca(load_seal(folder), store)).pem
    await store.close()
    try:
        yield Serving(port, ca, life, task)
    finally:
        life.stop.set()
        await task


async def test_the_whole_way_over_tls(tmp_path: Path) -> None:
    async with _serving(tmp_path) as serving, serving.client() as client:
        signed = await client.post("/api/v1/sessions", json={"email": OWNER, "password": OWNER_PASSWORD})
        assert signed.status_code == 201
        assert (await client.get("/healthz/ready")).status_code == 200
        assert "server" not in signed.headers
        assert signed.json()["address"] == "127.0.0.1"


async def test_s5_only_tls_1_3_without_tickets(tmp_path: Path) -> None:
    async with _serving(tmp_path) as serving:
        old = client_context(serving.ca)
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.open_connection("localhost", serving.port, ssl=old)
        _, writer = await asyncio.open_connection("localhost", serving.port, ssl=client_context(serving.ca))
        connection = writer.get_extra_info("ssl_object")
        assert connection.version() == "TLSv1.3"
        writer.close()
        with contextlib.suppress(ssl.SSLError, OSError):
            await writer.wait_closed()


async def test_d10_a_head_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_DEADLINE_S", 0.2)
    async with _serving(tmp_path) as serving:
        context = client_context(serving.ca)
        reader, writer = await asyncio.open_connection("localhost", serving.port, ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                assert await reader.read() == b""
        writer.close()
        async with serving.client() as client:
            assert (await client.get("/healthz/live")).status_code == 200


async def test_an_agent_without_an_assertion_is_told_so_before_the_upgrade(tmp_path: Path) -> None:
    async with _serving(tmp_path) as serving:
        with pytest.raises(InvalidStatus) as refused:
            await connect(
                f"wss://localhost:{serving.port}{AGENT_PATH}", ssl=client_context(serving.ca), compression=None
            )
        assert refused.value.response.status_code == 401
        assert refused.value.response.headers["Ostiary-Reason"] == "token_malformed"


async def test_d10_a_handshake_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HANDSHAKE_DEADLINE_S", 0.2)
    async with _serving(tmp_path) as serving:
        reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


async def test_d10_one_address_does_not_hold_all_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HTTP_PER_ADDRESS", 3)
    async with _serving(tmp_path) as serving:
        context = client_context(serving.ca)
        held = [await asyncio.open_connection("127.0.0.1", serving.port, ssl=context) for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", serving.port, ssl=context)
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                writer.write(b"GET /healthz/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert await reader.read() == b""
        for _, one in (*held, (reader, writer)):
            one.transport.abort()
        async with serving.client() as client:
            for _ in range(50):
                with contextlib.suppress(httpx2.TransportError):
                    assert (await client.get("/healthz/live")).status_code == 200
                    break


async def test_d10_heads_are_bounded_while_they_are_read(tmp_path: Path) -> None:
    async with _serving(tmp_path) as serving:
        reader, writer = await asyncio.open_connection("localhost", serving.port, ssl=client_context(serving.ca))
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                answer = await reader.read()
                assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        writer.close()


async def test_t12_many_large_bodies_at_once_are_refused_unread(tmp_path: Path) -> None:
    async with _serving(tmp_path) as serving:

        async def one() -> bytes:
            reader, writer = await asyncio.open_connection("localhost", serving.port, ssl=client_context(serving.ca))
            head = b"POST /api/v1/enroll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n"
            writer.write(head + b"x" * 4096)
            async with asyncio.timeout(60):
                status = await reader.readline()
            writer.transport.abort()
            return status

        statuses = await asyncio.gather(*(one() for _ in range(24)))
        assert {status.split()[1] for status in statuses} == {b"413"}
        async with serving.client() as client:
            assert (await client.get("/healthz/ready")).status_code == 200


async def test_plain_http_behind_a_proxy_believes_only_that_proxy(tmp_path: Path) -> None:
    for trusted, shown in (((), "127.0.0.1"), (("127.0.0.1",), "203.0.113.5")):
        folder = tmp_path / (trusted[0] if trusted else "none")
        folder.mkdir()
        async with (
            _serving(folder, tls="off", trusted_proxies=trusted) as serving,
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{serving.port}") as client,
        ):
            answer = await client.post(
                "/api/v1/sessions",
                json={"email": OWNER, "password": OWNER_PASSWORD},
                headers={"X-Forwarded-For": "203.0.113.5"},
            )
            assert answer.json()["address"] == shown


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(LocalError) as refused:
            listening.listen("127.0.0.1", taken.getsockname()[1])
        assert refused.value.reason is Reason.PORT_IN_USE
        assert str(taken.getsockname()[1]) in refused.value.detail
    for host in ("no.such.host.invalid", "203.0.113.77"):
        with pytest.raises(LocalError) as refused:
            listening.listen(host, 1)
        assert refused.value.reason is Reason.CONFIG_INVALID


@pytest.mark.parametrize("host", ["", "::"])
def test_both_families_are_served(host: str) -> None:
    with contextlib.ExitStack() as opened:
        listeners = [opened.enter_context(contextlib.closing(each)) for each in listening.listen(host, _free_port())]
        port = listeners[0].getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port), timeout=5).close()
    assert Settings().listen_host == "", "what nobody has set is every address"


def test_a_kernel_without_ipv6_is_served_over_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.bind

    def bind(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "no IPv6 here")
        real(self, address)

    monkeypatch.setattr(socket.socket, "bind", bind)
    with contextlib.ExitStack() as opened:
        listeners = [opened.enter_context(contextlib.closing(each)) for each in listening.listen("", _free_port())]
        assert [each.family for each in listeners] == [socket.AF_INET]
    with pytest.raises(LocalError):
        listening.listen("::", 1)


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> dict[str, Any]:
    """Joins two ends in memory; returns the server's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    pending: list[ssl.SSLObject] = [one, other]
    for _ in range(10):
        for end in list(pending):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                pending.remove(end)
        if not pending:
            break
    certificate = one.getpeercert()
    assert certificate is not None
    return certificate


def test_the_internal_certificate_is_renewed_under_a_running_server() -> None:
    until_renewal = (LEAF_LIFE - timedelta(days=20)).total_seconds()
    clock = ManualClock(wall=SystemClock().wall() - until_renewal)
    ca = CertificateAuthority.create("test", now=utc(clock.wall()))
    server_tls = tls.internal(ca, ("controller.example", "192.0.2.1"), clock.wall)
    client = client_context(ca.pem)
    first = _handshake(server_tls.context, client, "controller.example")
    for name in ("localhost", "127.0.0.1", "192.0.2.1"):
        assert _handshake(server_tls.context, client, name)["serialNumber"] == first["serialNumber"]
    assert not server_tls.renew_if_due(clock.wall())
    clock.advance(until_renewal)
    assert server_tls.renew_if_due(clock.wall())
    second = _handshake(server_tls.context, client, "controller.example")
    assert second["serialNumber"] != first["serialNumber"]


def test_certificate_files_are_read_again(tmp_path: Path) -> None:
    now = SystemClock().wall()
    ca = CertificateAuthority.create("test", now=utc(now))
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def write() -> None:
        leaf = ca.issue(["controller.example"], now=utc(now))
        certificate.write_bytes(leaf.chain)
        key.write_bytes(leaf.key)

    write()
    server_tls = tls.from_files(certificate, key)
    client = client_context(ca.pem)
    first = _handshake(server_tls.context, client, "controller.example")
    write()
    assert server_tls.renew_if_due(now)
    second = _handshake(server_tls.context, client, "controller.example")
    assert first["serialNumber"] != second["serialNumber"]
    key.write_bytes(b"garbage")
    with pytest.raises(LocalError) as refused:
        server_tls.renew_if_due(now)
    assert refused.value.reason is Reason.CONFIG_INVALID
    again = _handshake(server_tls.context, client, "controller.example")
    assert again["serialNumber"] == second["serialNumber"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    port = _free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OSTIARY_")}
    return {
        **kept,
        "OSTIARY_STATE_DIR": str(tmp_path / "state"),
        "OSTIARY_LISTEN_HOST": "127.0.0.1",
        "OSTIARY_LISTEN_PORT": str(port),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }


def test_the_installed_command_serves_says_ready_and_ends(tmp_path: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", "from controller.cli.main import main; main()"]

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    url = f"https://localhost:{environment['OSTIARY_LISTEN_PORT']}"
    assert run("init", "--public-url", url).returncode == 0
    down = run("health")
    assert (down.returncode, "next: Start it" in down.stderr) == (5, True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, (tmp_path / "log").open("wb") as log:
        systemd.bind(environment["NOTIFY_SOCKET"])
        systemd.settimeout(60)
        process = subprocess.Popen([*command, "serve"], env=environment, stdout=log, stderr=log)
        try:
            while b"READY=1" not in systemd.recv(4096):
                pass
            assert run("health", "--ready").stdout == "ready\n"
            assert json.loads(run("health", "--live", "--json").stdout)["ok"] is True
            second = run("serve")
            assert (second.returncode, "already in use" in second.stderr) == (1, True)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)
    assert code == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {"serving"} <= {line["event"] for line in lines}
    assert not [line for line in lines if line["level"] in ("error", "critical")]


def _upgrade(*more: str) -> bytes:
    lines = (
        f"GET {AGENT_PATH} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode()


def _bearer() -> str:
    """Of an agent that nobody knows: that it is, only who has read the header can tell."""
    now = int(SystemClock().wall())
    claims = Assertion("dev_AAAAAAAAAAAAAAAAAAAAAA", "https://localhost", "jti", now, now + 60)
    return f"Authorization: Bearer {issue_assertion(claims, generate_key())}"


@pytest.mark.parametrize("cut", [0, 40])
async def test_an_agents_headers_are_read_however_its_upgrade_comes(tmp_path: Path, cut: int) -> None:
    async with _serving(tmp_path) as serving:
        reader, writer = await asyncio.open_connection("localhost", serving.port, ssl=client_context(serving.ca))
        head = _upgrade(_bearer())
        writer.write(head[:cut])
        await writer.drain()
        writer.write(head[cut:])
        async with asyncio.timeout(60):
            answer = await reader.read()
        writer.transport.abort()
        assert answer.startswith(b"HTTP/1.1 401")
        assert b"ostiary-reason: token_key_unknown" in answer.lower()


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        ([_upgrade()], b"401"),
        ([_upgrade()[:40], _upgrade()[40:]], b"401"),
        ([_upgrade().replace(b"Upgrade: w", b"UPGRADE: w")], b"401"),
        # Refused before anybody looks at it; by whom depends on what is wrong.
        ([_upgrade(*(f"X-{number}: y" for number in range(65)))], b"403"),
        ([_upgrade("Authorization: Bearer " + "x" * 10_000)], b""),
        ([_upgrade("Authorization: Bearer " + "x" * 18_000)], b""),
        ([_upgrade("no header at all")], b""),
        ([_upgrade().replace(b"Key: dGhl", b"Key: d")], b"400"),
        ([_upgrade().replace(b"Connection: Upgrade\r\n", b"")], b"4"),
    ],
    ids=[
        "whole",
        "in two pieces",
        "capitals",
        "many headers",
        "long line",
        "long head",
        "no header",
        "wrong key",
        "no connection",
    ],
)
async def test_d10_an_agents_upgrade_is_bounded_however_it_comes(
    tmp_path: Path, pieces: list[bytes], answer: bytes
) -> None:
    async with _serving(tmp_path) as serving:
        reader, writer = await asyncio.open_connection("localhost", serving.port, ssl=client_context(serving.ca))
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(60):
            line = b""
            with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                line = await reader.readline()
                await reader.read()
        writer.transport.abort()
        assert line.removeprefix(b"HTTP/1.1 ").startswith(answer)
        assert not line.startswith(b"HTTP/1.1 101")


async def _refused(serving: Serving, cut: int = 0) -> asyncio.StreamWriter:
    """Returns a connection whose upgrade was refused, and which reads neither the answer nor that it is to end."""
    done = asyncio.Event()
    complete = agent_socket.AgentUpgrade.on_task_complete

    def completed(upgrade: agent_socket.AgentUpgrade, task: "asyncio.Task[None]") -> None:
        complete(upgrade, task)
        done.set()

    _, writer = await asyncio.open_connection("127.0.0.1", serving.port, ssl=client_context(serving.ca))
    writer.transport.pause_reading()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agent_socket.AgentUpgrade, "on_task_complete", completed)
        writer.write(_upgrade()[:cut])
        await asyncio.sleep(0.05)
        writer.write(_upgrade()[cut:])
        async with asyncio.timeout(60):
            await done.wait()
    return writer


async def _is_served(serving: Serving) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        async with serving.client() as client:
            return bool((await client.get("/healthz/live")).status_code == 200)
    return False


@pytest.mark.parametrize("cut", [0, 40])
async def test_d10_an_upgrade_that_was_refused_counts_for_its_address_until_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cut: int
) -> None:
    monkeypatch.setattr(server, "HTTP_PER_ADDRESS", 2)
    monkeypatch.setattr(agent_socket, "HANG_UP_S", 600.0)
    async with _serving(tmp_path) as serving:
        held = [await _refused(serving, cut) for _ in range(2)]
        assert not await _is_served(serving)
        assert "ASGI" not in caplog.text
        for one in held:
            one.transport.abort()
        async with asyncio.timeout(60):
            while not await _is_served(serving):
                await asyncio.sleep(0.05)


async def test_d10_whoever_does_not_take_its_refusal_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HTTP_PER_ADDRESS", 1)
    monkeypatch.setattr(agent_socket, "HANG_UP_S", 0.1)
    async with _serving(tmp_path) as serving:
        silent = await _refused(serving)
        # TLS alone would wait for its goodbye for half a minute.
        async with asyncio.timeout(20):
            while not await _is_served(serving):
                await asyncio.sleep(0.05)
        silent.transport.abort()
