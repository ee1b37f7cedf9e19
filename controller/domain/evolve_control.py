"""Folds of the events of the controller itself."""

from dataclasses import replace

from controller.domain import events as e
from controller.domain.appliers import Appliers, applies
from controller.domain.index import without
from controller.domain.model import KeyStatus, SigningKeyRecord
from controller.domain.state import PolicyState, changed

HANDLERS: Appliers = {}


@applies(HANDLERS, e.ControllerInitialised)
def _initialised(state: PolicyState, event: e.ControllerInitialised, _: int) -> PolicyState:
    return changed(state, issuer=event.issuer, epoch=event.epoch, public_url=event.public_url)


@applies(HANDLERS, e.EpochRaised)
def _epoch_raised(state: PolicyState, event: e.EpochRaised, _: int) -> PolicyState:
    return changed(state, epoch=event.epoch)


@applies(HANDLERS, e.SigningKeyAdded)
def _key_added(state: PolicyState, event: e.SigningKeyAdded, at_ms: int) -> PolicyState:
    record = SigningKeyRecord(event.kid, event.jwk, KeyStatus.NEXT, at_ms)
    return changed(state, signing_keys=state.signing_keys.set(event.kid, record))


@applies(HANDLERS, e.SigningKeyActivated)
def _key_activated(state: PolicyState, event: e.SigningKeyActivated, _: int) -> PolicyState:
    keys = state.signing_keys
    for record in state.signing_keys.values():
        if record.kid == event.kid:
            keys = keys.set(record.kid, replace(record, status=KeyStatus.ACTIVE))
        elif record.status is KeyStatus.ACTIVE:
            keys = keys.set(record.kid, replace(record, status=KeyStatus.PREVIOUS))
    return changed(state, signing_keys=keys)


@applies(HANDLERS, e.SigningKeyRetired)
def _key_retired(state: PolicyState, event: e.SigningKeyRetired, _: int) -> PolicyState:
    return changed(state, signing_keys=without(state.signing_keys, event.kid))


@applies(HANDLERS, e.SigningKeyDistrusted)
def _key_distrusted(state: PolicyState, event: e.SigningKeyDistrusted, _: int) -> PolicyState:
    return changed(
        state,
        signing_keys=without(state.signing_keys, event.kid),
        distrusted_keys=state.distrusted_keys.set(event.kid, None),
    )


@applies(HANDLERS, e.EnrolmentIssued)
def _enrolment_issued(state: PolicyState, _event: e.EnrolmentIssued, _: int) -> PolicyState:
    return state


@applies(HANDLERS, e.SignInFailed)
def _sign_in_failed(state: PolicyState, _event: e.SignInFailed, _: int) -> PolicyState:
    return state


@applies(HANDLERS, e.AgentMisbehaved)
def _agent_misbehaved(state: PolicyState, _event: e.AgentMisbehaved, _: int) -> PolicyState:
    return state
