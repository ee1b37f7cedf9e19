"""The plain inverse of an event: what would take it back. Pure.

Only what is wholly known has one: a grant, a membership, an exclusion, a name, the conditions of a policy. What was removed
together with what hung on it, what signs people in, and what agents did, is not taken back by a command. A change on which
others were built since is not, either: that would take theirs back, too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller.domain import commands as c
from controller.domain import commands_policies as k
from controller.domain import events as e
from controller.domain.evolve import evolve
from controller.domain.model import SubjectRef
from controller.domain.reconcile import Action, Ids, Step
from controller.domain.state import PolicyState
from protocol.errors import RefusedError
from protocol.ids import ExclusionId, GrantId, NetworkId, PolicyId, ResourceId
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class Past:
    """An event between the states ``before`` and ``after`` it, and the state ``now`` in which it is to be taken back."""

    event: e.Event
    before: PolicyState
    after: PolicyState
    now: PolicyState

    @classmethod
    def of(cls, event: e.Event, before: PolicyState, now: PolicyState) -> "Past":
        """Folds the event on top of ``before``."""
        return cls(event, before, evolve(before, event, before.position + 1, before.at_ms), now)


def inverse(past: Past, ids: Ids) -> Step:
    """Returns the command that takes the event back. ``ids`` name what it makes anew: no id is used twice.

    Raises:
        RefusedError: CONFLICT, with why not.
    """
    found = _people(past) or _grants(past, ids) or _policies(past, ids) or _places(past, ids)
    if found is None:
        raise RefusedError(Reason.CONFLICT, f"{past.event.TYPE.partition('/')[0]} has no plain inverse")
    return found


def _people(past: Past) -> Step | None:
    now = past.now
    match past.event:
        case e.GroupCreated(group=group):
            return _step(c.RemoveGroup(group), "remove", "group", _name(now.groups, group))
        case e.GroupRenamed(group=group):
            old = _unchanged(past, lambda state: state.groups[group]).name
            return _step(c.RenameGroup(group, old), "change", "group", _name(now.groups, group), f"name → {old}")
        case e.GroupMemberAdded(group=group, user=user):
            name = _name(now.groups, group)
            return _step(c.RemoveGroupMember(group, user), "change", "group", name, f"without {user}")
        case e.GroupMemberRemoved(group=group, user=user):
            name = _name(now.groups, group)
            return _step(c.AddGroupMember(group, user), "change", "group", name, f"with {user}")
        case e.UserDisabled(user=user):
            return _step(c.EnableUser(user), "change", "user", user, "enabled")
        case e.ServiceAccountDisabled(service_account=account):
            name = _name(now.service_accounts, account)
            return _step(c.EnableServiceAccount(account), "change", "service_account", name, "enabled")
        case e.ServiceAccountEnabled(service_account=account):
            name = _name(now.service_accounts, account)
            return _step(c.DisableServiceAccount(account), "change", "service_account", name, "disabled")
        case e.DeviceTrusted(device=device):
            return _step(k.UntrustDevice(device), "change", "device", device, "not trusted")
        case e.DeviceUntrusted(device=device):
            return _step(k.TrustDevice(device), "change", "device", device, "trusted")
    return None


def _grants(past: Past, ids: Ids) -> Step | None:
    now = past.now
    match past.event:
        case e.GrantCreated(grant=grant):
            _living(now.grants, grant)
            name = _between(now, now.grants[grant].subject, now.grants[grant].resource)
            return _step(c.RevokeGrant(grant), "remove", "grant", name)
        case e.GrantRevoked(grant=grant):
            old = past.before.grants[grant]
            again = GrantId(ids.new("grant"))
            command = c.CreateGrant(again, old.subject.kind, old.subject.id, old.resource, old.expires, old.policy)
            return _step(command, "create", "grant", _between(now, old.subject, old.resource))
        case e.ExclusionCreated(exclusion=exclusion):
            _living(now.exclusions, exclusion)
            name = _between(now, now.exclusions[exclusion].subject, now.exclusions[exclusion].resource)
            return _step(k.RemoveExclusion(exclusion), "remove", "exclusion", name)
        case e.ExclusionRemoved(exclusion=exclusion):
            gone = past.before.exclusions[exclusion]
            anew = ExclusionId(ids.new("exclusion"))
            create = k.CreateExclusion(anew, gone.subject.kind, gone.subject.id, gone.resource, gone.expires)
            return _step(create, "create", "exclusion", _between(now, gone.subject, gone.resource))
    return None


def _policies(past: Past, ids: Ids) -> Step | None:
    now = past.now
    match past.event:
        case e.PolicyCreated(policy=policy):
            return _step(k.RemovePolicy(policy), "remove", "policy", _name(now.policies, policy))
        case e.PolicyChanged(policy=policy):
            old = _unchanged(past, lambda state: state.policies[policy])
            return _step(
                k.ChangePolicy(policy, old.name, old.conditions), "change", "policy", _name(now.policies, policy)
            )
        case e.PolicyRemoved(policy=policy):
            gone = past.before.policies[policy]
            again = PolicyId(ids.new("policy"))
            return _step(k.CreatePolicy(again, gone.name, gone.conditions), "create", "policy", gone.name)
    return None


def _places(past: Past, ids: Ids) -> Step | None:
    now = past.now
    match past.event:
        case e.NetworkCreated(network=network):
            return _step(c.RemoveNetwork(network), "remove", "network", _name(now.networks, network))
        case e.NetworkRenamed(network=network):
            old = _unchanged(past, lambda state: state.networks[network].name)
            return _step(
                c.RenameNetwork(network, old), "change", "network", _name(now.networks, network), f"name → {old}"
            )
        case e.NetworkEgressChanged(network=network):
            allow = _unchanged(past, lambda state: state.networks[network].egress_allow)
            command = c.ChangeNetworkEgress(network, allow)
            return _step(
                command, "change", "network", _name(now.networks, network), f"egress {', '.join(allow) or 'none'}"
            )
        case e.NetworkRemoved(network=network):
            if past.before.networks[network].egress_allow:
                raise RefusedError(Reason.CONFLICT, "it had exceptions of egress: make it anew")
            name = past.before.networks[network].name
            return _step(c.CreateNetwork(NetworkId(ids.new("network")), name), "create", "network", name)
        case e.ResourceCreated(resource=resource):
            _living(now.resources, resource)
            if now.grants_on.get(resource):
                raise RefusedError(Reason.IN_USE, "grants lead to it, which would go with it: revoke them first")
            return _step(c.RemoveResource(resource), "remove", "resource", _name(now.resources, resource))
        case e.ResourceChanged(resource=resource):
            old_one = _unchanged(past, lambda state: state.resources[resource])
            change = c.ChangeResource(
                ResourceId(resource),
                old_one.network,
                old_one.name,
                str(old_one.address),
                old_one.ports,
                old_one.lease_s,
            )
            return _step(change, "change", "resource", _name(now.resources, resource))
    return None


def _unchanged(past: Past, read: Callable[[PolicyState], Any]) -> Any:
    """Returns what ``read`` gave before the event, if it still is as the event left it."""
    try:
        present = read(past.now)
    except KeyError:
        raise RefusedError(Reason.CONFLICT, "it was removed since") from None
    if present != read(past.after):
        raise RefusedError(Reason.CONFLICT, "it was changed again since: take that back first")
    return read(past.before)


def _living(things: Any, thing: str) -> None:
    if thing not in things:
        raise RefusedError(Reason.CONFLICT, "it was removed since")


def _name(things: Any, thing: str) -> str:
    _living(things, thing)
    return str(things[thing].name)


def _between(state: PolicyState, subject: SubjectRef, resource: ResourceId) -> str:
    named = state.groups.get(subject.id) or state.service_accounts.get(subject.id)  # type: ignore[call-overload]
    known = state.resources.get(resource)
    return f"{named.name if named is not None else subject.id} → {known.name if known is not None else resource}"


def _step(command: c.Command, action: Action, kind: str, name: str, detail: str = "") -> Step:
    return Step(command, action, kind, name, detail)
