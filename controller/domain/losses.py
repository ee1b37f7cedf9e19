"""What a change takes away from a device: the origin of every cut-off (C23, D4, T-36).

Only what rests on the device's own standing, grants and conditions is named here. A resource that was removed, narrowed or
moved needs no cut-off: its connectors get a config without it, and they judge every flow against their config as well (C19);
but an excluded resource that moves takes other resources with it.
``source`` is where the device's control connection comes from (see ``evaluate``).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from controller.domain import events as e
from controller.domain.conditions import Source
from controller.domain.evaluate import acl_for_device, may_reach, subject_of_device
from controller.domain.held import excludes, exclusions_of, grants_of
from controller.domain.model import Exclusion
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
    e.SessionReauthenticated,
    e.SessionEnded,
    e.DeviceRevoked,
    e.DeviceUntrusted,
    e.DeviceFactsReported,
    e.UserDisabled,
    e.UserRemoved,
    e.GroupMemberAdded,
    e.GroupRemoved,
    e.GroupMemberRemoved,
    e.ServiceAccountDisabled,
    e.ServiceAccountRemoved,
    e.PolicyChanged,
    e.ResourceChanged,
)
"""Events that can take away standing, grants or what their conditions ask for (a new member of a group falls under its
exclusions; a resource that is moved or widened may overlap an excluded one); all others only give, or change what configs say."""


def losses_by(
    before: PolicyState, after: PolicyState, event: e.Event, device: DeviceId, now: float, *, source: Source = None
) -> tuple[Loss, ...]:
    """Returns what ``event``, which led from ``before`` to ``after``, took away from ``device``."""
    match event:
        case e.GrantRevoked(grant=grant):
            return _loss_of_one(before, after, device, before.grants[grant].resource, now, source)
        case e.ExclusionCreated(exclusion=exclusion):
            taken = _taken_by(after, after.exclusions[exclusion], device)
            return tuple(
                loss for resource in taken for loss in _loss_of_one(before, after, device, resource, now, source)
            )
        case e.ResourceChanged() if not _has_exclusions(after, device):
            return ()
    if not isinstance(event, _TAKING):
        return ()
    return losses_of(before, after, device, was=now, now=now, came_from=source, source=source)


def losses_of(
    before: PolicyState,
    after: PolicyState,
    device: DeviceId,
    *,
    was: float,
    now: float,
    came_from: Source = None,
    source: Source = None,
) -> tuple[Loss, ...]:
    """Compares the device's standing in ``before`` at time ``was`` with that in ``after`` at ``now`` (Unix seconds).

    ``came_from`` is where it was at ``was``, ``source`` where it is at ``now``.
    """
    old = acl_for_device(before, device, was, source=came_from)
    if not old.entries:
        return ()
    standing = subject_of_device(after, device, now)
    if isinstance(standing, Deny):
        return (Loss(device, None, _networks(old), standing.reason),)
    new = acl_for_device(after, device, now, source=source)
    return tuple(_losses(after, device, old, new, now, source))


def _taken_by(state: PolicyState, exclusion: Exclusion, device_id: DeviceId) -> list[ResourceId]:
    """The resources that grants lead the device to and that the exclusion takes away."""
    device = state.devices.get(device_id)
    granted = {grant.resource for grant in grants_of(state, device.owner)} if device is not None else set()
    return sorted(resource for resource in granted if excludes(state, exclusion, resource))


def _has_exclusions(state: PolicyState, device_id: DeviceId) -> bool:
    device = state.devices.get(device_id)
    return device is not None and any(True for _ in exclusions_of(state, device.owner))


def _loss_of_one(
    before: PolicyState, after: PolicyState, device: DeviceId, resource: ResourceId, now: float, source: Source
) -> tuple[Loss, ...]:
    """A grant of a large group touches thousands of devices: only the one resource is looked at."""
    if isinstance(may_reach(before, device, resource, now, source=source), Deny):
        return ()
    refused = may_reach(after, device, resource, now, source=source)
    if not isinstance(refused, Deny):
        return ()
    network = before.resources[resource].network
    return (Loss(device, resource, frozenset((network,)), _said(refused)),)


def _losses(after: PolicyState, device: DeviceId, old: Acl, new: Acl, now: float, source: Source) -> Iterable[Loss]:
    kept = {entry.resource.id for entry in new.entries}
    places = {entry.resource.id: entry for entry in old.entries}
    for resource in diff(old, new).lost:
        if resource in kept or resource not in after.resources:
            continue
        refused = may_reach(after, device, resource, now, source=source)
        reason = _said(refused) if isinstance(refused, Deny) else Reason.ACCESS_REVOKED
        yield Loss(device, resource, frozenset((places[resource].resource.network,)), reason)


def _said(refused: Deny) -> Reason:
    """What the user reads. Where no grant is left at all, somebody took it."""
    return Reason.ACCESS_REVOKED if refused.reason is Reason.NO_GRANT else refused.reason


def _networks(acl: Acl) -> frozenset[NetworkId]:
    return frozenset(entry.resource.network for entry in acl.entries)
