"""The evaluator: deny by default, merge of grants, ends of time, explanations (properties included)."""

from hypothesis import given, settings
from hypothesis import strategies as st
from policy_commands import commands_in
from policy_world import FAR, START, WEB, World, fresh_id

from controller.domain import commands as c
from controller.domain import events as e
from controller.domain.decide import decide
from controller.domain.evaluate import (
    Subject,
    acl_for_device,
    config_acl,
    explain,
    may_reach,
    next_change_at,
    people_to_ask,
    subject_of_device,
)
from controller.domain.model import Role, SubjectKind, SubjectRef
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from protocol.acl.diff import diff
from protocol.acl.model import Acl, Deny, Entry, Permit, Request, Transport
from protocol.ids import ConnectorId, DeviceId, ResourceId
from protocol.reasons import Reason

NOW = float(START)
HTTPS = Request("web.internal", Transport.TCP, 443)


def web_world() -> tuple[World, DeviceId, ResourceId]:
    world = World()
    device = world.laptop(world.user())
    return world, device, world.resource(world.network(), "web.internal", name="web")


def owner_of(world: World, device: DeviceId) -> str:
    return world.state.devices[device].owner.id


def test_without_a_grant_nothing_is_reachable_and_nothing_exists() -> None:
    world, device, resource = web_world()
    assert acl_for_device(world.state, device, NOW) == Acl()
    assert explain(world.state, device, HTTPS, NOW).decision == Deny(Reason.NOT_A_RESOURCE)
    assert may_reach(world.state, device, resource, NOW) == Deny(Reason.NO_GRANT)
    assert may_reach(world.state, device, ResourceId("res_x"), NOW) == Deny(Reason.NO_GRANT)


def test_an_unknown_device_has_nothing() -> None:
    for state in (PolicyState(), World().state):
        device = DeviceId(fresh_id("device"))
        assert subject_of_device(state, device, NOW) == Deny(Reason.DEVICE_REVOKED)
        assert acl_for_device(state, device, NOW) == Acl()
        assert next_change_at(state, device, NOW) is None


def test_grants_of_user_and_groups_are_merged() -> None:
    world, device, resource = web_world()
    user = owner_of(world, device)
    group = world.group(world.state.sessions[world.state.session_of[device]].user, name="dev")
    own = world.grant(user, resource, expires=START + 10)
    shared = world.grant(group, resource, expires=START + 20)
    (entry,) = acl_for_device(world.state, device, NOW).entries
    assert entry.grants == tuple(sorted((own, shared)))
    assert entry.expires == START + 20
    endless = world.grant(group, resource)
    (entry,) = acl_for_device(world.state, device, NOW).entries
    assert entry.expires is None
    assert endless in entry.grants


def test_expired_grants_and_sessions_end_by_the_second() -> None:
    world, device, resource = web_world()
    world.grant(owner_of(world, device), resource, expires=START + 10)
    assert isinstance(may_reach(world.state, device, resource, START + 9.99), Entry)
    assert may_reach(world.state, device, resource, START + 10.0) == Deny(Reason.GRANT_EXPIRED, resource)
    assert acl_for_device(world.state, device, START + 10.0) == Acl()
    world.session(device, expires=START + 5)
    assert subject_of_device(world.state, device, START + 5.0) == Deny(Reason.SESSION_ENDED)


def test_next_change_is_the_next_end() -> None:
    world, device, resource = web_world()
    user = owner_of(world, device)
    assert next_change_at(world.state, device, NOW) == FAR
    for end in (START + 30, START + 20, START - 5):
        world.grant(user, resource, expires=end)
    assert next_change_at(world.state, device, NOW) == START + 20
    assert next_change_at(world.state, device, START + 20.0) == START + 30
    assert next_change_at(world.state, device, START + 30.0) == FAR
    assert next_change_at(world.state, device, float(FAR)) is None


def test_each_kind_of_lost_standing_has_its_reason() -> None:
    world, device, _ = web_world()
    user = world.state.sessions[world.state.session_of[device]].user
    subject = Subject(device, SubjectRef(SubjectKind.USER, user), world.state.session_of[device], FAR)
    assert subject_of_device(world.state, device, NOW) == subject
    world.do(c.DisableUser(user))
    assert subject_of_device(world.state, device, NOW) == Deny(Reason.USER_DISABLED)
    world.do(c.EnableUser(user))
    world.do(c.EndSession(world.state.session_of[device]))
    assert subject_of_device(world.state, device, NOW) == Deny(Reason.SESSION_ENDED)
    world.do(c.RevokeDevice(device))
    assert subject_of_device(world.state, device, NOW) == Deny(Reason.DEVICE_REVOKED)


def test_a_service_account_needs_no_session() -> None:
    world, _, resource = web_world()
    account = world.service_account()
    device = world.device(account)
    world.grant(account, resource)
    assert isinstance(may_reach(world.state, device, resource, NOW), Entry)
    assert next_change_at(world.state, device, NOW) is None
    world.do(c.DisableServiceAccount(account))
    assert subject_of_device(world.state, device, NOW) == Deny(Reason.SERVICE_ACCOUNT_DISABLED)
    assert acl_for_device(world.state, device, NOW) == Acl()
    world.do(c.RemoveServiceAccount(account))
    assert subject_of_device(world.state, device, NOW) == Deny(Reason.DEVICE_REVOKED)


def test_a_connector_serves_its_own_network_only() -> None:
    world, _, resource = web_world()
    network = world.state.resources[resource].network
    world.resource(world.network())
    connector = world.connector(network)
    assert [entry.resource.id for entry in config_acl(world.state, connector).entries] == [resource]
    assert all(entry.grants == () for entry in config_acl(world.state, connector).entries)
    assert config_acl(world.state, ConnectorId("con_x")) == Acl()


def test_explain_names_grants_and_whom_to_ask() -> None:
    world, device, resource = web_world()
    user = world.state.sessions[world.state.session_of[device]].user
    owner, admin, gone = world.user(Role.OWNER), world.user(Role.ADMIN), world.user(Role.ADMIN)
    world.do(c.DisableUser(gone))
    assert people_to_ask(world.state) == (admin, owner)
    assert explain(world.state, device, HTTPS, NOW).ask == (admin, owner)
    approver, _ = world.user(Role.ACCESS_APPROVER), world.user(Role.AUDITOR)
    assert people_to_ask(world.state) == (approver, admin, owner)
    group = world.group(user, name="dev")
    grant = world.grant(group, resource)
    explanation = explain(world.state, device, HTTPS, NOW)
    assert isinstance(explanation.decision, Permit)
    assert [one.id for one in explanation.grants] == [grant]
    assert explanation.via == (SubjectRef(SubjectKind.GROUP, group),)
    assert explanation.ask == ()
    wrong_port = explain(world.state, device, Request("web.internal", Transport.TCP, 80), NOW)
    assert wrong_port.decision == Deny(Reason.PORT_NOT_ALLOWED, resource)


def test_explain_knows_what_expired_and_what_never_was() -> None:
    world, device, resource = web_world()
    world.grant(owner_of(world, device), resource, expires=START - 1)
    assert explain(world.state, device, HTTPS, NOW).decision == Deny(Reason.GRANT_EXPIRED, resource)
    world.do(c.EndSession(world.state.session_of[device]))
    assert explain(world.state, device, HTTPS, NOW).decision == Deny(Reason.SESSION_ENDED)


def _reaches(state: PolicyState, device: DeviceId, resource: ResourceId, now: float) -> bool:
    return isinstance(may_reach(state, device, resource, now), Entry)


def _lifts_an_exclusion(before: PolicyState, event: e.Event) -> bool:
    """Whoever leaves a group leaves its exclusions as well."""
    if not isinstance(event, e.GroupMemberRemoved):
        return False
    return SubjectRef(SubjectKind.GROUP, event.group) in before.exclusions_of


REVOKING = (
    e.GrantRevoked,
    e.ExclusionCreated,
    e.DeviceUntrusted,
    e.UserDisabled,
    e.UserRemoved,
    e.GroupRemoved,
    e.GroupMemberRemoved,
    e.ServiceAccountDisabled,
    e.ServiceAccountRemoved,
    e.DeviceRevoked,
    e.SessionEnded,
    e.ResourceRemoved,
)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_revoking_never_grants_and_every_entry_has_a_living_grant(data: st.DataObject) -> None:
    world = World()
    now = float(data.draw(st.integers(START - 5, START + 105)))
    for command in data.draw(st.lists(commands_in(world), max_size=60)):
        decided = decide(world.state, command)
        for event in () if isinstance(decided, Refusal) else decided:
            before = world.state
            world.append(event)
            for device in world.state.devices:
                old, new = acl_for_device(before, device, now), acl_for_device(world.state, device, now)
                if isinstance(event, REVOKING) and not _lifts_an_exclusion(before, event):
                    assert not diff(old, new).gained
                reached = {entry.resource.id for entry in new.entries}
                assert reached == {one for one in world.state.resources if _reaches(world.state, device, one, now)}
                for entry in new.entries:
                    assert entry.grants
                    for grant in entry.grants:
                        expires = world.state.grants[grant].expires
                        assert expires is None or expires > now


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_between_two_changes_of_time_the_answer_stays_the_same(data: st.DataObject) -> None:
    world = World()
    device = world.laptop(world.user())
    user = world.state.sessions[world.state.session_of[device]].user
    network = world.network()
    for end in data.draw(st.lists(st.one_of(st.none(), st.integers(START - 5, START + 50)), max_size=5)):
        world.grant(user, world.resource(network, ports=WEB), expires=end)
    now = float(START)
    while (change := next_change_at(world.state, device, now)) is not None and change < FAR:
        reached = [entry.resource.id for entry in acl_for_device(world.state, device, now).entries]
        before = [entry.resource.id for entry in acl_for_device(world.state, device, change - 0.5).entries]
        assert before == reached
        after = [entry.resource.id for entry in acl_for_device(world.state, device, float(change)).entries]
        assert len(after) < len(reached)
        now = float(change)
