"""Folds of the events of policies, exclusions, and what is known of devices."""

from collections.abc import Iterable
from dataclasses import replace

from controller.domain import events as e
from controller.domain.appliers import Appliers, applies
from controller.domain.index import discard, put, without
from controller.domain.model import Device, Exclusion, Policy, SubjectRef
from controller.domain.state import PolicyState, changed, fold_name
from protocol.ids import ExclusionId

HANDLERS: Appliers = {}


@applies(HANDLERS, e.PolicyCreated)
def _policy_created(state: PolicyState, event: e.PolicyCreated, at_ms: int) -> PolicyState:
    policy = Policy(event.policy, event.name, event.conditions, at_ms)
    return changed(
        state,
        policies=state.policies.set(policy.id, policy),
        names=state.names.set(("policy", fold_name(policy.name)), policy.id),
    )


@applies(HANDLERS, e.PolicyChanged)
def _policy_changed(state: PolicyState, event: e.PolicyChanged, _: int) -> PolicyState:
    old = state.policies[event.policy]
    names = without(state.names, ("policy", fold_name(old.name)))
    policy = replace(old, name=event.name, conditions=event.conditions)
    return changed(
        state,
        policies=state.policies.set(policy.id, policy),
        names=names.set(("policy", fold_name(policy.name)), policy.id),
    )


@applies(HANDLERS, e.PolicyRemoved)
def _policy_removed(state: PolicyState, event: e.PolicyRemoved, _: int) -> PolicyState:
    old = state.policies[event.policy]
    return changed(
        state,
        policies=state.policies.delete(old.id),
        names=without(state.names, ("policy", fold_name(old.name))),
    )


@applies(HANDLERS, e.ExclusionCreated)
def _exclusion_created(state: PolicyState, event: e.ExclusionCreated, at_ms: int) -> PolicyState:
    subject = SubjectRef(event.subject_kind, event.subject)
    exclusion = Exclusion(event.exclusion, subject, event.resource, event.expires, at_ms)
    return changed(
        state,
        exclusions=state.exclusions.set(exclusion.id, exclusion),
        exclusions_of=put(state.exclusions_of, subject, exclusion.id),
        exclusions_on=put(state.exclusions_on, event.resource, exclusion.id),
    )


@applies(HANDLERS, e.ExclusionRemoved)
def _exclusion_removed(state: PolicyState, event: e.ExclusionRemoved, _: int) -> PolicyState:
    return drop_exclusions(state, (event.exclusion,))


def drop_exclusions(state: PolicyState, exclusions: Iterable[ExclusionId]) -> PolicyState:
    """The state without these exclusions."""
    for exclusion_id in exclusions:
        exclusion = state.exclusions[exclusion_id]
        state = changed(
            state,
            exclusions=state.exclusions.delete(exclusion_id),
            exclusions_of=discard(state.exclusions_of, exclusion.subject, exclusion_id),
            exclusions_on=discard(state.exclusions_on, exclusion.resource, exclusion_id),
        )
    return state


@applies(HANDLERS, e.DeviceTrusted)
def _device_trusted(state: PolicyState, event: e.DeviceTrusted, _: int) -> PolicyState:
    return _with_device(state, replace(state.devices[event.device], trusted=True))


@applies(HANDLERS, e.DeviceUntrusted)
def _device_untrusted(state: PolicyState, event: e.DeviceUntrusted, _: int) -> PolicyState:
    return _with_device(state, replace(state.devices[event.device], trusted=False))


@applies(HANDLERS, e.DeviceFactsReported)
def _facts_reported(state: PolicyState, event: e.DeviceFactsReported, _: int) -> PolicyState:
    device = replace(state.devices[event.device], facts=event.facts, facts_s=event.reported_s)
    return _with_device(state, device)


def _with_device(state: PolicyState, device: Device) -> PolicyState:
    return changed(state, devices=state.devices.set(device.id, device))
