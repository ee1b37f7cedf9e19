"""Enrolment: one token, one identity, nothing half done (C1, C2; D7, F-31, T-42)."""

import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from canned_http import CannedHttp, canned_http, http_answer
from connector_world import CONNECTOR, ISSUER, NETWORK
from cryptography import x509
from tls_material import tls_material

from connector.enrol import PENDING_KEY_FILE, enrol
from connector.identity import CONFIG_FILE, IDENTITY_FILE, KEY_FILE, load_identity
from protocol.enrolment import EnrolmentKind, EnrolmentToken, encode
from protocol.errors import LocalError, OstiaryError, RemoteError, RemoteProtocolError
from protocol.ids import SpkiPin
from protocol.reasons import Reason
from protocol.tokens.keys import (
    SigningKey,
    VerificationKeys,
    generate_key,
    key_from_jwk_untrusted,
    pin_of,
)
from protocol.tokens.verify import verify_assertion
from runtime import trust
from runtime.clock import SystemClock
from runtime.files import StateDir
from runtime.trust import server_context

SECRET = "c" * 42 + "A"
JWKS = VerificationKeys.of(SigningKey("key-1", generate_key())).to_jwks()


def token(port: int, *, kind: EnrolmentKind = "connector", pin: SpkiPin | None = None) -> str:
    return encode(EnrolmentToken(f"https://localhost:{port}/", pin or tls_material().ca_pin, kind, SECRET))


def reply(port: int, **changes: Any) -> bytes:
    body = {
        "connector": CONNECTOR,
        "network": NETWORK,
        "issuer": ISSUER,
        "controller_url": f"https://localhost:{port}",
        "jwks": JWKS,
        **changes,
    }
    return http_answer("200 OK", json.dumps(body).encode())


@asynccontextmanager
async def controller(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CannedHttp]:
    """Answers ``/ca.pem`` with the CA (by a stand-in for the fetch), everything else with ``answer``."""
    pki = tls_material()

    async def fetch(url: str, pin: SpkiPin) -> bytes:
        return trust.check_ca_untrusted(pki.ca_pem, pin)

    monkeypatch.setattr("connector.enrol.fetch_ca", fetch)
    async with canned_http(b"", tls=server_context(pki.cert_pem, pki.key_pem)) as server:
        server.answer = reply(server.port)
        yield server


async def test_c1_c2_a_token_becomes_an_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, clock = StateDir(tmp_path / "state"), SystemClock()
    async with controller(monkeypatch) as server:
        identity = await enrol(token(server.port), state, clock, hostname="office-1")
        head, body = server.requests[0]
        sent = json.loads(body)
    assert head.startswith("POST /api/v1/enroll HTTP/1.1\r\n")
    assert SECRET not in head
    assert (sent["secret"], sent["kind"], sent["hostname"]) == (SECRET, "connector", "office-1")
    assert sent["pin"] == identity.pin == pin_of(key_from_jwk_untrusted(sent["jwk"]))
    claims = verify_assertion(
        sent["proof"],
        key=key_from_jwk_untrusted(sent["jwk"]),
        audience=f"https://localhost:{server.port}",
        now=clock.wall(),
    )
    assert claims.agent == "enrolment"
    loaded = load_identity(state)
    assert (loaded.connector, loaded.network, loaded.issuer) == (CONNECTOR, NETWORK, ISSUER)
    assert loaded.ca_pem == tls_material().ca_pem
    assert loaded.keys.to_jwks() == JWKS
    loaded.context()
    certificate = x509.load_pem_x509_certificate(loaded.certificate_pem)
    assert pin_of(certificate.public_key()) == identity.pin
    assert certificate.subject.rfc4514_string() == "CN=ostiary-connector"
    years = (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days / 365
    assert 9.9 < years < 10.1


async def test_without_a_pin_the_controller_is_known_by_public_roots_and_its_relays_by_its_own_ca(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, pki = StateDir(tmp_path / "state"), tls_material()
    roots = tmp_path / "roots.pem"
    roots.write_bytes(pki.ca_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    own_ca = tls_material("relays").ca_pem

    async def vouched(url: str) -> bytes:
        return own_ca

    monkeypatch.setattr("connector.enrol.fetch_vouched_ca", vouched)
    async with canned_http(b"", tls=server_context(pki.cert_pem, pki.key_pem)) as server:
        server.answer = reply(server.port)
        public = encode(EnrolmentToken(f"https://localhost:{server.port}/", None, "connector", SECRET))
        await enrol(public, state, SystemClock())
    loaded = load_identity(state)
    assert (loaded.ca_pem, loaded.relay_ca_pem) == (None, own_ca)
    assert len(loaded.context().get_ca_certs()) == 2


async def test_t42_what_it_keeps_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateDir(tmp_path / "state")
    async with controller(monkeypatch) as server:
        await enrol(token(server.port), state, SystemClock())
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.path.iterdir()} == {0o600}
    assert not state.exists(PENDING_KEY_FILE)


async def test_a_second_enrolment_needs_force_and_replaces_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateDir(tmp_path / "state")
    async with controller(monkeypatch) as server:
        first = await enrol(token(server.port), state, SystemClock())
        state.write(CONFIG_FILE, "old")
        with pytest.raises(LocalError) as caught:
            await enrol(token(server.port), state, SystemClock())
        assert caught.value.reason is Reason.ALREADY_EXISTS
        second = await enrol(token(server.port), state, SystemClock(), force=True)
    assert first.pin != second.pin
    assert load_identity(state).pin == second.pin
    assert not state.exists(CONFIG_FILE)


async def test_a_failed_second_enrolment_leaves_the_first_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateDir(tmp_path / "state")
    async with controller(monkeypatch) as server:
        first = await enrol(token(server.port), state, SystemClock())
        server.answer = http_answer("409 Conflict", b'{"code":"enrolment_used"}')
        with pytest.raises(OstiaryError) as caught:
            await enrol(token(server.port), state, SystemClock(), force=True)
        assert caught.value.reason is Reason.ENROLMENT_USED
    assert load_identity(state).pin == first.pin


async def test_f31_after_a_lost_answer_the_same_key_is_offered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateDir(tmp_path / "state")
    async with controller(monkeypatch) as server:
        server.answer = b""
        with pytest.raises(RemoteError):
            await enrol(token(server.port), state, SystemClock())
        assert not state.exists(KEY_FILE)
        server.answer = reply(server.port)
        await enrol(token(server.port), state, SystemClock())
        keys = [json.loads(body)["jwk"] for _, body in server.requests]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"connector": "usr_AAAAAAAAAAAAAAAAAAAAAA"},
        {"network": None},
        {"issuer": ""},
        {"jwks": {"keys": [{"kty": "oct"}]}},
        {"controller_url": "http://elsewhere.example"},
    ],
)
async def test_a_malformed_answer_leaves_no_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    state = StateDir(tmp_path / "state")
    async with controller(monkeypatch) as server:
        server.answer = reply(server.port, **changes)
        with pytest.raises((RemoteProtocolError, LocalError)):
            await enrol(token(server.port), state, SystemClock())
    assert not state.exists(IDENTITY_FILE)
    with pytest.raises(LocalError) as caught:
        load_identity(state)
    assert caught.value.reason is Reason.NOT_ENROLLED


async def test_c1_a_ca_with_another_pin_gets_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with controller(monkeypatch) as server:
        with pytest.raises(RemoteError) as caught:
            await enrol(
                token(server.port, pin=SpkiPin("sha256/" + "A" * 43 + "=")), StateDir(tmp_path / "state"), SystemClock()
            )
        assert caught.value.reason is Reason.PIN_MISMATCH
        assert server.requests == []


async def test_tokens_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="relay"):
        await enrol(token(1, kind="relay"), StateDir(tmp_path / "state"), SystemClock())
    with pytest.raises(LocalError) as caught:
        await enrol("otk_rubbish", StateDir(tmp_path / "state"), SystemClock())
    assert caught.value.reason is Reason.ENROLMENT_INVALID


async def test_a_running_connector_is_not_pulled_from_under(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = StateDir(tmp_path / "state")
    running.ensure()
    running.lock()
    with pytest.raises(LocalError) as caught:
        await enrol(token(1), StateDir(tmp_path / "state"), SystemClock())
    assert caught.value.reason is Reason.ALREADY_RUNNING
    running.unlock()


@pytest.mark.parametrize("name", [KEY_FILE, "cert.pem", "jwks.json", IDENTITY_FILE])
async def test_damaged_state_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    state = StateDir(tmp_path / "state")
    async with controller(monkeypatch) as server:
        await enrol(token(server.port), state, SystemClock())
    state.remove(name)
    with pytest.raises(LocalError) as caught:
        load_identity(state)
    assert caught.value.reason in {Reason.NOT_ENROLLED, Reason.STATE_CORRUPT}
    if name != "cert.pem":
        state.write(name, "{}")
        with pytest.raises(LocalError) as caught:
            load_identity(state)
        assert caught.value.reason is Reason.STATE_CORRUPT
