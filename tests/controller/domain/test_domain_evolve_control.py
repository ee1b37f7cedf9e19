"""Folds of the controller's own events."""

from policy_world import World, fresh_key

from controller.domain import commands as c
from controller.domain.events import SignInFailed, SigningKeyDistrusted
from controller.domain.model import KeyStatus
from protocol.ids import Epoch


def test_activating_a_key_makes_the_active_one_the_previous_one() -> None:
    world = World()
    for kid in ("first", "second", "third"):
        world.do(c.AddSigningKey(kid, fresh_key()))
        world.do(c.ActivateSigningKey(kid))
    statuses = {kid: record.status for kid, record in world.state.signing_keys.items()}
    assert statuses == {"first": KeyStatus.PREVIOUS, "second": KeyStatus.PREVIOUS, "third": KeyStatus.ACTIVE}


def test_distrusting_a_key_that_is_gone_already_folds() -> None:
    world = World()
    world.append(SigningKeyDistrusted("never-added"))
    assert "never-added" in world.state.distrusted_keys


def test_an_epoch_is_taken_over_and_a_failure_only_counts() -> None:
    world = World()
    world.do(c.RaiseEpoch(Epoch(9)))
    world.append(SignInFailed(None, "password"))
    assert (world.state.epoch, world.state.version_of("sign_ins")) == (9, 1)
