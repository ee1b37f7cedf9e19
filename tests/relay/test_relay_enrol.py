"""Enrolment of a relay: one token, one certificate, nothing half done (C4; T-57, D7, F-31)."""

import asyncio
import contextlib
import datetime
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from relay_world import ISSUER, RELAY, signing_key
from tls_material import tls_material

from protocol.enrolment import EnrolmentKind, EnrolmentToken, encode
from protocol.errors import LocalError, RefusedError, RemoteProtocolError
from protocol.reasons import Reason
from protocol.tokens.keys import VerificationKeys, generate_key, key_from_jwk_untrusted
from protocol.tokens.verify import verify_assertion
from relay.enrol import PENDING_KEY_FILE, enrol, make_request
from relay.identity import CA_FILE, IDENTITY_FILE, KEY_FILE, load_identity, save_keys
from runtime.clock import SystemClock
from runtime.files import StateDir
from runtime.trust import server_context

SECRET = "c" * 42 + "A"


class Controller:
    """Serves the CA and enrolment; ``answer`` makes the reply of the latter."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[dict[str, Any]] = []
        self.fail: tuple[str, str] | None = None
        self.changes: dict[str, Any] = {}
        self.serial = 1

    def sign(self, csr_pem: str) -> str:
        """Signs with a CA of its own making: what matters here is that it fits the key."""
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        ca_key = generate_key()
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(csr.subject)
            .issuer_name(csr.subject)
            .public_key(csr.public_key())
            .serial_number(self.serial)
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=90))
        )
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if head.startswith("GET /ca.pem"):
                body = tls_material().ca_pem
                status = "200 OK"
            else:
                length = next(int(line[15:]) for line in head.splitlines() if line.startswith("Content-Length:"))
                request = json.loads(await reader.readexactly(length))
                self.requests.append(request)
                status, body = self.reply(request)
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    def reply(self, request: dict[str, Any]) -> tuple[str, bytes]:
        if self.fail is not None:
            return self.fail[0], json.dumps({"code": self.fail[1]}).encode()
        body = {
            "relay": RELAY,
            "issuer": ISSUER,
            "fqdn": "relay.example.com",
            "port": 8444,
            "controller_url": f"https://localhost:{self.port}",
            "certificate": self.sign(request["csr"]),
            "jwks": VerificationKeys.of(signing_key()).to_jwks(),
            **self.changes,
        }
        return "200 OK", json.dumps(body).encode()

    def token(self, kind: EnrolmentKind = "relay") -> str:
        return encode(EnrolmentToken(f"https://localhost:{self.port}", tls_material().ca_pin, kind, SECRET))


@contextlib.asynccontextmanager
async def controller() -> AsyncIterator[Controller]:
    made = Controller()
    material = tls_material()
    context = server_context(material.cert_pem, material.key_pem)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context, ssl_shutdown_timeout=1)
    made.port = server.sockets[0].getsockname()[1]
    with contextlib.closing(server):
        yield made
    for _ in range(5):
        await asyncio.sleep(0)


async def test_enrolment_writes_an_identity_that_loads(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "relay")
    async with controller() as server:
        made = await enrol(server.token(), state, SystemClock())
    identity = load_identity(state)
    assert identity == made
    assert (identity.relay, identity.issuer, identity.fqdn, identity.port) == (RELAY, ISSUER, "relay.example.com", 8444)
    identity.context()
    assert state.read(CA_FILE) == tls_material().ca_pem
    assert not state.exists(PENDING_KEY_FILE)
    for name in (KEY_FILE, IDENTITY_FILE):
        assert stat.S_IMODE((state.path / name).stat().st_mode) == 0o600


async def test_the_request_proves_the_key_and_asks_for_no_name(tmp_path: Path) -> None:
    async with controller() as server:
        await enrol(server.token(), StateDir(tmp_path), SystemClock())
        base = f"https://localhost:{server.port}"
    (request,) = server.requests
    assert (request["secret"], request["kind"]) == (SECRET, "relay")
    key = key_from_jwk_untrusted(request["jwk"])
    csr = x509.load_pem_x509_csr(request["csr"].encode())
    assert csr.public_key() == key
    assert csr.is_signature_valid
    assert list(csr.extensions) == []
    proof = verify_assertion(request["proof"], key=key, audience=base, now=SystemClock().wall())
    assert proof.agent == "enrolment"


async def test_a_lost_answer_is_repeated_with_the_same_key(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    async with controller() as server:
        server.fail = ("503 Away", "unavailable")
        with pytest.raises(RefusedError):
            await enrol(server.token(), state, SystemClock())
        assert not state.exists(IDENTITY_FILE)
        server.fail = None
        await enrol(server.token(), state, SystemClock())
    assert server.requests[0]["jwk"] == server.requests[1]["jwk"]


async def test_an_enrolled_relay_is_replaced_only_by_force(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    async with controller() as server:
        first = await enrol(server.token(), state, SystemClock())
        with pytest.raises(LocalError) as caught:
            await enrol(server.token(), state, SystemClock())
        assert caught.value.reason is Reason.ALREADY_EXISTS
        second = await enrol(server.token(), state, SystemClock(), force=True)
    assert first.key_pem != second.key_pem
    assert load_identity(state) == second


async def test_tokens_of_others_are_not_spent(tmp_path: Path) -> None:
    async with controller() as server:
        for text in (server.token("connector"), "otk_nonsense", "hello"):
            with pytest.raises(LocalError) as caught:
                await enrol(text, StateDir(tmp_path), SystemClock())
            assert caught.value.reason is Reason.ENROLMENT_INVALID
    assert server.requests == []


async def test_a_refusal_keeps_its_reason(tmp_path: Path) -> None:
    async with controller() as server:
        server.fail = ("409 Conflict", "enrolment_used")
        with pytest.raises(RefusedError) as caught:
            await enrol(server.token(), StateDir(tmp_path), SystemClock())
    assert caught.value.reason is Reason.ENROLMENT_USED


@pytest.mark.parametrize(
    "changes",
    [
        {"certificate": None},
        {"certificate": tls_material().cert_pem.decode()},
        {"relay": "con_" + "A" * 22},
        {"port": 0},
        {"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}},
    ],
    ids=["no certificate", "for another key", "of another kind", "no port", "no keys"],
)
async def test_an_answer_that_makes_no_sense_changes_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    state = StateDir(tmp_path)
    async with controller() as server:
        server.changes = changes
        with pytest.raises(RemoteProtocolError):
            await enrol(server.token(), state, SystemClock())
    assert not state.exists(IDENTITY_FILE)


def test_a_damaged_or_missing_state_is_named(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    with pytest.raises(LocalError) as caught:
        load_identity(state)
    assert caught.value.reason is Reason.NOT_ENROLLED
    for name in ("tls.crt", "tls.key"):
        state.write(name, "x")
    state.write_json(IDENTITY_FILE, {"relay": "who"})
    with pytest.raises(LocalError) as caught:
        load_identity(state)
    assert caught.value.reason is Reason.STATE_CORRUPT


async def test_pushed_keys_outlive_a_restart(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    async with controller() as server:
        await enrol(server.token(), state, SystemClock())
    save_keys(state, VerificationKeys.of(signing_key("kid-2")), 1_800_000_000)
    identity = load_identity(state)
    assert (set(identity.keys.keys), identity.keys_issued_at) == ({"kid-2"}, 1_800_000_000)


def test_a_certificate_request_is_signed_by_its_own_key() -> None:
    assert x509.load_pem_x509_csr(make_request(generate_key()).encode()).is_signature_valid
