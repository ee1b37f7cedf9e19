"""A running relay: pairing, refusals, replacement, floods, keys, shutdown (C4, C12, C13; T-20 to T-22, T-25 to T-29)."""

import ast
import asyncio
import contextlib
import json
import re
import ssl
from pathlib import Path

import pytest
import structlog
from leg_server import settle
from recorders import Recorder
from relay_world import RELAY, connector_id, make_keyset, make_ticket, relay_world, signing_key
from tls_material import tls_material

import relay
from protocol.errors import RefusedError, RemoteError
from protocol.ids import RelayId, make_id, relay_hash
from protocol.reasons import Reason
from protocol.rendezvous import (
    ATTACH_PATH,
    CONNECT_PATH,
    CONTROL_PATH,
    LEG_PATH,
    KeysPushed,
    RelayReport,
    encode_relay_message,
    parse_relay_message_untrusted,
)
from relay.core.gate import Gate
from relay.core.registry import Registry
from runtime.http import request
from runtime.trust import client_context


async def refusal(dialling: object) -> Reason:
    with pytest.raises(RefusedError) as caught:
        await dialling  # type: ignore[misc]
    return caught.value.reason


# Pairing


async def test_a_parked_leg_and_a_client_are_joined() -> None:
    async with relay_world() as world:
        await world.attach()
        client, parked = await world.paired()
        up, down = Recorder(), Recorder()
        parked.set_receiver(up)
        client.set_receiver(down)
        client.write(b"up" * 100_000)
        parked.write(b"down" * 100_000)
        assert await up.received(200_000) == b"up" * 100_000
        assert await down.received(400_000) == b"down" * 100_000
        await world.until(pairs=1, parked=0, attachments=1, bytes_copied=600_000)
        client.close(Reason.ACCESS_REVOKED)
        assert await up.ended() is Reason.ACCESS_REVOKED
        await world.until(pairs=0)


async def test_a_client_waits_until_a_leg_is_brought() -> None:
    async with relay_world() as world:
        attached = await world.attach()
        connecting = asyncio.ensure_future(world.dial(CONNECT_PATH))
        await attached.asked_for_legs()
        assert not connecting.done()
        parked = await world.dial(LEG_PATH)
        receiver = Recorder()
        parked.set_receiver(receiver)
        (await connecting).write(b"hello")
        assert await receiver.received(5) == b"hello"


async def test_a_client_that_nobody_serves_is_refused_in_time() -> None:
    async with relay_world(registry=Registry(pairing_deadline_s=0.2)) as world:
        attached = await world.attach()
        assert await refusal(world.dial(CONNECT_PATH)) is Reason.PAIRING_TIMEOUT
        await attached.asked_for_legs()


async def test_a_client_that_gives_up_frees_its_place() -> None:
    async with relay_world() as world:
        attached = await world.attach()
        connecting = asyncio.ensure_future(world.dial(CONNECT_PATH))
        await attached.asked_for_legs()
        connecting.cancel()
        await world.until(waiting=0)
        parked = await world.dial(LEG_PATH)
        await world.until(parked=1)
        parked.close()
        await world.until(parked=0)


async def test_t24_bytes_on_a_leg_that_is_not_paired_end_it() -> None:
    async with relay_world() as world:
        await world.attach()
        parked = await world.dial(LEG_PATH)
        receiver = Recorder()
        parked.set_receiver(receiver)
        parked.write(b"too early")
        assert await receiver.ended() is Reason.PROTOCOL_ERROR
        await world.until(parked=0)


async def test_text_in_a_pair_ends_it() -> None:
    async with relay_world() as world:
        await world.attach()
        client, parked = await world.paired()
        up, down = Recorder(), Recorder()
        parked.set_receiver(up)
        client.set_receiver(down)
        client.write_text("hello")
        assert await down.ended() is Reason.PROTOCOL_ERROR
        assert await up.ended() is Reason.TUNNEL_LOST


async def test_a_connector_says_nothing_on_its_control_leg() -> None:
    async with relay_world() as world:
        attached = await world.attach()
        attached.leg.write_text("{}")
        assert await attached.recorder.ended() is Reason.PROTOCOL_ERROR
        await world.until(attachments=0)


# Who may come in


async def test_t20_only_a_proven_attachment_replaces_another_and_the_newest_wins() -> None:
    async with relay_world() as world:
        first = await world.attach()
        for squatter in (
            make_ticket("connector", key=signing_key("kid-attacker")),
            make_ticket("connector", relay=RelayId(make_id("relay", b"x" * 16))),
            make_ticket("client"),
            "",
        ):
            assert (await refusal(world.dial(ATTACH_PATH, ticket=squatter))).code.startswith(("token", "forbidden"))
        client, _ = await world.paired()
        assert first.recorder.reason is None
        second, third = await asyncio.gather(world.attach(), world.attach())
        assert await first.goodbye() is Reason.DUPLICATE_AGENT
        assert await first.recorder.ended() is Reason.DUPLICATE_AGENT
        await second.recorder.until(lambda _: bool(second.recorder.reason or third.recorder.reason))
        winner = second if second.recorder.reason is None else third
        assert {second.recorder.reason, third.recorder.reason} == {None, Reason.DUPLICATE_AGENT}
        await world.until(attachments=1)
        assert client.lost is None, "paired legs go on"
        connecting = asyncio.ensure_future(world.dial(CONNECT_PATH))
        await winner.asked_for_legs()
        await world.dial(LEG_PATH)
        await connecting


async def test_t21_a_ticket_reaches_its_own_connector_only() -> None:
    async with relay_world() as world:
        one, two = await world.attach(connector_id(1)), await world.attach(connector_id(2))
        await world.dial(LEG_PATH, connector_id(2))
        connecting = asyncio.ensure_future(world.dial(CONNECT_PATH, connector_id(1)))
        await one.asked_for_legs()
        assert two.messages == []
        await world.until(parked=1, waiting=1)
        connecting.cancel()
        elsewhere = make_ticket("client", relay=RelayId(make_id("relay", b"x" * 16)))
        assert await refusal(world.dial(CONNECT_PATH, ticket=elsewhere)) is Reason.TOKEN_AUDIENCE


async def test_t21_unknown_hashes_are_refused_like_connectors_that_are_away() -> None:
    async with relay_world() as world:
        assert await refusal(world.dial(CONNECT_PATH, connector_id(404))) is Reason.CONNECTOR_NOT_ATTACHED
        attached = await world.attach()
        attached.leg.close()
        await world.until(attachments=0)
        assert await refusal(world.dial(CONNECT_PATH)) is Reason.CONNECTOR_NOT_ATTACHED
        assert await refusal(world.dial(LEG_PATH)) is Reason.CONNECTOR_NOT_ATTACHED


async def test_a_leg_that_is_gone_is_not_given_to_a_client() -> None:
    async with relay_world() as world:
        attached = await world.attach()
        parked = await world.dial(LEG_PATH)
        await world.until(parked=1)
        parked.abort()
        await world.until(parked=0)
        connecting = asyncio.ensure_future(world.dial(CONNECT_PATH))
        await attached.asked_for_legs()
        connecting.cancel()


async def test_checking_signatures_is_limited_by_address() -> None:
    async with relay_world(gate=Gate(0.0, checks_per_address=1.0)) as world:
        reasons = [await refusal(world.dial(CONNECT_PATH, ticket="a.b.c")) for _ in range(6)]
    assert reasons[:2] == [Reason.TOKEN_MALFORMED] * 2
    assert Reason.RATE_LIMITED in reasons


async def test_other_requests_get_other_answers() -> None:
    async with relay_world() as world:
        context = client_context(tls_material().ca_pem)
        health = await request("GET", f"https://localhost:{world.port}/healthz", context=context)
        assert (health.status, health.body) == (200, b"ok\n")
        other = await request("GET", f"https://localhost:{world.port}/", context=context)
        assert (other.status, other.headers["ostiary-reason"]) == (404, "not_found")
        plain = await request("GET", f"https://localhost:{world.port}{CONNECT_PATH}", context=context)
        assert plain.status == 404


# What it knows and says (T-22)


async def test_t22_nothing_above_debug_names_anybody() -> None:
    with structlog.testing.capture_logs() as logs:
        async with relay_world() as world:
            await world.attach()
            client, parked = await world.paired()
            received = Recorder()
            parked.set_receiver(received)
            client.write(b"payload-marker")
            await received.received(14)
            await refusal(world.dial(CONNECT_PATH, ticket="a.b.c"))
            status, report = json.dumps(world.server.status()), world.server.report()
    shown = json.dumps([entry for entry in logs if entry["log_level"] != "debug"], default=str) + status
    everything = json.dumps(logs, default=str) + status + repr(report)
    assert relay_hash(connector_id()) not in shown
    assert "127.0.0.1" not in shown
    for marker in ("payload-marker", connector_id(), "eyJ"):
        assert marker not in everything
    assert report.attachments == (relay_hash(connector_id()),)


def test_t29_nothing_in_the_relay_dials_but_its_enrolment() -> None:
    dialling = re.compile(r"connect|dial|request|fetch|open_connection|sendto")
    allowed = {"connect_accepted_socket", "connect", "request", "_request", "RelayReport"}
    folder = Path(relay.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        if path.name == "enrol.py":
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                assert node.module not in ("runtime.leg", "runtime.sockets", "runtime.http", "runtime.agent_link"), path
                assert not {"dial_leg", "connect_socket", "create_connection"} & names, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name = node.func.attr
                if dialling.search(name) and not name.startswith("_"):
                    # ``registry.connect`` takes a client in; it is no socket's method.
                    assert name in allowed, f"{path}: {name}"
                    assert name != "connect" or ast.unparse(node.func) == "self._registry.connect", path


# Floods (T-25, T-26)


async def test_t25_connections_that_never_ask_do_not_keep_others_out() -> None:
    async with relay_world(gate=Gate(0.0, total=400, per_address=300), upgrade_deadline_s=1.0) as world:
        await world.attach()
        context = client_context(tls_material().ca_pem)
        silent = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(100)]
        half = await asyncio.gather(
            *(
                asyncio.open_connection("127.0.0.1", world.port, ssl=context, server_hostname="localhost")
                for _ in range(20)
            )
        )
        loop = asyncio.get_running_loop()
        start = loop.time()
        client, _ = await world.paired()
        assert loop.time() - start < 1.0
        # All of them are cut at the deadline; the pair is not.
        async with asyncio.timeout(60):
            for reader, _ in (*silent, *half):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
        await world.until(connections=3)
        assert client.lost is None
        for _, writer in (*silent, *half):
            writer.transport.abort()
        await settle()


async def test_t25_one_address_is_held_to_its_share() -> None:
    async with relay_world(gate=Gate(0.0, total=100, per_address=4)) as world:
        await world.attach()
        for _ in range(3):
            await world.dial(LEG_PATH)
        with pytest.raises(RemoteError) as caught:
            await world.dial(LEG_PATH)
        assert caught.value.reason in (Reason.RELAY_UNREACHABLE, Reason.TLS_FAILED)
        assert world.server.refusals["limit_exceeded"] == 1
        world.legs[1].close()
        await world.until(connections=3)
        await world.dial(LEG_PATH)


async def test_t26_tls_in_single_bytes_is_cut_at_the_deadline() -> None:
    async with relay_world(upgrade_deadline_s=0.3) as world:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context(tls_material().ca_pem).wrap_bio(incoming, outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = outgoing.read()
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        loop = asyncio.get_running_loop()
        start = loop.time()
        ended = asyncio.ensure_future(reader.read())
        for byte in hello:
            if ended.done():
                break
            with contextlib.suppress(ConnectionError):
                writer.write(bytes([byte]))
                await writer.drain()
            await asyncio.sleep(0.02)
        async with asyncio.timeout(60):
            await asyncio.gather(ended, return_exceptions=True)
        assert loop.time() - start < 3
        writer.transport.abort()
        await world.until(connections=0)


async def test_t27_bytes_before_a_waiting_client_is_answered_end_it() -> None:
    async with relay_world() as world:
        attached = await world.attach()
        context = client_context(tls_material().ca_pem)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", world.port, ssl=context, server_hostname="localhost"
        )
        writer.write(
            f"GET {CONNECT_PATH} HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {make_ticket('client')}\r\n\r\n".encode()
        )
        await attached.asked_for_legs()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(60):
            assert b" 400 " in await reader.readline()
        await world.until(waiting=0)
        writer.transport.abort()


# The controller's connection


async def test_the_controller_gets_reports_and_pushes_keys() -> None:
    async with relay_world(report_interval_s=0.02) as world:
        await world.attach()
        controller = await world.dial(CONTROL_PATH)
        recorder = Recorder()
        controller.set_receiver(recorder)
        await recorder.until(lambda own: len(own.texts) >= 3)
        report = parse_relay_message_untrusted(recorder.texts[0])
        assert isinstance(report, RelayReport)
        assert report.attachments == (relay_hash(connector_id()),)
        assert (report.parked, report.pairs, report.bytes_copied) == (0, 0, 0)
        controller.write_text(encode_relay_message(KeysPushed(make_keyset(signing_key(), signing_key("kid-2")))))
        async with asyncio.timeout(60):
            while not world.kept:
                await asyncio.sleep(0.005)
        assert set(world.kept[0][0].keys) == {"kid-1", "kid-2"}
        client = make_ticket("client", connector_id(9), key=signing_key("kid-2"))
        assert await refusal(world.dial(CONNECT_PATH, ticket=client)) is Reason.CONNECTOR_NOT_ATTACHED


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        encode_relay_message(KeysPushed("a.b.c")),
        encode_relay_message(RelayReport("0", 0, (), 0, 0, 0)),
    ],
)
async def test_a_bad_push_ends_the_connection_and_changes_nothing(text: str) -> None:
    async with relay_world() as world:
        controller = await world.dial(CONTROL_PATH)
        recorder = Recorder()
        controller.set_receiver(recorder)
        controller.write_text(text)
        assert await recorder.ended() is not Reason.NORMAL
        assert world.kept == []
        await world.until(controllers=0)
        await world.attach()


async def test_unknown_messages_of_a_newer_controller_are_ignored() -> None:
    async with relay_world(report_interval_s=0.02) as world:
        controller = await world.dial(CONTROL_PATH)
        recorder = Recorder()
        controller.set_receiver(recorder)
        controller.write_text('{"type": "from_the_future"}')
        await recorder.until(lambda own: len(own.texts) >= 3)
        assert recorder.reason is None


async def test_an_emergency_distrust_locks_the_old_keys_tickets_out() -> None:
    async with relay_world() as world:
        controller = await world.dial(CONTROL_PATH)
        controller.set_receiver(Recorder())
        controller.write_text(encode_relay_message(KeysPushed(make_keyset(signing_key("kid-2")))))
        async with asyncio.timeout(60):
            while not world.kept:
                await asyncio.sleep(0.005)
        assert (await refusal(world.dial(ATTACH_PATH))).code.startswith("token_")
        await world.attach(ticket=make_ticket("connector", key=signing_key("kid-2")))


# Shutdown


async def test_a_shutdown_says_goodbye_and_lets_pairs_drain() -> None:
    async with relay_world() as world:
        attached = await world.attach()
        client, parked = await world.paired()
        spare = await world.dial(LEG_PATH)
        up, left = Recorder(), Recorder()
        parked.set_receiver(up)
        spare.set_receiver(left)
        client.set_receiver(Recorder())
        draining = asyncio.ensure_future(world.server.drain(600.0))
        assert await attached.goodbye() is Reason.SHUTTING_DOWN
        assert await left.ended() is Reason.SHUTTING_DOWN
        client.write(b"still")
        assert await up.received(5) == b"still"
        with pytest.raises(RemoteError):
            await world.dial(ATTACH_PATH)
        assert not draining.done()
        client.close()
        async with asyncio.timeout(60):
            await draining


async def test_pairs_that_do_not_end_are_cut() -> None:
    async with relay_world() as world:
        await world.attach()
        client, _ = await world.paired()
        receiver = Recorder()
        client.set_receiver(receiver)
        await world.server.drain(0.05)
        assert await receiver.ended() is Reason.SHUTTING_DOWN


async def test_dead_connectors_are_noticed_by_their_silence() -> None:
    async with relay_world(ping_interval_s=0.05, dead_after_s=0.2) as world:
        attached = await world.attach(ping_interval_s=30.0)
        attached.leg.pause_reading()  # no pongs
        await world.until(attachments=0)


def test_the_relay_id_of_these_tests_is_an_id() -> None:
    assert RELAY.startswith("rel_")
