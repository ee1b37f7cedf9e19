"""The end of grants, sessions and devices with what they hang on: nothing is left dangling."""

from collections.abc import Iterable

from controller.domain.index import discard, without
from controller.domain.model import FormerAgent, SubjectRef
from controller.domain.state import PolicyState, changed
from protocol.ids import DeviceId, GrantId, SessionId
from protocol.reasons import Reason


def drop_grants(state: PolicyState, grants: Iterable[GrantId]) -> PolicyState:
    """The state without these grants."""
    for grant_id in grants:
        grant = state.grants[grant_id]
        if grant.policy is not None:
            state = changed(state, grants_under=discard(state.grants_under, grant.policy, grant_id))
        state = changed(
            state,
            grants=state.grants.delete(grant_id),
            grants_to=discard(state.grants_to, grant.subject, grant_id),
            grants_on=discard(state.grants_on, grant.resource, grant_id),
        )
    return state


def drop_subject_grants(state: PolicyState, subject: SubjectRef) -> PolicyState:
    """The state without what was given to ``subject`` itself."""
    return drop_grants(state, state.grants_to.get(subject, ()))


def drop_session(state: PolicyState, session: SessionId) -> PolicyState:
    """The state without this session, which may be gone already."""
    old = state.sessions.get(session)
    if old is None:
        return state
    return changed(
        state,
        sessions=state.sessions.delete(session),
        session_of=without(state.session_of, old.device),
    )


def drop_device(state: PolicyState, device_id: DeviceId) -> PolicyState:
    """The state without this device and its session; its key stays known as that of a revoked one."""
    device = state.devices[device_id]
    session = state.session_of.get(device_id)
    if session is not None:
        state = drop_session(state, session)
    return changed(
        state,
        devices=state.devices.delete(device_id),
        devices_of=discard(state.devices_of, device.owner, device_id),
        device_by_key=without(state.device_by_key, device.key),
        former_agents=state.former_agents.set(device_id, FormerAgent(device_id, device.key, Reason.DEVICE_REVOKED)),
    )


def drop_devices_of(state: PolicyState, owner: SubjectRef) -> PolicyState:
    """The state without the devices of ``owner``."""
    for device in state.devices_of.get(owner, ()):
        state = drop_device(state, device)
    return state
