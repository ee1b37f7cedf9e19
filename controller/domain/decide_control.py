"""Decisions about the controller itself and its signing keys (T-64, D8)."""

from controller.domain import commands as c
from controller.domain import events as e
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.model import KeyStatus
from controller.domain.rules import RuleBrokenError, fresh, known, word
from controller.domain.state import PolicyState
from protocol.ids import ConnectorId, Epoch, RelayId, ServiceAccountId
from protocol.reasons import Reason

HANDLERS: Handlers = {}
_URL_MAX = 256
_RESERVED = frozenset({"controller", "sign_ins", "agents"})
"""Streams that are not named by an id."""


@handles(HANDLERS, c.InitialiseController)
def _initialise(state: PolicyState, command: c.InitialiseController) -> Decided:
    if state.initialised:
        raise RuleBrokenError(Reason.ALREADY_EXISTS, f"this controller is {state.issuer}")
    if not command.issuer.startswith("ctl_"):
        raise RuleBrokenError(Reason.INVALID_INPUT, "issuer: must start with ctl_")
    word(command.issuer, "issuer")
    url = command.public_url
    if (
        not url.startswith("https://")
        or len(url) > _URL_MAX
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise RuleBrokenError(Reason.INVALID_INPUT, "public_url: must be an https:// URL")
    return about("controller", e.ControllerInitialised(command.issuer, Epoch(1), url.rstrip("/")))


@handles(HANDLERS, c.RaiseEpoch)
def _raise_epoch(state: PolicyState, command: c.RaiseEpoch) -> Decided:
    if not state.initialised:
        raise RuleBrokenError(Reason.NOT_FOUND, "the controller is not initialised")
    if command.epoch <= state.epoch:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"epoch: must be above {state.epoch}")
    return about("controller", e.EpochRaised(command.epoch))


@handles(HANDLERS, c.AddSigningKey)
def _add_key(state: PolicyState, command: c.AddSigningKey) -> Decided:
    if command.kid in _RESERVED:
        raise RuleBrokenError(Reason.INVALID_INPUT, "kid: reserved")
    fresh(state, word(command.kid, "kid"))
    return about(command.kid, e.SigningKeyAdded(command.kid, command.key))


@handles(HANDLERS, c.ActivateSigningKey)
def _activate_key(state: PolicyState, command: c.ActivateSigningKey) -> Decided:
    record = known(state.signing_keys, command.kid, "signing key")
    if record.status is KeyStatus.ACTIVE:
        return about(command.kid)
    return about(command.kid, e.SigningKeyActivated(command.kid))


@handles(HANDLERS, c.RetireSigningKey)
def _retire_key(state: PolicyState, command: c.RetireSigningKey) -> Decided:
    record = known(state.signing_keys, command.kid, "signing key")
    if record.status is KeyStatus.ACTIVE:
        raise RuleBrokenError(Reason.IN_USE, f"signing key {command.kid} is the active one")
    return about(command.kid, e.SigningKeyRetired(command.kid))


@handles(HANDLERS, c.DistrustSigningKey)
def _distrust_key(state: PolicyState, command: c.DistrustSigningKey) -> Decided:
    if command.kid in state.distrusted_keys:
        return about(command.kid)
    known(state.signing_keys, command.kid, "signing key")
    return about(command.kid, e.SigningKeyDistrusted(command.kid))


@handles(HANDLERS, c.IssueEnrolment)
def _issue_enrolment(state: PolicyState, command: c.IssueEnrolment) -> Decided:
    match command.kind:
        case "connector":
            known(state.connectors, ConnectorId(command.target), "connector")
        case "relay":
            known(state.relays, RelayId(command.target), "relay")
        case "service":
            known(state.service_accounts, ServiceAccountId(command.target), "service account")
    return about(command.target, e.EnrolmentIssued(command.kind, command.target))


@handles(HANDLERS, c.RecordSignInFailure)
def _sign_in_failure(state: PolicyState, command: c.RecordSignInFailure) -> Decided:
    if command.user is not None:
        known(state.users, command.user, "user")
    return about("sign_ins", e.SignInFailed(command.user, word(command.cause, "cause")))


@handles(HANDLERS, c.RecordAgentMisbehaviour)
def _misbehaviour(_: PolicyState, command: c.RecordAgentMisbehaviour) -> Decided:
    return about("agents", e.AgentMisbehaved(word(command.agent, "agent"), word(command.cause, "cause")))
