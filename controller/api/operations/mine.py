"""What the portal of ordinary members shows, worked out from the policy: each for one person only (T-10)."""

from collections.abc import Iterable

from controller.api.schemas.common import Ports, from_ms, from_s
from controller.api.schemas.mine import MyDenial, MyGrant, MyResource, MyWay
from controller.domain.access_at import ask
from controller.domain.held import grants_of
from controller.domain.model import Grant, SubjectKind, SubjectRef
from controller.domain.state import PolicyState
from controller.store.record_rows import StoredRecord
from protocol.ids import DeviceId, GroupId, ResourceId, UserId
from protocol.reasons import reason_from_code


def granted(state: PolicyState, user: UserId) -> dict[ResourceId, list[Grant]]:
    """Returns the resources to which grants lead a person, with these grants; expired ones too."""
    found: dict[ResourceId, list[Grant]] = {}
    for grant in grants_of(state, SubjectRef(SubjectKind.USER, user)):
        if grant.resource in state.resources:
            found.setdefault(grant.resource, []).append(grant)
    return found


def resource(state: PolicyState, item: ResourceId, grants: Iterable[Grant], user: UserId, now: float) -> MyResource:
    """One of them: why, until when, and from which of his devices."""
    known = state.resources[item]
    ordered = sorted(grants, key=lambda grant: grant.id)
    living = [grant.expires for grant in ordered if grant.expires is None or grant.expires > now]
    ends = [end for end in living if end is not None]
    devices = sorted(state.devices_of.get(SubjectRef(SubjectKind.USER, user), ()))
    return MyResource(
        id=item,
        name=known.name,
        address=str(known.address),
        network_name=state.networks[known.network].name,
        ports=Ports.of(known.ports),
        until=from_s(max(ends)) if ends and len(ends) == len(living) else None,
        grants=[_grant(state, grant, now) for grant in ordered],
        devices=[_way(state, device, item, now) for device in devices],
    )


def denial(state: PolicyState, item: StoredRecord, named: dict[ResourceId, list[Grant]]) -> MyDenial:
    """A refusal in words. A resource has its name only while a grant leads there: others do not exist for him."""
    record = item.record
    reason = reason_from_code(record.outcome)
    known = state.resources.get(record.resource) if record.resource in named else None
    return MyDenial(
        id=item.id,
        at=from_ms(record.ended_ms),
        device=record.device,
        resource=record.resource,
        resource_name=None if known is None else known.name,
        host=record.host,
        transport=record.transport,
        port=record.port,
        reason=record.outcome,
        sentence=reason.sentence,
        next=reason.next_step,
    )


def _grant(state: PolicyState, grant: Grant, now: float) -> MyGrant:
    group = state.groups.get(GroupId(grant.subject.id)) if grant.subject.kind is SubjectKind.GROUP else None
    policy = state.policies.get(grant.policy) if grant.policy is not None else None
    return MyGrant(
        id=grant.id,
        via=grant.subject.kind.value,
        via_name=None if group is None else group.name,
        expires_at=None if grant.expires is None else from_s(grant.expires),
        expired=grant.expires is not None and grant.expires <= now,
        policy=None if policy is None else policy.name,
    )


def _way(state: PolicyState, device: DeviceId, item: ResourceId, now: float) -> MyWay:
    answer = ask(state, device, item, now)
    reason = answer.reason
    return MyWay(
        device=device,
        verdict=answer.verdict.value,
        reason=None if reason is None else reason.code,
        sentence=None if reason is None else reason.sentence,
        next=None if reason is None else reason.next_step,
    )
