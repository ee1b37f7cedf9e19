"""Signing keys: rotation with overlap, emergency distrust (T-64, F-21, F-22)."""

from dataclasses import dataclass, field

import pytest

from controller.domain.commands import InitialiseController
from controller.domain.decide import Refusal, decide
from controller.domain.evolve import evolve
from controller.domain.model import KeyStatus
from controller.domain.state import PolicyState
from controller.identity import keyring
from controller.identity.keyring import Change, KeyRing, NewKey
from controller.identity.sealing import Seal
from protocol.errors import LocalError, RefusedError
from protocol.ids import Revision
from protocol.reasons import Reason
from protocol.tokens.keys import VerificationKeys

DAY = 86_400.0


@dataclass
class World:
    """A log, a store of sealed keys and a ring over both."""

    state: PolicyState = field(default_factory=PolicyState)
    now: float = 1_800_000_000.0
    sealed: dict[str, bytes] = field(default_factory=dict)
    ring: KeyRing = field(default_factory=lambda: KeyRing(Seal(b"m" * 32)))

    def apply(self, change: Change) -> None:
        for new in change.new_keys:
            self.sealed[new.kid] = self.ring.sealed(new.signing)
        for command in change.commands:
            self.execute(command)
        for kid in self.ring.missing(self.state):
            self.ring.load(kid, self.sealed.get(kid))
        self.ring.forget(self.state)

    def execute(self, command: object) -> None:
        decided = decide(self.state, command)  # type: ignore[arg-type]
        assert not isinstance(decided, Refusal), decided
        for event in decided:
            position = Revision(self.state.position + 1)
            self.state = evolve(self.state, event, position, int(self.now * 1000))

    def of(self, status: KeyStatus) -> list[str]:
        return [kid for kid, record in self.state.signing_keys.items() if record.status is status]


@pytest.fixture
def world() -> World:
    made = World()
    made.execute(InitialiseController("ctl_test", "https://c.example"))
    made.apply(keyring.plan_first_keys(made.state))
    return made


def test_begins_with_an_active_and_a_next_key(world: World) -> None:
    assert len(world.of(KeyStatus.ACTIVE)) == len(world.of(KeyStatus.NEXT)) == 1
    assert world.ring.active(world.state).kid == world.of(KeyStatus.ACTIVE)[0]
    assert not keyring.plan_first_keys(world.state).commands


def test_f21_a_rotation_uses_a_key_that_everybody_knows_already(world: World) -> None:
    before = keyring.published(world.state)
    old, following = world.of(KeyStatus.ACTIVE)[0], world.of(KeyStatus.NEXT)[0]
    world.apply(keyring.plan_rotation(world.state, world.now))
    assert world.ring.active(world.state).kid == following
    assert following in before.keys
    after = keyring.published(world.state)
    assert next(iter(after.keys)) == following
    assert old in after.keys
    assert len(after.keys) == 3


def test_previous_keys_stay_for_the_longest_life_of_a_token_then_go(world: World) -> None:
    old = world.of(KeyStatus.ACTIVE)[0]
    world.apply(keyring.plan_rotation(world.state, world.now))
    assert not keyring.plan_retirement(world.state, world.now + DAY).commands
    world.now += DAY + 120
    world.apply(keyring.plan_retirement(world.state, world.now))
    assert old not in keyring.published(world.state).keys
    world.apply(keyring.plan_rotation(world.state, world.now + DAY))
    assert len(keyring.published(world.state).keys) == 3


@pytest.mark.parametrize("status", [KeyStatus.ACTIVE, KeyStatus.NEXT])
def test_f22_a_distrusted_key_is_gone_at_once_and_replaced(world: World, status: KeyStatus) -> None:
    bad = world.of(status)[0]
    world.apply(keyring.plan_distrust(world.state, bad))
    assert bad not in keyring.published(world.state).keys
    assert bad in world.state.distrusted_keys
    assert world.ring.active(world.state).kid != bad
    assert len(world.of(KeyStatus.ACTIVE)) == len(world.of(KeyStatus.NEXT)) == 1
    with pytest.raises(LocalError):
        KeyRing(Seal(b"n" * 32)).load(world.ring.active(world.state).kid, world.sealed[world.of(KeyStatus.ACTIVE)[0]])


def test_distrust_of_a_previous_key_adds_none(world: World) -> None:
    old = world.of(KeyStatus.ACTIVE)[0]
    world.apply(keyring.plan_rotation(world.state, world.now))
    change = keyring.plan_distrust(world.state, old)
    assert not change.new_keys
    world.apply(change)
    assert len(keyring.published(world.state).keys) == 2


def test_distrust_of_the_only_key_makes_two(world: World) -> None:
    world.apply(Change((), keyring.plan_distrust(world.state, world.of(KeyStatus.NEXT)[0]).commands[:1]))
    only = world.of(KeyStatus.ACTIVE)[0]
    world.apply(keyring.plan_distrust(world.state, only))
    assert len(world.of(KeyStatus.ACTIVE)) == len(world.of(KeyStatus.NEXT)) == 1
    assert only not in keyring.published(world.state).keys


def test_too_many_rotations_are_refused_before_verifiers_would(world: World) -> None:
    while len(keyring.published(world.state).keys) < keyring.PUBLISHED_MAX:
        world.apply(keyring.plan_rotation(world.state, world.now))
    with pytest.raises(RefusedError) as refused:
        keyring.plan_rotation(world.state, world.now)
    assert refused.value.reason is Reason.LIMIT_EXCEEDED
    VerificationKeys.from_jwks_untrusted(keyring.published(world.state).to_jwks())


def test_signs_nothing_while_the_private_half_is_missing(world: World) -> None:
    empty = KeyRing(Seal(b"m" * 32))
    with pytest.raises(RefusedError) as refused:
        empty.active(world.state)
    assert refused.value.reason is Reason.UNAVAILABLE
    kid = world.of(KeyStatus.ACTIVE)[0]
    other = NewKey.make()
    for sealed in (None, empty.sealed(other.signing)):
        with pytest.raises(LocalError):
            empty.load(kid, sealed)


def test_the_published_set_is_what_verifiers_parse(world: World) -> None:
    published = keyring.published(world.state)
    parsed = VerificationKeys.from_jwks_untrusted(published.to_jwks())
    assert list(parsed.keys) == list(published.keys)


def test_t64_keys_are_rotated_by_themselves_and_not_before_their_time(world: World) -> None:
    active = world.of(KeyStatus.ACTIVE)
    assert keyring.plan_due_rotation(world.state, world.now + 30 * DAY - 1, 30 * DAY).commands == ()
    assert keyring.plan_due_rotation(world.state, world.now + 9999 * DAY, 0).commands == ()
    world.now += 30 * DAY
    world.apply(keyring.plan_due_rotation(world.state, world.now, 30 * DAY))
    assert world.of(KeyStatus.PREVIOUS) == active
    assert keyring.plan_due_rotation(world.state, world.now + DAY, 30 * DAY).commands == ()


def test_t64_an_empty_ring_is_not_rotated() -> None:
    assert keyring.plan_due_rotation(PolicyState(), 1_800_000_000.0, DAY).commands == ()
