"""Checkpoints for tests: a store with signing keys, and a checkpointer over it."""

from policy_world import START
from publish_office import Ring
from store_steps import give

from controller.api.operations.checkpoints import Checkpointer
from controller.domain import commands as c
from controller.publish import Signer, verification_keys
from controller.store import Store
from protocol.tokens.claims import Checkpoint
from protocol.tokens.verify import verify_checkpoint
from runtime.clock import ManualClock

ISSUER = "ctl_test"
NETWORKS = 8
"""How many events a log of ``log_forger`` has behind its first three."""


class Notary:
    """Signing keys in memory, a clock moved by hand, and what was announced."""

    def __init__(self) -> None:
        self.ring = Ring()
        self.clock = ManualClock()
        self.told: list[str] = []

    async def set_up(self, store: Store) -> None:
        """Initialises the log with one active key: three events."""
        key = self.ring.make()
        await give(store, c.InitialiseController(ISSUER, "https://x"), key, c.ActivateSigningKey(key.kid))

    def over(self, store: Store) -> Checkpointer:
        """A checkpointer of one replica."""
        return Checkpointer(store, Signer(self.ring, lambda: "jti"), self.clock, self.told.append)

    def read(self, store: Store, token: str) -> Checkpoint:
        """Verifies a checkpoint with the keys of the log."""
        keys = verification_keys(store.feed.state)
        return verify_checkpoint(token, keys=keys, issuer=ISSUER, now=START)
