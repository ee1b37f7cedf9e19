"""The key ring: which keys sign tokens, rotation with overlap, emergency distrust (T-64, F-21, F-22).

The log knows the public halves and their status; private halves rest sealed in the store and are opened into memory once.
Rotation makes NEXT the ACTIVE one and adds a new NEXT, so that every verifier has known a key for long before it signs.
A key that was active stays published as PREVIOUS until everything it signed is dead.
"""

from dataclasses import dataclass
from typing import Final

from controller.domain.commands import (
    ActivateSigningKey,
    AddSigningKey,
    Command,
    DistrustSigningKey,
    RetireSigningKey,
)
from controller.domain.model import KeyStatus, PublicKey
from controller.domain.state import PolicyState
from controller.identity.sealing import Seal
from protocol.errors import LocalError, RefusedError
from protocol.limits import CLOCK_LEEWAY_S, CONFIG_LIFE_S, SNAPSHOT_LIFE_S
from protocol.reasons import Reason
from protocol.tokens.keys import (
    KEYS_MAX,
    SigningKey,
    VerificationKeys,
    generate_key,
    key_from_jwk_untrusted,
    key_from_pem,
    key_to_pem,
    public_jwk,
    thumbprint,
)

OVERLAP_S: Final = max(CONFIG_LIFE_S, SNAPSHOT_LIFE_S) + 2 * CLOCK_LEEWAY_S
"""How long a key stays published after it signed last: the longest life of a token."""
PUBLISHED_MAX: Final = KEYS_MAX // 2
"""Verifiers take KEYS_MAX; the other half is left for emergencies."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A fresh signing key on its way into the store."""

    signing: SigningKey

    @classmethod
    def make(cls) -> "NewKey":
        """Generates one; its ``kid`` is its thumbprint (RFC 7638), which people can type: it begins with no dash."""
        while True:
            private = generate_key()
            kid = thumbprint(public_jwk(private))
            if kid[0].isalnum():
                return cls(SigningKey(kid, private))

    @property
    def kid(self) -> str:
        """The name under which verifiers find it."""
        return self.signing.kid

    @property
    def command(self) -> AddSigningKey:
        """Publishes it."""
        return AddSigningKey(self.kid, PublicKey.from_jwk(public_jwk(self.signing.private)))


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of the ring needs: keys whose private halves must be stored first, then commands in order."""

    new_keys: tuple[NewKey, ...]
    commands: tuple[Command, ...]


def plan_first_keys(state: PolicyState) -> Change:
    """Fills an empty ring (or what is missing in it) with an active key and a next one."""
    active, following = _kid(state, KeyStatus.ACTIVE), _kid(state, KeyStatus.NEXT)
    new_keys: list[NewKey] = []
    commands: list[Command] = []
    if active is None:
        if following is None:
            first = NewKey.make()
            new_keys.append(first)
            commands.append(first.command)
            following = first.kid
        commands.append(ActivateSigningKey(following))
        following = None
    if following is None:
        second = NewKey.make()
        new_keys.append(second)
        commands.append(second.command)
    return Change(tuple(new_keys), tuple(commands))


def plan_rotation(state: PolicyState, now: float) -> Change:
    """The next key signs from now on, a new next one is published, and what has been previous for long is retired.

    Raises RefusedError(LIMIT_EXCEEDED) when too many keys would be published.
    """
    following = _kid(state, KeyStatus.NEXT)
    if following is None:
        return plan_first_keys(state)
    retired = plan_retirement(state, now).commands
    if len(state.signing_keys) - len(retired) >= PUBLISHED_MAX:
        raise RefusedError(Reason.LIMIT_EXCEEDED, "too many rotations within the life of a token; wait a day")
    fresh = NewKey.make()
    return Change((fresh,), (*retired, ActivateSigningKey(following), fresh.command))


def plan_due_rotation(state: PolicyState, now: float, every_s: float) -> Change:
    """Rotates when the last rotation is ``every_s`` ago; 0: never by itself. Raises as ``plan_rotation``."""
    newest_ms = max((record.added_ms for record in state.signing_keys.values()), default=0)
    if every_s <= 0 or not newest_ms or now - newest_ms / 1000 < every_s:
        return Change((), ())
    return plan_rotation(state, now)


def plan_distrust(state: PolicyState, kid: str) -> Change:
    """Nothing that ``kid`` signed counts any more; if it was the active or the next key, others take its place."""
    record = state.signing_keys.get(kid)
    distrust = DistrustSigningKey(kid)
    if record is None or record.status is KeyStatus.PREVIOUS:
        return Change((), (distrust,))
    fresh = NewKey.make()
    if record.status is KeyStatus.NEXT:
        return Change((fresh,), (distrust, fresh.command))
    following = _kid(state, KeyStatus.NEXT)
    if following is not None:
        return Change((fresh,), (ActivateSigningKey(following), distrust, fresh.command))
    second = NewKey.make()
    commands = (fresh.command, ActivateSigningKey(fresh.kid), distrust, second.command)
    return Change((fresh, second), commands)


def plan_retirement(state: PolicyState, now: float) -> Change:
    """Takes previous keys out of publication once nothing they signed can live.

    Every rotation adds a key, so a key is previous at least since the newest key was added.
    """
    newest_ms = max((record.added_ms for record in state.signing_keys.values()), default=0)
    if now - newest_ms / 1000 <= OVERLAP_S:
        return Change((), ())
    previous = sorted(kid for kid, record in state.signing_keys.items() if record.status is KeyStatus.PREVIOUS)
    return Change((), tuple(RetireSigningKey(kid) for kid in previous))


def published(state: PolicyState) -> VerificationKeys:
    """The keys of ``/.well-known/jwks.json``: active first, then next, then previous."""
    order = (KeyStatus.ACTIVE, KeyStatus.NEXT, KeyStatus.PREVIOUS)
    records = sorted(state.signing_keys.values(), key=lambda item: (order.index(item.status), -item.added_ms, item.kid))
    return VerificationKeys({record.kid: key_from_jwk_untrusted(record.key.to_jwk()) for record in records})


def secret_name(kid: str) -> str:
    """Under which name a private key rests in the store."""
    return f"signing_key:{kid}"


class KeyRing:
    """The private halves that this process holds. ``load`` is called for each new key; ``active`` is then immediate."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._keys: dict[str, SigningKey] = {}

    def sealed(self, key: SigningKey) -> bytes:
        """The form that rests in the store."""
        return self._seal.seal(secret_name(key.kid), key_to_pem(key.private))

    def missing(self, state: PolicyState) -> tuple[str, ...]:
        """Keys that sign, or will, and are not in memory yet."""
        wanted = (KeyStatus.ACTIVE, KeyStatus.NEXT)
        return tuple(
            sorted(kid for kid, item in state.signing_keys.items() if item.status in wanted and kid not in self._keys)
        )

    def load(self, kid: str, sealed: bytes | None) -> None:
        """Opens a sealed private key. Raises LocalError(STATE_CORRUPT) when it is missing or not that key."""
        if sealed is None:
            raise LocalError(Reason.STATE_CORRUPT, f"the private half of signing key {kid} is not in the database")
        private = key_from_pem(self._seal.open(secret_name(kid), sealed))
        if thumbprint(public_jwk(private)) != kid:
            raise LocalError(Reason.STATE_CORRUPT, f"the private half of signing key {kid} is another key's")
        self._keys[kid] = SigningKey(kid, private)

    def forget(self, state: PolicyState) -> None:
        """Drops private halves that sign no more."""
        for kid in [kid for kid in self._keys if kid not in state.signing_keys]:
            del self._keys[kid]

    def active(self, state: PolicyState) -> SigningKey:
        """The key that signs now. Raises RefusedError(UNAVAILABLE) while it is not loaded."""
        kid = _kid(state, KeyStatus.ACTIVE)
        if kid is None or kid not in self._keys:
            raise RefusedError(Reason.UNAVAILABLE, "no signing key is ready")
        return self._keys[kid]


def _kid(state: PolicyState, status: KeyStatus) -> str | None:
    kids = sorted(kid for kid, record in state.signing_keys.items() if record.status is status)
    return kids[0] if kids else None
