"""What `netcheck` finds, against a real TLS server and a portal on this host."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
from client_world import client_world, entry, online, running_daemon
from tls_material import tls_material

from client.daemon import captive, netcheck
from client.daemon.netcheck import NetworkCheck, Surroundings
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason
from runtime.clock import SystemClock
from runtime.trust import client_context, server_context


@pytest.fixture
def unused_port() -> int:
    """Bound by nobody: it was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def controller(date: str | None = None) -> AsyncIterator[int]:
    """Answers every request with an empty key set, at the time ``date``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        said = date or formatdate(usegmt=True)
        writer.write(f"HTTP/1.1 200 OK\r\nDate: {said}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        await writer.drain()
        writer.close()

    material = tls_material("localhost")
    context: ssl.SSLContext = server_context(material.cert_pem, material.key_pem)
    server = await asyncio.start_server(serve, "localhost", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def check(
    port: int, *, pinned: bool = True, relays: tuple[tuple[str, int], ...] = ()
) -> dict[str, dict[str, object]]:
    trusted = tls_material("localhost").ca_pem if pinned else None
    around = Surroundings(f"https://localhost:{port}", client_context(trusted), relays, pinned)
    found = await NetworkCheck(around, SystemClock(), mark=None).run()
    return {str(item["name"]): item for item in found["checks"]}


async def test_a_network_without_the_internet_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netcheck, "own_addresses", lambda mark: (None, None))
    async with controller() as port:
        found = await check(port)
    assert found["addresses"]["status"] == "ok"
    assert "no route to the internet" in str(found["addresses"]["sentence"])
    assert found["controller"]["status"] == "ok"


async def test_a_network_that_lets_everything_through() -> None:
    async with controller() as port:
        found = await check(port, relays=(("localhost", port),))
        for name in ("dns", "controller", "captive portal", "clock", "relay localhost"):
            assert found[name]["status"] == "ok", found[name]
        assert found["udp"]["status"] == "skipped"


async def test_a_clock_that_is_off_is_named_with_the_offset() -> None:
    async with controller("Wed, 01 Jan 2020 00:00:00 GMT") as port:
        clock = (await check(port))["clock"]
        assert (clock["status"], clock["reason"]) == ("warn", "clock_offset")
        assert "ahead" in str(clock["sentence"])


async def test_a_certificate_of_an_own_ca_is_a_finding_only_when_the_ca_is_known() -> None:
    async with controller() as port:
        found = await check(port, pinned=False)
        said = found["controller"]
        assert (said["status"], said["reason"], said["next"]) == ("skipped", "certificate_untrusted", "")
        assert "normal for a controller with its own CA" in str(said["sentence"])
        assert found["clock"]["status"] == "skipped"


async def test_a_name_that_does_not_resolve_is_not_said_of_a_connector() -> None:
    around = Surroundings("https://nothere.invalid", client_context(None))
    checks = (await NetworkCheck(around, SystemClock(), mark=None).run())["checks"]
    dns = next(item for item in checks if item["name"] == "dns")
    assert (dns["status"], dns["reason"]) == ("fail", "controller_unreachable")
    assert "nothere.invalid" in dns["sentence"]
    assert "connector" not in dns["sentence"]


async def test_a_relay_that_is_closed_is_named(unused_port: int) -> None:
    async with controller() as port:
        relay = (await check(port, relays=(("localhost", unused_port),)))["relay localhost"]
        assert (relay["status"], relay["reason"]) == ("fail", "relay_unreachable")


async def test_a_relay_whose_port_somebody_else_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 302 Found\r\n\r\n")
        writer.close()

    async def relay(port: int, ca: bytes) -> dict[str, object]:
        context = client_context(tls_material("localhost").ca_pem)
        around = Surroundings(
            f"https://localhost:{here}", context, (("localhost", port),), relay_context=client_context(ca)
        )
        checks = (await NetworkCheck(around, SystemClock(), mark=None).run())["checks"]
        found: dict[str, object] = next(item for item in checks if item["name"] == "relay localhost")
        return found

    own = tls_material("localhost").ca_pem
    async with controller() as here, await asyncio.start_server(plain, "localhost", 0) as server:
        found = await relay(server.sockets[0].getsockname()[1], own)
        assert (found["status"], found["reason"]) == ("fail", "tls_failed")
        assert "nobody speaks TLS" in str(found["sentence"])
        found = await relay(here, tls_material("another.example").ca_pem)
        assert (found["status"], found["reason"]) == ("fail", "certificate_untrusted")
        found = await relay(here, own)
        assert (found["status"], found["sentence"]) == ("ok", f"port {here} connects, and its certificate is right")


async def test_a_controller_that_is_away_is_a_failure(unused_port: int) -> None:
    found = await check(unused_port)
    assert found["controller"]["reason"] == "controller_unreachable"
    assert found["clock"]["status"] == "skipped"
    assert "not compared" in str(found["clock"]["sentence"])
    with pytest.raises(LocalError, match="http is accepted for this host itself only"):
        await NetworkCheck(Surroundings("http://c.example", client_context(None)), SystemClock(), mark=None).run()


async def test_the_daemon_checks_with_its_own_trust(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        await world.ask("status", verify_s=10.0)
        found = {item["name"]: item for item in (await world.ask("netcheck"))["checks"]}
        assert found["relay localhost"]["status"] == "ok"
        assert found["controller"]["reason"] != "certificate_untrusted"


async def test_a_relay_that_never_let_a_tunnel_through_is_checked_all_the_same(
    tmp_path: Path, unused_port: int
) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        world.paths = [replace(world.edge.path(), port=unused_port)]
        await world.ask("status", verify_s=10.0)
        found = await world.ask("netcheck")
        relay = next(item for item in found["checks"] if item["name"] == "relay localhost")
        assert (relay["status"], relay["reason"], found["ok"]) == ("fail", "relay_unreachable", False)


async def test_a_portal_is_asked_for_as_the_daemon_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/\r\n\r\n")
        writer.close()

    async with controller() as port, await asyncio.start_server(serve, "localhost", 0) as portal:
        monkeypatch.setattr(netcheck, "PORT", portal.sockets[0].getsockname()[1])
        found = (await check(port))["captive portal"]
    assert (found["status"], found["reason"]) == ("fail", "captive_network")
    assert asked[0].startswith(b"GET /.well-known/ostiary-captive HTTP/1.1\r\n")


async def test_a_silent_plain_http_server_is_no_portal(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr(captive, "PROBE_S", 0.1)
    async with controller() as port, await asyncio.start_server(silent, "localhost", 0) as server:
        monkeypatch.setattr(netcheck, "PORT", server.sockets[0].getsockname()[1])
        assert (await check(port))["captive portal"]["status"] == "ok"


async def test_a_step_that_takes_too_long_says_how_long_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_host: str) -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(netcheck, "STEP_MAX_S", 0.05)
    async with controller() as port:
        run = NetworkCheck(Surroundings(f"https://localhost:{port}", client_context(None)), SystemClock(), mark=None)
        monkeypatch.setattr(run, "_resolve", never)
        dns = next(item for item in (await run.run())["checks"] if item["name"] == "dns")
    assert "nothing within 0.05 s" in dns["sentence"]


async def test_without_a_controller_it_says_what_to_type(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world, running_daemon(world):
        with pytest.raises(RefusedError, match="ostiary netcheck https://CONTROLLER") as caught:
            await world.ask("netcheck")
        assert caught.value.reason is Reason.CONFIG_INVALID
