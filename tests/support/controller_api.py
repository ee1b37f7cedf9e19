"""The real controller application in this process over SQLite, and the other parties that talk to it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from argon2 import PasswordHasher
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from empty_database import make_database

from controller.api.operations import accounts, bootstrap
from controller.api.services import Services
from controller.app import build_app, services_of
from controller.domain.model import Role
from controller.identity.passwords import Passwords
from controller.identity.sealing import create_master_secret, load_seal
from controller.settings import DATABASE_FILE, Settings
from controller.store import Store, schema
from protocol.tokens.claims import Assertion
from protocol.tokens.issue import issue_assertion
from protocol.tokens.keys import generate_key, pin_of, public_jwk
from runtime.clock import ManualClock
from runtime.entropy import token_text

URL = "https://controller.example"
OWNER, OWNER_PASSWORD = "ada@corp.example", "correct horse battery staple"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


async def set_up(state_dir: Path, *, now: float, database_url: str | None = None, with_owner: bool = True) -> Settings:
    """Makes a controller with its first owner in ``state_dir``; over SQLite unless another database is given."""
    settings = Settings(state_dir=state_dir, database_url=database_url)
    create_master_secret(state_dir)
    if database_url is None:
        make_database(state_dir / DATABASE_FILE)
    else:
        schema.upgrade(database_url)
    store = await Store.open(settings.effective_database_url)
    passwords = Passwords(CHEAP)
    try:
        owner = await accounts.prepare(passwords, email=OWNER, name="Ada", role=Role.OWNER, password=OWNER_PASSWORD)
        seal = load_seal(state_dir)
        await bootstrap.set_up(store, seal, public_url=URL, owner=owner if with_owner else None, actor="cli", now=now)
    finally:
        passwords.close()
        await store.close()
    return settings


@dataclass
class Controller:
    """A running application and a client of its API."""

    services: Services
    clock: ManualClock
    http: httpx2.AsyncClient
    asgi: Any
    tokens: dict[str, str] = field(default_factory=dict)

    def person(self, token: str | None = None, *, address: str = "198.51.100.1") -> httpx2.AsyncClient:
        """Another client of the same application: its own cookies, address and, perhaps, session."""
        transport = httpx2.ASGITransport(glancing(self.asgi), client=(address, 50_000), raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(transport=transport, base_url=URL, headers=headers)

    async def sign_in(self, email: str = OWNER, password: str = OWNER_PASSWORD) -> str:
        """Returns a bearer token."""
        answer = await self.http.post("/api/v1/sessions", json={"email": email, "password": password})
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token

    async def owner(self) -> httpx2.AsyncClient:
        """A client with the first owner's session."""
        return self.person(await self.sign_in())

    async def add_user(self, email: str, role: str = "member", password: str = "a quiet lighthouse") -> "Person":
        """Creates an account and signs it in."""
        owner = await self.owner()
        answer = await owner.post(
            "/api/v1/users", json={"email": email, "name": email.split("@")[0], "role": role, "password": password}
        )
        assert answer.status_code == 201, answer.text
        token = await self.sign_in(email, password)
        return Person(answer.json()["id"], email, password, token, self.person(token))

    async def add_connector(self) -> str:
        """Makes a connector in a network of its own. What nobody that is known reports as open, the housekeeping closes."""
        owner = await self.owner()
        network = (await owner.post("/api/v1/networks", json={"name": "of flows"})).json()["id"]
        answer = await owner.post("/api/v1/connectors", json={"network": network, "name": "of flows"})
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["id"]
        return made


def glancing(app: Any) -> Any:
    """``app`` for a client that reads whole answers: of a stream without an end it reads the first part and hangs up."""

    async def glance(scope: Any, receive: Any, send: Any) -> None:
        seen = asyncio.Event()

        async def hang_up() -> Any:
            if not scope["path"].endswith("/events/stream"):
                return await receive()
            await seen.wait()
            return {"type": "http.disconnect"}

        async def note(message: Any) -> None:
            await send(message)
            if message.get("more_body"):
                seen.set()

        await app(scope, hang_up, note)
        if seen.is_set() and scope["path"].endswith("/events/stream"):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return glance


@dataclass
class Person:
    """Somebody with an account and a session."""

    id: str
    email: str
    password: str
    token: str
    http: httpx2.AsyncClient


@contextlib.asynccontextmanager
async def running(state_dir: Path, *, database_url: str | None = None) -> AsyncIterator[Controller]:
    """Runs the application; its clock stands still until told."""
    clock = ManualClock()
    settings = await set_up(state_dir, now=clock.wall(), database_url=database_url)
    async with running_with(settings, clock) as controller:
        yield controller


@contextlib.asynccontextmanager
async def running_with(settings: Settings, clock: ManualClock) -> AsyncIterator[Controller]:
    """Runs the application over a controller that was set up before."""
    app = build_app(settings, clock=clock, hasher=CHEAP)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(glancing(app), client=("198.51.100.1", 50_000), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=URL) as http:
            yield Controller(services_of(app), clock, http, app)


@dataclass
class Agent:
    """A connector, relay or device with its key, as the controller meets it."""

    clock: ManualClock
    key: ec.EllipticCurvePrivateKey = field(default_factory=generate_key)

    @property
    def jwk(self) -> dict[str, str]:
        """The public key."""
        return public_jwk(self.key)

    @property
    def pin(self) -> str:
        """The pin of a certificate with this key."""
        return pin_of(self.key.public_key())

    def proof(self, *, agent: str = "enrolment", audience: str = URL, age_s: float = 0.0) -> str:
        """An assertion of this key."""
        now = int(self.clock.wall() - age_s)
        return issue_assertion(Assertion(agent, audience, token_text(16), now, now + 60), self.key)

    def request(self, *names: str, key: ec.EllipticCurvePrivateKey | None = None) -> str:
        """A certificate request."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
        )
        if names:
            alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternative, critical=False)
        return builder.sign(key or self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def enrolment(self, secret: str, kind: str, **more: str) -> dict[str, Any]:
        """The body of an enrolment."""
        return {"secret": secret, "kind": kind, "jwk": self.jwk, "proof": self.proof(), "hostname": "host1", **more}

    def start(self, name: str = "grace-laptop") -> dict[str, Any]:
        """The body that starts a device sign-in."""
        return {
            "client_id": "ostiary",
            "jwk": self.jwk,
            "device_name": name,
            "platform": "linux",
            "proof": self.proof(),
        }

    def poll(self, device_code: str) -> dict[str, Any]:
        """The body of a poll."""
        return {
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": device_code,
            "proof": self.proof(),
        }


def code_of(answer: httpx2.Response) -> str:
    """The reason code of a problem."""
    body: Mapping[str, Any] = json.loads(answer.text)
    return str(body.get("code"))
