"""From events to the agents whom they touch (C22): the index that keeps fan-out proportional to the change.

An event is judged against the state before and the state after it, because what was removed is only in the former and
what was added only in the latter.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from controller.domain import events as e
from controller.domain.held import grants_of
from controller.domain.model import SubjectKind, SubjectRef
from controller.domain.state import PolicyState
from protocol.ids import ConnectorId, DeviceId, GroupId, NetworkId, PolicyId, ResourceId, UserId


@dataclass(frozen=True, slots=True)
class Affected:
    """Whom a change touches.

    ``everybody``: the epoch changed, so every snapshot and config is new. ``keys``: the keys that agents must know
    changed. ``relays``: the list of relays, or what a relay must know, changed.
    """

    devices: frozenset[DeviceId] = field(default_factory=frozenset)
    connectors: frozenset[ConnectorId] = field(default_factory=frozenset)
    everybody: bool = False
    keys: bool = False
    relays: bool = False

    def __or__(self, other: "Affected") -> "Affected":
        return Affected(
            self.devices | other.devices,
            self.connectors | other.connectors,
            self.everybody or other.everybody,
            self.keys or other.keys,
            self.relays or other.relays,
        )


def affected_by(before: PolicyState, after: PolicyState, event: e.Event) -> Affected:
    """Returns a superset of the agents whose snapshot, config or standing differs between the two states."""
    match event:
        case e.ControllerInitialised() | e.EpochRaised():
            return Affected(everybody=True)
        case e.SigningKeyDistrusted():
            # What it signed is void: everybody needs tokens by another key as well.
            return Affected(everybody=True, keys=True, relays=True)
        case e.SigningKeyAdded():
            return Affected(keys=True, relays=True)
        case e.SigningKeyActivated() | e.SigningKeyRetired():
            # Agents have known the active key since it was added; tokens by the one before it stay valid.
            return Affected(relays=True)
        case e.RelayCreated() | e.RelayEnrolled() | e.RelayRemoved():
            return Affected(connectors=frozenset(after.connectors), relays=True)
        case e.NetworkRenamed(network=network) | e.NetworkEgressChanged(network=network):
            return _of_network(after, network)
        case e.ConnectorEnrolled(connector=connector):
            # Clients with a tunnel to the former key leave it as soon as they ask again: it is nobody's now (T-36, F-23).
            again = before.connectors[connector].key is not None
            users = _of_network(after, after.connectors[connector].network).devices if again else frozenset()
            return Affected(devices=users, connectors=frozenset((connector,)))
        case e.ConnectorKeyRotated(connector=connector):
            return Affected(connectors=frozenset((connector,)))
        case e.ConnectorRemoved(connector=connector):
            # Clients ask for a new token at once, are refused, and leave: a connector that was taken over does not obey.
            users = _of_network(before, before.connectors[connector].network).devices
            return Affected(devices=users, connectors=frozenset((connector,)))
        case (
            e.ResourceCreated(resource=resource)
            | e.ResourceChanged(resource=resource)
            | e.ResourceRemoved(resource=resource)
        ):
            return _of_resource(before, resource) | _of_resource(after, resource)
        case e.GrantCreated(subject_kind=kind, subject=subject):
            return _of_subject(after, SubjectRef(kind, subject))
        case e.GrantRevoked(grant=grant):
            return _of_subject(before, before.grants[grant].subject)
        case e.PolicyChanged(policy=policy):
            return _of_policy(after, policy)
        case e.ExclusionCreated(subject_kind=kind, subject=subject):
            return _of_subject(after, SubjectRef(kind, subject))
        case e.ExclusionRemoved(exclusion=exclusion):
            return _of_subject(before, before.exclusions[exclusion].subject)
        case e.DeviceTrusted(device=device) | e.DeviceUntrusted(device=device) | e.DeviceFactsReported(device=device):
            # Most policies do not ask: a fleet that reports every morning must not be sent its lists anew.
            owner = after.devices[device].owner
            conditional = any(grant.policy is not None for grant in grants_of(after, owner))
            return Affected(devices=frozenset((device,) if conditional else ()))
        case (
            e.SessionStarted(device=device)
            | e.SessionReauthenticated(device=device)
            | e.DeviceRegistered(device=device)
            | e.DeviceRevoked(device=device)
        ):
            return Affected(devices=frozenset((device,)))
        case e.SessionEnded(session=session):
            old = before.sessions.get(session)
            return Affected(devices=frozenset((old.device,) if old is not None else ()))
        case e.GroupMemberAdded(user=user) | e.GroupMemberRemoved(user=user):
            return _of_subject(before, SubjectRef(SubjectKind.USER, user))
        case e.GroupRemoved(group=group):
            return _of_subject(before, SubjectRef(SubjectKind.GROUP, group))
        case e.UserDisabled(user=user) | e.UserEnabled(user=user) | e.UserRemoved(user=user):
            return _of_subject(before, SubjectRef(SubjectKind.USER, user))
        case (
            e.ServiceAccountDisabled(service_account=account)
            | e.ServiceAccountEnabled(service_account=account)
            | e.ServiceAccountRemoved(service_account=account)
        ):
            return _of_subject(before, SubjectRef(SubjectKind.SERVICE_ACCOUNT, account))
    return Affected()


def _of_network(state: PolicyState, network: NetworkId) -> Affected:
    affected = Affected(connectors=frozenset(state.connectors_in.get(network, ())))
    for resource in state.resources_in.get(network, ()):
        affected |= _of_resource(state, resource)
    return affected


def _of_resource(state: PolicyState, resource_id: ResourceId) -> Affected:
    resource = state.resources.get(resource_id)
    if resource is None:
        return Affected()
    subjects = {state.grants[grant].subject for grant in state.grants_on.get(resource_id, ())}
    # What overlaps an excluded resource is taken away with it, so its address counts for those whom no grant leads there.
    subjects |= {state.exclusions[item].subject for item in state.exclusions_on.get(resource_id, ())}
    devices: set[DeviceId] = set()
    for subject in subjects:
        devices |= devices_of(state, subject)
    return Affected(frozenset(devices), frozenset(state.connectors_in.get(resource.network, ())))


def _of_policy(state: PolicyState, policy: PolicyId) -> Affected:
    subjects = {state.grants[grant].subject for grant in state.grants_under.get(policy, ())}
    return Affected(devices=frozenset(device for subject in subjects for device in devices_of(state, subject)))


def _of_subject(state: PolicyState, subject: SubjectRef) -> Affected:
    return Affected(devices=frozenset(devices_of(state, subject)))


def devices_of(state: PolicyState, subject: SubjectRef) -> set[DeviceId]:
    """Returns the devices that act for a subject: for a group, those of its members."""
    if subject.kind is not SubjectKind.GROUP:
        return set(state.devices_of.get(subject, ()))
    users: Iterable[UserId] = state.members.get(GroupId(subject.id), ())
    return {device for user in users for device in state.devices_of.get(SubjectRef(SubjectKind.USER, user), ())}
