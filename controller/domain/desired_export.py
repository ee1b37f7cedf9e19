"""The policy as a document: what there is, in the words in which somebody would ask for it."""

from collections.abc import Mapping
from typing import Protocol

from controller.domain.desired import (
    Desired,
    DesiredExclusion,
    DesiredGrant,
    DesiredGroup,
    DesiredNetwork,
    DesiredPolicy,
    DesiredResource,
    DesiredServiceAccount,
    DesiredUser,
    Named,
)
from controller.domain.model import SubjectKind, SubjectRef
from controller.domain.state import PolicyState
from protocol.ids import GroupId, ServiceAccountId, UserId

Addresses = Mapping[str, str]
"""Users to their e-mail addresses, as far as they have one."""


def desired_of(state: PolicyState, addresses: Addresses) -> Desired:
    """Returns everything that a document can say, sorted by name. People without an address go by their id."""
    return Desired(
        networks=tuple(
            DesiredNetwork(item.name, item.egress_allow) for item in sorted(state.networks.values(), key=_name)
        ),
        resources=tuple(
            DesiredResource(item.name, state.networks[item.network].name, str(item.address), item.ports, item.lease_s)
            for item in sorted(state.resources.values(), key=_name)
        ),
        groups=tuple(
            DesiredGroup(item.name, _members(state, item.id, addresses))
            for item in sorted(state.groups.values(), key=_name)
        ),
        service_accounts=tuple(
            DesiredServiceAccount(item.name, item.disabled)
            for item in sorted(state.service_accounts.values(), key=_name)
        ),
        users=tuple(
            sorted(
                (
                    DesiredUser(addresses.get(item.id, item.id), item.role, item.disabled)
                    for item in state.users.values()
                ),
                key=lambda item: item.user,
            )
        ),
        policies=tuple(
            DesiredPolicy(item.name, item.conditions) for item in sorted(state.policies.values(), key=_name)
        ),
        exclusions=_exclusions(state, addresses),
        grants=_grants(state, addresses),
    )


def _members(state: PolicyState, group: GroupId, addresses: Addresses) -> tuple[str, ...]:
    return tuple(sorted(addresses.get(user, user) for user in state.members.get(group, ())))


def _grants(state: PolicyState, addresses: Addresses) -> tuple[DesiredGrant, ...]:
    found = [
        DesiredGrant(
            _named(state, item.subject, addresses),
            state.resources[item.resource].name,
            item.expires,
            None if item.policy is None else state.policies[item.policy].name,
        )
        for item in state.grants.values()
    ]
    return tuple(sorted(found, key=lambda item: (*_place(item.to, item.resource, item.expires), item.policy or "")))


def _exclusions(state: PolicyState, addresses: Addresses) -> tuple[DesiredExclusion, ...]:
    found = [
        DesiredExclusion(_named(state, item.subject, addresses), state.resources[item.resource].name, item.expires)
        for item in state.exclusions.values()
    ]
    return tuple(sorted(found, key=lambda item: _place(item.who, item.resource, item.expires)))


def _place(named: Named, resource: str, expires: int | None) -> tuple[str, str, str, int]:
    return resource, named.kind.value, named.name, -1 if expires is None else expires


def _named(state: PolicyState, subject: SubjectRef, addresses: Addresses) -> Named:
    match subject.kind:
        case SubjectKind.USER:
            return Named(subject.kind, addresses.get(UserId(subject.id), subject.id))
        case SubjectKind.GROUP:
            return Named(subject.kind, state.groups[GroupId(subject.id)].name)
        case SubjectKind.SERVICE_ACCOUNT:
            return Named(subject.kind, state.service_accounts[ServiceAccountId(subject.id)].name)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def _name(item: _Named) -> str:
    return item.name
