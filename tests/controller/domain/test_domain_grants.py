"""What is dropped together."""

from policy_world import World

from controller.domain.grants import drop_device, drop_devices_of, drop_grants, drop_session, drop_subject_grants
from controller.domain.model import SubjectKind, SubjectRef
from protocol.ids import SessionId
from protocol.reasons import Reason


def test_grants_leave_all_indexes() -> None:
    world = World()
    user, resource = world.user(), world.resource(world.network())
    grants = [world.grant(user, resource), world.grant(user, resource)]
    one = drop_grants(world.state, grants[:1])
    assert set(one.grants) == {grants[1]}
    none = drop_subject_grants(one, SubjectRef(SubjectKind.USER, user))
    assert not none.grants
    assert not none.grants_to
    assert not none.grants_on


def test_devices_leave_with_their_sessions() -> None:
    world = World()
    user = world.user()
    first, second = world.laptop(user), world.laptop(user)
    state = drop_device(world.state, first)
    assert set(state.session_of) == {second}
    assert state.former_agents[first].reason is Reason.DEVICE_REVOKED
    state = drop_devices_of(state, SubjectRef(SubjectKind.USER, user))
    assert not state.devices
    assert not state.device_by_key
    assert drop_session(state, SessionId("ses_gone")) is state
