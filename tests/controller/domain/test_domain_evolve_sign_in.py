"""Folds of identity providers and second factors: only the living are in the state."""

from policy_world import FAR, START, World, fresh_id

from controller.domain import commands as c
from controller.domain import commands_sign_in as s
from controller.domain.affected import affected_by
from controller.domain.events import SessionReauthenticated
from protocol.ids import IdentityProviderId, SessionId


def test_a_removed_provider_leaves_its_name_free_and_nothing_behind() -> None:
    world = World()
    before = world.state
    made = IdentityProviderId(fresh_id("identity_provider"))
    world.do(s.CreateIdentityProvider(made, "Corp", "https://idp.example", "ostiary"))
    change = s.ChangeIdentityProvider(made, "Corp 2", "other", ("openid",), "groups", (), "create", "provider")
    world.do(change)
    assert world.state.identity_providers[made].client_id == "other"
    assert ("identity_provider", "corp") not in world.state.names
    world.do(s.RemoveIdentityProvider(made))
    assert world.state.identity_providers == before.identity_providers
    assert world.state.names == before.names


def test_a_step_up_concerns_its_device_alone() -> None:
    world = World()
    user = world.user()
    device, other = world.device(user), world.device(user)
    session = SessionId(fresh_id("session"))
    world.do(c.StartSession(session, device, user, FAR))
    before = world.state
    (event,) = world.do(s.Reauthenticate(session, START, START, "password+totp"))
    assert isinstance(event, SessionReauthenticated)
    touched = affected_by(before, world.state, event).devices
    assert touched == {device}
    assert other not in touched


def test_rules_are_in_the_state() -> None:
    world = World()
    assert world.state.second_factor_for == "nobody"
    world.do(s.ChangeSignInRules("everybody"))
    assert world.state.second_factor_for == "everybody"
