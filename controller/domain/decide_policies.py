"""Decisions about policies, exclusions, and what is known of devices."""

from controller.domain import events as e
from controller.domain import rules
from controller.domain.commands_policies import (
    ChangePolicy,
    CreateExclusion,
    CreatePolicy,
    RemoveExclusion,
    RemovePolicy,
    ReportDeviceFacts,
    TrustDevice,
    UntrustDevice,
)
from controller.domain.conditions import Conditions
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.model import SubjectKind
from controller.domain.rules import RuleBrokenError, fresh, known
from controller.domain.rules_conditions import conditions
from controller.domain.state import PolicyState
from protocol.ids import PolicyId
from protocol.reasons import Reason

HANDLERS: Handlers = {}


@handles(HANDLERS, CreatePolicy)
def _create_policy(state: PolicyState, command: CreatePolicy) -> Decided:
    fresh(state, command.policy, "policy")
    name = rules.free_name(state, "policy", command.name, command.policy)
    return about(command.policy, e.PolicyCreated(command.policy, name, conditions(command.conditions)))


@handles(HANDLERS, ChangePolicy)
def _change_policy(state: PolicyState, command: ChangePolicy) -> Decided:
    policy = known(state.policies, command.policy, "policy")
    name = policy.name
    if command.name is not None:
        name = rules.free_name(state, "policy", command.name, command.policy)
    asked = conditions(command.conditions) if command.conditions is not None else policy.conditions
    if (name, asked) == (policy.name, policy.conditions):
        return about(command.policy)
    _no_service_account_left_out(state, command.policy, asked)
    return about(command.policy, e.PolicyChanged(command.policy, name, asked))


@handles(HANDLERS, RemovePolicy)
def _remove_policy(state: PolicyState, command: RemovePolicy) -> Decided:
    known(state.policies, command.policy, "policy")
    grants = state.grants_under.get(command.policy, ())
    if grants:
        raise RuleBrokenError(Reason.IN_USE, f"{len(grants)} grants are under this policy, such as {min(grants)}")
    return about(command.policy, e.PolicyRemoved(command.policy))


def policy_for(state: PolicyState, policy_id: PolicyId, subject_kind: SubjectKind) -> PolicyId:
    """The policy of a new grant, when it exists and the subject can meet it at all."""
    policy = known(state.policies, policy_id, "policy")
    if subject_kind is SubjectKind.SERVICE_ACCOUNT and policy.conditions.about_sign_in:
        raise RuleBrokenError(
            Reason.INVALID_INPUT, "policy: it asks for a sign-in, and a service account never signs in"
        )
    return policy_id


def _no_service_account_left_out(state: PolicyState, policy: PolicyId, asked: Conditions) -> None:
    if not asked.about_sign_in:
        return
    for grant in state.grants_under.get(policy, ()):
        if state.grants[grant].subject.kind is SubjectKind.SERVICE_ACCOUNT:
            detail = f"conditions: grant {grant} is of a service account, which never signs in"
            raise RuleBrokenError(Reason.INVALID_INPUT, detail)


@handles(HANDLERS, CreateExclusion)
def _create_exclusion(state: PolicyState, command: CreateExclusion) -> Decided:
    fresh(state, command.exclusion, "exclusion")
    rules.known_subject(state, command.subject_kind, command.subject)
    known(state.resources, command.resource, "resource")
    if command.expires is not None:
        rules.unix_time(command.expires, "expires")
    event = e.ExclusionCreated(
        command.exclusion, command.subject_kind, command.subject, command.resource, command.expires
    )
    return about(command.exclusion, event)


@handles(HANDLERS, RemoveExclusion)
def _remove_exclusion(state: PolicyState, command: RemoveExclusion) -> Decided:
    known(state.exclusions, command.exclusion, "exclusion")
    return about(command.exclusion, e.ExclusionRemoved(command.exclusion))


@handles(HANDLERS, TrustDevice)
def _trust_device(state: PolicyState, command: TrustDevice) -> Decided:
    device = known(state.devices, command.device, "device")
    return about(command.device, *(() if device.trusted else (e.DeviceTrusted(command.device),)))


@handles(HANDLERS, UntrustDevice)
def _untrust_device(state: PolicyState, command: UntrustDevice) -> Decided:
    device = known(state.devices, command.device, "device")
    return about(command.device, *((e.DeviceUntrusted(command.device),) if device.trusted else ()))


@handles(HANDLERS, ReportDeviceFacts)
def _report_facts(state: PolicyState, command: ReportDeviceFacts) -> Decided:
    device = known(state.devices, command.device, "device")
    at_s = rules.unix_time(command.at_s, "at_s")
    if command.facts == device.facts and device.facts_s is not None and at_s - device.facts_s < _refresh_after(state):
        return about(command.device)
    return about(command.device, e.DeviceFactsReported(command.device, command.facts, at_s))


def _refresh_after(state: PolicyState) -> float:
    """Half of the shortest age that any policy asks for: the log grows no faster than somebody needs it to."""
    ages = [item.conditions.facts_max_age_s for item in state.policies.values() if item.conditions.about_facts]
    return min(ages, default=float("inf")) / 2
