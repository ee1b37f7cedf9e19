"""An OpenID Connect provider that says what a test wants it to say, true or not."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from controller.identity.oidc import Flow
from controller.identity.oidc_tokens import ProviderKeys, parse_jwks_untrusted

CLIENT = "ostiary"
Key = RSAKey | ECKey


def rsa_key(kid: str | None = "k1", bits: int = 2048) -> RSAKey:
    """A signing key."""
    return RSAKey.generate_key(bits, {"kid": kid} if kid else None)


def flow(issuer: str, *, now: float, **more: Any) -> Flow:
    """A sign-in that left for ``issuer``."""
    parts = {
        "provider": "idp_x",
        "issuer": issuer,
        "redirect_uri": "https://controller.example/sign-in/idp_x/callback",
        "state": "s" * 43,
        "nonce": "n" * 43,
        "verifier": "v" * 64,
        "surface": "page",
        "target": "",
        "started_s": int(now),
    }
    return Flow(**{**parts, **more})


def claims(flow: Flow, *, now: float, **more: Any) -> dict[str, Any]:
    """What a true ID token says; ``more`` changes it, None leaves a claim out."""
    true = {
        "iss": flow.issuer,
        "sub": "248289761001",
        "aud": CLIENT,
        "iat": int(now),
        "exp": int(now) + 300,
        "nonce": flow.nonce,
    }
    return {name: value for name, value in {**true, **more}.items() if value is not None}


def sign(content: dict[str, Any] | bytes, key: Key, **header: Any) -> str:
    """A compact JWS by ``key``."""
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = {"alg": "RS256" if isinstance(key, RSAKey) else "ES256", "kid": key.kid, **header}
    head = {name: value for name, value in head.items() if value is not None}
    return jws.serialize_compact(head, payload, key, algorithms=[str(head["alg"])])


def forged(content: dict[str, Any], header: dict[str, Any], secret: bytes = b"") -> str:
    """A token that no signing library would make: any header, an HMAC or nothing as its signature."""
    parts = [_b64(json.dumps(header).encode()), _b64(json.dumps(content).encode())]
    mac = hmac.new(secret, ".".join(parts).encode(), hashlib.sha256).digest() if secret else b"nothing"
    return ".".join([*parts, _b64(mac)])


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwks(*keys: Key, **more: Any) -> bytes:
    """The public halves as a JWK set."""
    return json.dumps({"keys": [{**key.as_dict(private=False), **more} for key in keys]}).encode()


def key_set(*keys: Key) -> ProviderKeys:
    """The same as the verifier holds it."""
    return parse_jwks_untrusted(jwks(*keys))


@dataclass
class RogueProvider:
    """A server on loopback. ``answers`` replaces whole answers by path; ``hang``: it accepts and never answers."""

    port: int = 0
    keys: list[Key] = field(default_factory=lambda: [rsa_key()])
    token: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)
    hang: bool = False
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def issuer(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def document(self) -> dict[str, Any]:
        """Its discovery document."""
        true = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/me",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        }
        return {name: value for name, value in {**true, **self.metadata}.items() if value is not None}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next((int(line[15:]) for line in head.splitlines() if line.startswith("Content-Length:")), 0)
            await reader.readexactly(length)
            path = head.split(" ")[1]
            self.asked[path] += 1
            if self.hang:
                await reader.read()
            writer.write(self.answers.get(path) or self._answer(path))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, path: str) -> bytes:
        match path:
            case "/.well-known/openid-configuration":
                body = json.dumps(self.document()).encode()
            case "/keys":
                body = jwks(*self.keys)
            case "/token":
                body = json.dumps(self.token).encode()
            case _:
                body = json.dumps(self.userinfo).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@asynccontextmanager
async def rogue_provider() -> AsyncIterator[RogueProvider]:
    """Runs one."""
    made = RogueProvider()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()
