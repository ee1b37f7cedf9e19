"""What a change takes away from a device: the origin of every cut-off (C23, D4, T-36).

Only what rests on the device's own standing and grants is named here. A resource that was removed, narrowed or moved needs
no cut-off: its connectors get a config without it, and they judge every flow against their config as well (C19).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from controller.domain.evaluate import acl_for_device, subject_of_device
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
