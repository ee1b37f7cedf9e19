"""What a change of a resource does to decisions that others took about it, and which permissions it therefore needs besides.

A grant says who may reach a resource, an exclusion who may not; what the resource *is* says where that leads. Somebody who may
change resources but not grants could otherwise turn a grant for one web page into one for the whole network (T-16).
"""

from collections.abc import Iterator

from controller.domain import commands as c
from controller.domain import events as e
from controller.domain.decide import decide
from controller.domain.evolve import evolve
from controller.domain.overlap import resources_overlap
from controller.domain.permissions import Permission
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from protocol.acl.diff import diff
from protocol.acl.model import Acl, Entry, Resource
from protocol.ids import ResourceId


def needed_besides(state: PolicyState, command: c.Command) -> Iterator[tuple[Permission, str]]:
    """Yields the permissions that ``command`` needs besides its own, each with a sentence that says why.

    Widening or moving a granted resource is granting; narrowing, moving or removing an excluded one lifts a part of the
    exclusion. So does taking a granted one out of the reach of an exclusion from another, which took it away whole. What the
    rules refuse anyway needs nothing: its own refusal says more.
    """
    match command:
        case c.ChangeResource(resource=resource):
            decided = decide(state, command)
            for event in () if isinstance(decided, Refusal) else decided:
                if isinstance(event, e.ResourceChanged):
                    after = evolve(state, event, state.position + 1, state.at_ms).resources[resource]
                    yield from _of_change(state, state.resources[resource], after)
        case c.RemoveResource(resource=resource):
            yield from _if_excluded(state, resource, "remove")


def widens(old: Resource, new: Resource) -> bool:
    """Tells whether ``new`` leads anywhere, or lasts longer without the controller, than ``old`` does."""
    return new.lease_s > old.lease_s or bool(diff(_only(old), _only(new)).gained)


def narrows(old: Resource, new: Resource) -> bool:
    """Tells whether ``old`` leads anywhere that ``new`` does not."""
    return bool(diff(_only(old), _only(new)).lost)


def _of_change(state: PolicyState, old: Resource, new: Resource) -> Iterator[tuple[Permission, str]]:
    granted = len(state.grants_on.get(old.id, ()))
    if granted and widens(old, new):
        yield Permission.GRANTS_WRITE, f"to widen or move resource {old.id}, on which there are {granted} grants"
    if narrows(old, new):
        yield from _if_excluded(state, old.id, "narrow or move")
        left = _exclusions_left(state, old, new) if granted else 0
        if left:
            yield (
                Permission.POLICIES_WRITE,
                f"to take resource {old.id} out of {left} exclusions from others that overlap",
            )


def _exclusions_left(state: PolicyState, old: Resource, new: Resource) -> int:
    """How many exclusions from other resources take ``old`` away and not ``new`` (``controller.domain.held``)."""
    others = ((state.resources[resource], excluded) for resource, excluded in state.exclusions_on.items())
    return sum(
        len(excluded)
        for other, excluded in others
        if other.id != old.id and resources_overlap(other, old) and not resources_overlap(other, new)
    )


def _if_excluded(state: PolicyState, resource: ResourceId, verb: str) -> Iterator[tuple[Permission, str]]:
    excluded = len(state.exclusions_on.get(resource, ()))
    if excluded:
        yield Permission.POLICIES_WRITE, f"to {verb} resource {resource}, on which there are {excluded} exclusions"


def _only(resource: Resource) -> Acl:
    return Acl((Entry(resource),))
