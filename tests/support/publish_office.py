"""A company in one process: policy, feed, signing keys, signer and hub over a clock that is moved by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address

from cryptography.hazmat.primitives.asymmetric import ec
from policy_world import World

from controller.domain import commands as c
from controller.domain.log import Head
from controller.domain.model import KeyStatus, PublicKey
from controller.domain.state import PolicyState
from controller.publish import AgentKind, Attachment, Hub, Signer, verification_keys
from controller.store.feed import Feed
from protocol.acl.model import IPAddress
from protocol.control import Message
from protocol.errors import RefusedError
from protocol.ids import Epoch, Revision
from protocol.reasons import Reason
from protocol.tokens.keys import SigningKey, VerificationKeys, generate_key, public_jwk, thumbprint
from runtime.clock import ManualClock

DEADLINE_S = 10


class Ring:
    """Signing keys in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, SigningKey] = {}

    def make(self) -> c.AddSigningKey:
        """Makes a key and returns the command that publishes it."""
        private = generate_key()
        jwk = public_jwk(private)
        key = SigningKey(thumbprint(jwk), private)
        self.keys[key.kid] = key
        return c.AddSigningKey(key.kid, PublicKey.from_jwk(jwk))

    def active(self, state: PolicyState) -> SigningKey:
        """The key that signs now."""
        for record in state.signing_keys.values():
            if record.status is KeyStatus.ACTIVE and record.kid in self.keys:
                return self.keys[record.kid]
        raise RefusedError(Reason.UNAVAILABLE, "no signing key is ready")


class Peer:
    """An attached agent: takes what the hub has for it."""

    def __init__(
        self,
        office: "Office",
        agent: str,
        kind: AgentKind,
        key: PublicKey,
        revision: int = 0,
        welcomed: Revision | None = None,
        address: IPAddress | None = None,
    ) -> None:
        self._hub = office.hub
        self._ready = asyncio.Event()
        self.attachment: Attachment = office.hub.attach(
            agent,
            kind,
            key,
            epoch=Epoch(1),
            revision=Revision(revision),
            welcomed=office.head.position if welcomed is None else welcomed,
            wake=self._ready.set,
            address=address,
        )

    def take_all(self) -> list[Message]:
        """Everything that is there now."""
        self._ready.clear()
        return list(iter(lambda: self._hub.take(self.attachment), None))

    async def next(self) -> list[Message]:
        """Waits for something, then takes everything that is there."""
        async with asyncio.timeout(DEADLINE_S):
            while not (messages := self.take_all()):
                await self._ready.wait()
        return messages


class Office:
    """Starts with one active signing key."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.world = World()
        self.ring = Ring()
        self.kid = self.add_key()
        self.world.do(c.ActivateSigningKey(self.kid))
        self.feed = Feed(Head(PolicyState()))
        self.feed.advance(self.world.changes)
        self.signer = Signer(self.ring, lambda: "jti")
        self.hub = Hub(self.feed, self.signer, self.clock, jitter=lambda _: 0.0)

    def add_key(self) -> str:
        """Publishes another signing key."""
        command = self.ring.make()
        self.world.do(command)
        return command.kid

    @property
    def head(self) -> Head:
        """The end of the log."""
        return self.world.head

    @property
    def keys(self) -> VerificationKeys:
        """What a verifier knows now."""
        return verification_keys(self.world.state)

    def give(self, *commands: c.Command) -> None:
        """Gives commands and commits them together."""
        for command in commands:
            self.world.do(command)
        self.commit()

    def commit(self) -> None:
        """Lets the feed see what the world did."""
        self.feed.advance(self.world.changes)

    def restart(self) -> None:
        """A new hub over the same log, as after a crash."""
        self.hub = Hub(self.feed, self.signer, self.clock, jitter=lambda _: 0.0)

    def client(
        self, device: str, *, revision: int = 0, welcomed: Revision | None = None, address: str | None = None
    ) -> Peer:
        """Attaches a device, which comes from ``address``."""
        where = ip_address(address) if address is not None else None
        return Peer(self, device, AgentKind.CLIENT, PublicKey("x", "y"), revision, welcomed, where)

    def connector(self, connector: str, key: PublicKey | None = None) -> Peer:
        """Attaches a connector with the key that it enrolled with, or another one."""
        known = self.world.state.connectors[connector].key  # type: ignore[index]
        return Peer(self, connector, AgentKind.CONNECTOR, key or known or PublicKey("", ""))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the hub."""
        task = asyncio.create_task(self.hub.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def private_key() -> tuple[ec.EllipticCurvePrivateKey, PublicKey]:
    """A real key pair for an agent."""
    private = generate_key()
    return private, PublicKey.from_jwk(public_jwk(private))
