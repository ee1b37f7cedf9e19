"""A new snapshot, or the passing of time: which open flows end, and why (C22 to C24).

The connector has the last word and cuts them too; the client does it first where it can, because then the application's
user is told the reason here.
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from client.core.classify import Target
from protocol.acl.decide import decide
from protocol.acl.match import AclIndex
from protocol.acl.model import Entry, Permit
from protocol.reasons import Reason

F = TypeVar("F")

_SAID_TO_THE_USER = {
    Reason.NOT_A_RESOURCE: Reason.ACCESS_REVOKED,
    Reason.PORT_NOT_ALLOWED: Reason.RESOURCE_CHANGED,
    Reason.PROTOCOL_NOT_ALLOWED: Reason.RESOURCE_CHANGED,
}


class Ending(NamedTuple, Generic[F]):
    """``flow`` has to be reset with ``reason``."""

    flow: F
    reason: Reason


def reevaluate(flows: Iterable[tuple[F, Target]], index: AclIndex, wall: float) -> list[Ending[F]]:
    """Judges open flows by a new snapshot, or again by the same one because grants expire.

    A flow goes on only if the resource that it was opened for still permits it: another one that covers its destination
    may lie in another remote network.
    """
    endings = []
    for flow, target in flows:
        reason = _ending(target, index, wall)
        if reason is not None:
            endings.append(Ending(flow, reason))
    return endings


def beyond_lease(flows: Iterable[tuple[F, Target]], away_s: float) -> list[Ending[F]]:
    """Returns the flows whose resource's lease is shorter than the controller has been away (C24, decision D5)."""
    return [Ending(flow, Reason.LEASE_EXPIRED) for flow, target in flows if away_s >= target.entry.resource.lease_s]


def _ending(target: Target, index: AclIndex, wall: float) -> Reason | None:
    entry = target.entry
    if index.entry(entry.resource.id) is entry and (entry.expires is None or wall < entry.expires):
        return None  # the very entry that permitted it: only time can have taken it away
    if any(_same_resource(each, target) for each in index.permitting(target.request, wall)):
        return None
    verdict = decide(index, target.request, wall)
    if isinstance(verdict, Permit):
        return Reason.RESOURCE_CHANGED
    return _SAID_TO_THE_USER.get(verdict.reason, verdict.reason)


def _same_resource(entry: Entry, target: Target) -> bool:
    old, new = target.entry.resource, entry.resource
    return old.id == new.id and old.network == new.network
