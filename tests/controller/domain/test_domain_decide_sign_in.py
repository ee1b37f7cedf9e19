"""Decisions about identity providers, second factors and sign-ins (T-2, T-9, T-16)."""

from typing import Any

import pytest
from policy_world import FAR, START, World, fresh_id, fresh_name

from controller.domain import commands as c
from controller.domain import commands_sign_in as s
from controller.domain import events as e
from controller.domain.authority import refusal_for
from controller.domain.commands_policies import RemoveExclusion
from controller.domain.model import Role
from protocol.ids import GroupId, IdentityProviderId, SessionId, UserId
from protocol.reasons import Reason


def provider(world: World, **more: Any) -> IdentityProviderId:
    made = IdentityProviderId(fresh_id("identity_provider"))
    fields = {"name": fresh_name(), "issuer": f"https://{made.lower().strip('_')}.example", "client_id": "ostiary"}
    world.do(s.CreateIdentityProvider(made, **{**fields, **more}))
    return made


def unchanged(world: World, made: IdentityProviderId, **more: Any) -> s.ChangeIdentityProvider:
    old = world.state.identity_providers[made]
    names = ("name", "client_id", "scopes", "groups_claim", "email_domains", "new_users", "second_factor")
    return s.ChangeIdentityProvider(made, **{**{name: getattr(old, name) for name in names}, **more})


def test_openid_is_always_asked_for_and_domains_are_folded() -> None:
    world = World()
    made = provider(world, scopes=("email", "email", "groups"), email_domains=("Corp.Example", "a.example"))
    shown = world.state.identity_providers[made]
    assert shown.scopes == ("openid", "email", "groups")
    assert shown.email_domains == ("a.example", "corp.example")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("issuer", "idp.example"),
        ("issuer", "ftp://idp.example"),
        ("issuer", "https://idp.example?a=b"),
        ("issuer", "https://idp.example#a"),
        ("issuer", "https://user@idp.example"),
        ("issuer", "https://idp.example:port"),
        ("issuer", "https://idp.exämple"),
        ("issuer", "https://" + "a" * 200 + ".example"),
        ("client_id", ""),
        ("client_id", "a\nb"),
        ("name", ""),
        ("scopes", ("two words",)),
        ("scopes", ("x",) * 17),
        ("groups_claim", ""),
        ("email_domains", ("corp..example",)),
        ("email_domains", ("*.example",)),
        ("email_domains", ("a.example",) * 33),
        ("new_users", "perhaps"),
        ("second_factor", "none"),
    ],
)
def test_what_is_no_provider_is_refused_and_named(field: str, value: Any) -> None:
    world = World()
    fields = {"name": "idp", "issuer": "https://idp.example", "client_id": "ostiary", field: value}
    command = s.CreateIdentityProvider(IdentityProviderId(fresh_id("identity_provider")), **fields)
    reason, detail = world.refused(command)
    assert reason is Reason.INVALID_INPUT
    assert detail.startswith(field)


def test_t2_an_issuer_belongs_to_one_provider_and_never_changes() -> None:
    world = World()
    made = provider(world, issuer="https://idp.example")
    again = s.CreateIdentityProvider(
        IdentityProviderId(fresh_id("identity_provider")), "other", "https://idp.example", "ostiary"
    )
    assert world.refused(again)[0] is Reason.ALREADY_EXISTS
    assert not hasattr(unchanged(world, made), "issuer")
    world.do(s.RemoveIdentityProvider(made))
    world.do(again)


def test_a_change_that_changes_nothing_is_no_event() -> None:
    world = World()
    made = provider(world)
    assert world.do(unchanged(world, made)) == ()
    assert world.do(unchanged(world, made, new_users="create")) != ()
    assert world.do(s.SetIdentityProviderSecret(made)) == (e.IdentityProviderSecretSet(made),)


def test_group_claims_keep_mapped_groups_in_step_and_no_other() -> None:
    world = World()
    user, made = world.user(), provider(world)
    eng, ops, own = (world.group() for _ in range(3))
    world.do(s.MapProviderGroups(made, (("engineers", eng), ("devs", eng), ("ops", ops))))
    world.do(c.AddGroupMember(own, user))
    world.do(s.FollowProviderGroups(user, made, frozenset({"devs", "unknown"})))
    assert set(world.state.groups_of[user]) == {eng, own}
    assert world.do(s.FollowProviderGroups(user, made, frozenset({"engineers"}))) == ()
    moved = world.do(s.FollowProviderGroups(user, made, frozenset({"ops"})))
    assert moved == (e.GroupMemberRemoved(eng, user), e.GroupMemberAdded(ops, user))
    world.do(s.FollowProviderGroups(user, made, frozenset()))
    assert set(world.state.groups_of[user]) == {own}


def test_groups_that_are_not_known_stay_as_they_are() -> None:
    world = World()
    user, made, eng, ops = world.user(), provider(world), world.group(), world.group()
    not_known = s.FollowProviderGroups(user, made, None)
    assert world.do(not_known) == (), "nothing is mapped"
    world.do(s.MapProviderGroups(made, (("engineers", eng), ("ops", ops))))
    world.do(s.FollowProviderGroups(user, made, frozenset({"ops"})))
    assert world.do(not_known) == ()
    assert set(world.state.groups_of[user]) == {ops}


def test_a_first_sign_in_is_refused_while_its_groups_are_not_known() -> None:
    world = World()
    user, made, eng, own = world.user(), provider(world, groups_claim="teams"), world.group(), world.group()
    world.do(s.MapProviderGroups(made, (("engineers", eng),)))
    world.do(c.AddGroupMember(own, user))
    reason, detail = world.refused(s.FollowProviderGroups(user, made, None))
    assert reason is Reason.IDENTITY_REFUSED
    assert "teams" in detail
    assert world.do(s.FollowProviderGroups(user, made, frozenset())) == ()


def test_groups_that_are_not_known_lift_no_exclusion() -> None:
    world = World()
    user, made, eng, leavers = world.user(), provider(world, groups_claim="teams"), world.group(), world.group()
    world.do(s.MapProviderGroups(made, (("engineers", eng), ("leavers", leavers))))
    world.do(s.FollowProviderGroups(user, made, frozenset({"engineers"})))
    not_known = s.FollowProviderGroups(user, made, None)
    assert world.do(not_known) == ()
    excluded = world.exclusion(leavers, world.resource(world.network()))
    reason, detail = world.refused(not_known)
    assert reason is Reason.IDENTITY_REFUSED
    assert "teams" in detail
    world.do(RemoveExclusion(excluded))
    assert world.do(not_known) == ()


def test_a_removed_group_is_followed_no_more() -> None:
    world = World()
    user, made, group = world.user(), provider(world), world.group()
    world.do(s.MapProviderGroups(made, (("ops", group),)))
    world.do(c.RemoveGroup(group))
    assert world.do(s.FollowProviderGroups(user, made, frozenset({"ops"}))) == ()


def test_the_mapping_is_replaced_as_a_whole() -> None:
    world = World()
    made, one, two = provider(world), world.group(), world.group()
    world.do(s.MapProviderGroups(made, (("a", one), ("b", two), ("a", one))))
    assert world.state.identity_providers[made].groups == (("a", one), ("b", two))
    events = world.do(s.MapProviderGroups(made, (("b", two), ("c", one))))
    assert events == (
        e.IdentityProviderGroupUnmapped(made, "a", one),
        e.IdentityProviderGroupMapped(made, "c", one),
    )
    unknown = s.MapProviderGroups(made, (("a", GroupId(fresh_id("group"))),))
    assert world.refused(unknown)[0] is Reason.NOT_FOUND


def test_a_second_factor_is_added_once_and_taken_away() -> None:
    world = World()
    user = world.user()
    assert world.refused(s.MakeRecoveryCodes(user))[0] is Reason.NOT_FOUND
    world.do(s.AddSecondFactor(user, "totp"))
    assert world.state.users[user].second_factor == "totp"
    assert world.refused(s.AddSecondFactor(user, "totp"))[0] is Reason.ALREADY_EXISTS
    assert world.do(s.MakeRecoveryCodes(user)) == (e.UserRecoveryCodesMade(user),)
    assert world.do(s.UseRecoveryCode(user, 9)) == (e.UserRecoveryCodeUsed(user, 9),)
    world.do(s.RemoveSecondFactor(user))
    assert world.state.users[user].second_factor is None
    assert world.do(s.RemoveSecondFactor(user)) == ()


def test_t16_nobody_takes_away_the_second_factor_of_somebody_above_him() -> None:
    world = World()
    owner, admin, member = world.user(Role.OWNER), world.user(Role.ADMIN), world.user()
    for command in (s.RemoveSecondFactor(owner), s.LinkIdentity(owner, IdentityProviderId("idp_x"))):
        assert refusal_for(world.state, admin, command) is not None
        assert refusal_for(world.state, member, command) is not None
    assert refusal_for(world.state, admin, s.RemoveSecondFactor(member)) is None
    assert refusal_for(world.state, member, s.RemoveSecondFactor(member)) is None
    assert refusal_for(world.state, owner, s.AddSecondFactor(member, "totp")) is not None
    assert refusal_for(world.state, admin, s.ChangeSignInRules("nobody")) is not None
    assert refusal_for(world.state, owner, s.ChangeSignInRules("nobody")) is None


def test_t9_sign_ins_and_their_ends_are_facts_of_the_log() -> None:
    world = World()
    user = world.user()
    made = world.do(s.RecordSignIn(user, "api", "password+totp", "tok_x"))
    assert made == (e.SignInSucceeded(user, "api", "password+totp", "tok_x"),)
    assert world.do(s.RecordSignInEnd(user, None, "revoked")) == (e.SignInEnded(user, None, "revoked"),)
    assert world.do(s.RecordOmittedFailures(0)) == ()
    assert world.do(s.RecordOmittedFailures(7)) == (e.SignInFailuresOmitted(7),)
    version = world.state.version_of(user)
    world.do(s.RecordSignIn(user, "api", "password", "tok_y"))
    assert world.state.version_of(user) == version, "a sign-in is no change of the account"


def test_rules_change_once() -> None:
    world = World()
    world.do(s.ChangeSignInRules("staff"))
    assert world.do(s.ChangeSignInRules("staff")) == ()
    assert world.refused(s.ChangeSignInRules("some"))[0] is Reason.INVALID_INPUT


def test_a_step_up_renews_a_living_session_only() -> None:
    world = World()
    user = world.user()
    device = world.device(user)
    session = SessionId(fresh_id("session"))
    world.do(c.StartSession(session, device, user, FAR, START, None, "password"))
    world.do(s.Reauthenticate(session, START + 5, START + 5, "password+totp"))
    renewed = world.state.sessions[session]
    assert (renewed.authenticated_s, renewed.mfa_s, renewed.method) == (START + 5, START + 5, "password+totp")
    world.do(c.EndSession(session))
    again = s.Reauthenticate(session, START + 9, START + 9, "password+totp")
    assert world.refused(again)[0] is Reason.NOT_FOUND


def test_unknown_things_are_not_found() -> None:
    world = World()
    nobody, nowhere = UserId(fresh_id("user")), IdentityProviderId(fresh_id("identity_provider"))
    for command in (
        s.RemoveIdentityProvider(nowhere),
        s.SetIdentityProviderSecret(nowhere),
        s.MapProviderGroups(nowhere, ()),
        s.LinkIdentity(nobody, nowhere),
        s.AddSecondFactor(nobody, "totp"),
        s.RecordSignIn(nobody, "api", "password", "x"),
    ):
        assert world.refused(command)[0] is Reason.NOT_FOUND
