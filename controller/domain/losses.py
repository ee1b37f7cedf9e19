"""What a change takes away from a device: the origin of every cut-off (C23, D4, T-36).

Only what rests on the device's own standing and grants is named here. A resource that was removed, narrowed or moved needs
no cut-off: its connectors get a config without it, and they judge every flow against their config as well (C19).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from controller.domain import events as e
from controller.domain.evaluate import acl_for_device, has_grant, subject_of_device
from controller.domain.state import PolicyState
from protocol.acl.diff import diff
from protocol.acl.model import Acl, Deny
from protocol.ids import DeviceId, NetworkId, ResourceId
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class Loss:
    """``device`` may not reach ``resource`` (None: anything) in these remote networks any more."""

    device: DeviceId
    resource: ResourceId | None
    networks: frozenset[NetworkId]
    reason: Reason


_TAKING = (
    e.SessionStarted,
    e.SessionEnded,
    e.DeviceRevoked,
    e.UserDisabled,
    e.UserRemoved,
    e.GroupRemoved,
    e.GroupMemberRemoved,
    e.ServiceAccountDisabled,
    e.ServiceAccountRemoved,
)
"""Events that can take away standing or grants; all others only give, or change what configs say."""


def losses_by(
    before: PolicyState, after: PolicyState, event: e.Event, device: DeviceId, now: float
) -> tuple[Loss, ...]:
    """Returns what ``event``, which led from ``before`` to ``after``, took away from ``device``."""
    if isinstance(event, e.GrantRevoked):
        return _loss_of_one(before, after, device, before.grants[event.grant].resource, now)
    return losses_of(before, after, device, was=now, now=now) if isinstance(event, _TAKING) else ()


def losses_of(before: PolicyState, after: PolicyState, device: DeviceId, *, was: float, now: float) -> tuple[Loss, ...]:
    """Compares the device's standing in ``before`` at time ``was`` with that in ``after`` at ``now`` (Unix seconds)."""
    old = acl_for_device(before, device, was)
    if not old.entries:
        return ()
    standing = subject_of_device(after, device, now)
    if isinstance(standing, Deny):
        return (Loss(device, None, _networks(old), standing.reason),)
    new = acl_for_device(after, device, now)
    return tuple(_losses(after, device, old, new))


def _loss_of_one(
    before: PolicyState, after: PolicyState, device: DeviceId, resource: ResourceId, now: float
) -> tuple[Loss, ...]:
    """A grant of a large group touches thousands of devices: only the one resource is looked at."""
    subject = subject_of_device(before, device, now)
    if isinstance(subject, Deny) or not has_grant(before, subject.owner, resource, now):
        return ()
    if has_grant(after, subject.owner, resource, now):
        return ()
    network = before.resources[resource].network
    return (Loss(device, resource, frozenset((network,)), Reason.ACCESS_REVOKED),)


def _losses(after: PolicyState, device: DeviceId, old: Acl, new: Acl) -> Iterable[Loss]:
    kept = {entry.resource.id for entry in new.entries}
    places = {entry.resource.id: entry for entry in old.entries}
    for resource in diff(old, new).lost:
        if resource in kept or resource not in after.resources:
            continue
        expires = places[resource].expires
        reason = Reason.ACCESS_REVOKED
        if expires is not None and all(grant in after.grants for grant in places[resource].grants):
            reason = Reason.GRANT_EXPIRED
        yield Loss(device, resource, frozenset((places[resource].resource.network,)), reason)


def _networks(acl: Acl) -> frozenset[NetworkId]:
    return frozenset(entry.resource.network for entry in acl.entries)
