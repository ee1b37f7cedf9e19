"""The connector's key is changed under open connections, and a crash anywhere leaves a key that works (C5, F-23)."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from connector_lab import ClientStream, echo_server, port_of
from connector_world import acl, entry
from test_connector_daemon import Stage, staged

from connector.identity import (
    CERTIFICATE_FILE,
    KEY_FILE,
    NEXT_KEY_FILE,
    certificate_made_at,
    load_identity,
    load_next_key,
    make_certificate,
    save_next_key,
)
from connector.rotation import DAY_S, KeyRotation
from connector.status import status_handler
from protocol.control import Hello, Message
from protocol.control_keys import AnnounceKey, KeyAnnounced
from protocol.ids import SpkiPin
from protocol.reasons import Reason
from protocol.streams import encode_proof
from protocol.tokens.keys import generate_key, key_from_jwk_untrusted, key_to_pem, pin_of, public_jwk
from protocol.tokens.verify import verify_assertion, verify_rotation
from runtime.backoff import Backoff
from runtime.clock import SystemClock
from runtime.files import StateDir
from runtime.status_socket import Peer
from runtime.tunnel import Tunnel

WHITELIST = acl(entry("127.0.0.0/8", lease_s=30))


def with_rotation(stage: Stage, *, every_days: float = 0.0, overlap_s: float = 60.0) -> KeyRotation:
    """Gives a daemon that was not started yet a rotation that a test can wait for."""
    stage.daemon.rotation = KeyRotation(
        stage.daemon,
        stage.daemon.link,
        stage.state,
        SystemClock(),
        every_days=every_days,
        overlap_s=overlap_s,
        make_backoff=lambda: Backoff(initial_s=0.001, cap_s=0.02),
    )
    return stage.daemon.rotation


def answer_announcements(stage: Stage, answer: Callable[[AnnounceKey], KeyAnnounced | None]) -> None:
    """Makes the fake controller answer AnnounceKey besides what it answers anyway."""
    before = stage.controller.on_message

    def react(message: Message) -> None:
        if before is not None:
            before(message)
        reply = answer(message) if isinstance(message, AnnounceKey) else None
        if reply is not None:
            stage.scope.spawn(stage.controller.push(reply), name="announced")

    stage.controller.on_message = react


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def client(stage: Stage, *pins: SpkiPin) -> Tunnel:
    """A client that was told these pins comes through the relay and proves itself."""
    tunnel = Tunnel.client(await stage.relay.connect(), pins, SystemClock())
    await tunnel.handshake(10)
    stage.clients.append(tunnel)
    stage.world.pins = pins
    proof = ClientStream(tunnel.open_stream())
    token = stage.world.access(WHITELIST, issued_at=stage.now)
    proof.stream.write(encode_proof(stage.world.proof(token, exporter=tunnel.exporter(), pin=tunnel.peer_pin)))
    assert (await proof.answer()).reason is None
    return tunnel


async def test_f23_a_key_is_changed_under_open_connections(tmp_path: Path) -> None:
    async with staged(tmp_path, start=False) as stage, await echo_server() as server:
        rotation = with_rotation(stage, overlap_s=1.5)
        answer_announcements(stage, lambda message: KeyAnnounced(message.id, wait_s=0.3))
        stage.start()
        await stage.controller.wait_for(Hello)
        await stage.enforce(stage.config(WHITELIST))
        old = stage.identity
        before = await client(stage, old.pin)
        open_flow = stage.open(before, port_of(server), 1, b"one")
        await open_flow.until_data(3)

        await status_handler(stage.daemon)("rotate-key", {}, Peer(0, 0, 0), None)  # type: ignore[arg-type]
        announced = await stage.controller.wait_for(AnnounceKey)
        now = SystemClock().wall()
        statement = verify_rotation(
            announced.statement, key=old.key.public_key(), audience=stage.controller.url, now=now
        )
        new_key = key_from_jwk_untrusted(statement.jwk)
        assert (
            verify_assertion(announced.proof, key=new_key, audience=stage.controller.url, now=now).agent
            == old.connector
        )
        new_pin = pin_of(new_key)
        assert rotation.next_pin == new_pin
        stage.controller.drop()
        assert (await stage.controller.wait_for(Hello, nth=2)).next_pin == new_pin

        await until(lambda: stage.daemon.identity.pin == new_pin)
        assert (await stage.controller.wait_for(Hello, nth=3)).pin == new_pin
        token = stage.controller.authorizations[-1].removeprefix("Bearer ")
        wall = SystemClock().wall()
        assert verify_assertion(token, key=new_key, audience=stage.controller.url, now=wall).agent == old.connector
        assert load_identity(stage.state).pin == new_pin
        assert load_next_key(stage.state) is None

        # The flow lives on where it began; new ones begin on a tunnel with either certificate.
        await until(lambda: before.gone_away is not None)
        open_flow.stream.write(b"two")
        await open_flow.until_data(6)
        both = [await client(stage, new_pin, old.pin) for _ in range(4)]
        assert {new_pin} <= {tunnel.peer_pin for tunnel in both} <= {new_pin, old.pin}
        for number, tunnel in enumerate(both, 10):
            assert await stage.open(tunnel, port_of(server), number, b"new").until_data(3)

        await until(lambda: before.lost is not None)
        assert all((tunnel.lost is None) == (tunnel.peer_pin == new_pin) for tunnel in both)


async def test_f23_the_controllers_refusal_leaves_the_key_as_it_is(tmp_path: Path) -> None:
    async with staged(tmp_path, start=False) as stage:
        rotation = with_rotation(stage)
        answer_announcements(stage, lambda message: KeyAnnounced(message.id, reason="already_exists"))
        stage.start()
        await stage.controller.wait_for(Hello)
        rotation.ask()
        await until(lambda: rotation.progress.error is not None)
        assert rotation.progress.error is not None
        assert rotation.progress.error.reason is Reason.ALREADY_EXISTS
        assert stage.daemon.identity.pin == stage.identity.pin


async def test_f23_a_controller_that_is_away_is_asked_again(tmp_path: Path) -> None:
    async with staged(tmp_path, start=False) as stage:
        rotation = with_rotation(stage)
        answers = iter(("unavailable", "rate_limited", None))
        answer_announcements(stage, lambda message: KeyAnnounced(message.id, wait_s=0.0, reason=next(answers)))
        rotation.ask()
        stage.start()
        await until(lambda: stage.daemon.identity.pin != stage.identity.pin)
        first, second = stage.controller.seen(AnnounceKey)[:2]
        now = SystemClock().wall()
        keys = {
            str(
                verify_rotation(
                    said.statement, key=stage.identity.key.public_key(), audience=stage.controller.url, now=now
                ).jwk
            )
            for said in (first, second)
        }
        assert len(keys) == 1, "it is the same key every time"


async def test_f23_an_old_key_is_changed_without_asking(tmp_path: Path) -> None:
    async with staged(tmp_path, start=False) as stage:
        answer_announcements(stage, lambda message: KeyAnnounced(message.id))
        rotation = with_rotation(stage, every_days=1.0)
        aged = make_certificate(stage.identity.key, SystemClock().wall() - 2 * DAY_S)
        stage.daemon.identity = replace(stage.identity, certificate_pem=aged)
        stage.start()
        await until(lambda: stage.daemon.identity.pin != stage.identity.pin)
        assert certificate_made_at(stage.daemon.identity.certificate_pem) == pytest.approx(SystemClock().wall(), abs=60)
        assert rotation.progress.phase == "idle"


def test_f23_after_a_crash_the_next_start_goes_on_with_the_key_that_was_made(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.ensure()
    key = generate_key()
    save_next_key(state, key)
    found = load_next_key(state)
    assert found is not None
    assert public_jwk(found) == public_jwk(key)


async def test_f23_a_crash_between_key_and_certificate_is_mended_at_the_next_start(tmp_path: Path) -> None:
    async with staged(tmp_path, start=False) as stage:
        key = generate_key()
        save_next_key(stage.state, key)
        stage.state.write(KEY_FILE, key_to_pem(key))
        mended = load_identity(stage.state)
        assert mended.pin == pin_of(key.public_key())
        assert stage.state.read(CERTIFICATE_FILE) == mended.certificate_pem
        assert mended.certificate_pem != stage.identity.certificate_pem
        assert not stage.state.exists(NEXT_KEY_FILE)
