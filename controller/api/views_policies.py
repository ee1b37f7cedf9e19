"""From the policy's nouns about conditions to what the API shows of them."""

from controller.api.schemas import policies
from controller.api.schemas.common import from_ms, from_s
from controller.domain import model
from controller.domain.state import PolicyState


def policy(state: PolicyState, item: model.Policy) -> policies.Policy:
    """A policy with the number of its grants."""
    return policies.Policy(
        id=item.id,
        name=item.name,
        conditions=policies.Conditions.of(item.conditions),
        grants=len(state.grants_under.get(item.id, ())),
        created_at=from_ms(item.created_ms),
        version=state.version_of(item.id),
    )


def exclusion(state: PolicyState, item: model.Exclusion, now: float) -> policies.Exclusion:
    """An exclusion."""
    return policies.Exclusion(
        id=item.id,
        subject_kind=item.subject.kind.value,
        subject=item.subject.id,
        resource=item.resource,
        expires_at=None if item.expires is None else from_s(item.expires),
        expired=item.expires is not None and item.expires <= now,
        created_at=from_ms(item.created_ms),
        version=state.version_of(item.id),
    )


def device_facts(item: model.Device) -> policies.DeviceFacts | None:
    """What a device said of itself; None when it never did."""
    if item.facts is None or item.facts_s is None:
        return None
    facts = item.facts
    return policies.DeviceFacts(
        os=facts.os,
        distribution=facts.distribution,
        version=facts.version,
        kernel=facts.kernel,
        client=facts.client,
        disk_encrypted=facts.disk_encrypted,
        firewall=facts.firewall,
        reported_at=from_s(item.facts_s),
    )
