"""Which permission each command needs. Checked inside the write transaction, against the state that it changes (T-16).

The API checks as well, to answer early; this is the last word. Only people (``usr_…``) and their API tokens (``apt_…``) are
checked: other actors (``cli``, ``system``, a connector, an enrolment) are trusted code paths that admitted the caller
themselves. A command without a rule here is given by nobody: add one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.domain import commands as c
from controller.domain import commands_connector_keys as ck
from controller.domain import commands_connector_tests as ct
from controller.domain import commands_passkeys as pk
from controller.domain import commands_personal as pd
from controller.domain import commands_policies as k
from controller.domain import commands_requests as r
from controller.domain import commands_sign_in as s
from controller.domain import commands_sinks as sk
from controller.domain import commands_tokens as t
from controller.domain.model import Role, SubjectKind
from controller.domain.permissions import Permission
from controller.domain.reach import needed_besides
from controller.domain.rules import Refusal
from controller.domain.standing import Standing, acts_for_a_person, standing_of
from controller.domain.state import PolicyState
from protocol.ids import UserId
from protocol.reasons import Reason

Owner = Callable[[PolicyState, Any], str | None]
P = Permission


@dataclass(frozen=True, slots=True)
class Rule:
    """What a command needs: ``anybodys`` whoever it is about, or ``own`` when it is about what ``owner`` says is one's own.

    None: that way is closed.
    """

    anybodys: P | None
    own: P | None = None
    owner: Owner | None = None


NOBODY: Final = Rule(None)
"""Only trusted code gives it."""


def _named_user(_: PolicyState, command: Any) -> str | None:
    return str(command.user)


def _token_owner(_: PolicyState, command: t.CreateApiToken) -> str | None:
    return command.owner


def _owner_of_token(state: PolicyState, command: t.RevokeApiToken) -> str | None:
    token = state.api_tokens.get(command.token)
    return token.owner if token is not None else None


def _new_device_owner(_: PolicyState, command: c.RegisterDevice) -> str | None:
    return command.owner if command.owner_kind is SubjectKind.USER else None


def _device_owner(state: PolicyState, command: c.RevokeDevice | k.TrustDevice | k.UntrustDevice) -> str | None:
    device = state.devices.get(command.device)
    return device.owner.id if device is not None else None


def _session_owner(state: PolicyState, command: c.EndSession) -> str | None:
    session = state.sessions.get(command.session)
    return session.user if session is not None else None


RULES: Final[Mapping[type[c.Command], Rule]] = {
    c.InitialiseController: Rule(P.SETTINGS_WRITE),
    c.RaiseEpoch: Rule(P.SETTINGS_WRITE),
    c.AddSigningKey: Rule(P.KEYS_WRITE),
    c.ActivateSigningKey: Rule(P.KEYS_WRITE),
    c.RetireSigningKey: Rule(P.KEYS_WRITE),
    c.DistrustSigningKey: Rule(P.KEYS_WRITE),
    c.IssueEnrolment: Rule(P.NETWORKS_WRITE),  # of connectors; see _permits
    c.RecordSignInFailure: NOBODY,
    c.RecordAgentMisbehaviour: NOBODY,
    c.CreateNetwork: Rule(P.NETWORKS_WRITE),
    c.RenameNetwork: Rule(P.NETWORKS_WRITE),
    c.ChangeNetworkEgress: Rule(P.NETWORKS_WRITE),
    c.RemoveNetwork: Rule(P.NETWORKS_WRITE),
    c.CreateConnector: Rule(P.NETWORKS_WRITE),
    c.EnrolConnector: NOBODY,
    c.RemoveConnector: Rule(P.NETWORKS_WRITE),
    c.CreateRelay: Rule(P.RELAYS_WRITE),
    c.EnrolRelay: NOBODY,
    c.RemoveRelay: Rule(P.RELAYS_WRITE),
    c.CreateResource: Rule(P.RESOURCES_WRITE),
    c.ChangeResource: Rule(P.RESOURCES_WRITE),
    c.RemoveResource: Rule(P.RESOURCES_WRITE),
    c.CreateUser: Rule(P.PEOPLE_WRITE),
    c.ChangeUserRole: Rule(P.ROLES_WRITE),
    c.SetUserPassword: Rule(P.PEOPLE_WRITE, P.CREDENTIALS_WRITE, _named_user),
    c.DisableUser: Rule(P.PEOPLE_WRITE),
    c.EnableUser: Rule(P.PEOPLE_WRITE),
    c.RemoveUser: Rule(P.PEOPLE_WRITE),
    pd.RenameUser: Rule(P.PEOPLE_WRITE, P.SELF_WRITE, _named_user),
    pd.ErasePersonalData: Rule(P.PEOPLE_WRITE),
    c.CreateGroup: Rule(P.GROUPS_WRITE),
    c.RenameGroup: Rule(P.GROUPS_WRITE),
    c.RemoveGroup: Rule(P.GROUPS_WRITE),
    c.AddGroupMember: Rule(P.GROUPS_WRITE),
    c.RemoveGroupMember: Rule(P.GROUPS_WRITE),
    c.CreateServiceAccount: Rule(P.SERVICE_ACCOUNTS_WRITE),
    c.DisableServiceAccount: Rule(P.SERVICE_ACCOUNTS_WRITE),
    c.EnableServiceAccount: Rule(P.SERVICE_ACCOUNTS_WRITE),
    c.RemoveServiceAccount: Rule(P.SERVICE_ACCOUNTS_WRITE),
    # Nobody signs in for somebody else.
    c.RegisterDevice: Rule(None, P.CREDENTIALS_WRITE, _new_device_owner),
    c.StartSession: Rule(None, P.CREDENTIALS_WRITE, _named_user),
    c.RevokeDevice: Rule(P.DEVICES_WRITE, P.SELF_WRITE, _device_owner),
    c.EndSession: Rule(P.DEVICES_WRITE, P.SELF_WRITE, _session_owner),
    c.CreateGrant: Rule(P.GRANTS_WRITE),
    c.RevokeGrant: Rule(P.GRANTS_WRITE),
    k.CreatePolicy: Rule(P.POLICIES_WRITE),
    k.ChangePolicy: Rule(P.POLICIES_WRITE),
    k.RemovePolicy: Rule(P.POLICIES_WRITE),
    k.CreateExclusion: Rule(P.POLICIES_WRITE),
    k.RemoveExclusion: Rule(P.POLICIES_WRITE),
    k.TrustDevice: Rule(P.DEVICES_WRITE),
    k.UntrustDevice: Rule(P.DEVICES_WRITE),
    k.ReportDeviceFacts: NOBODY,  # the device itself says so
    s.CreateIdentityProvider: Rule(P.IDENTITY_PROVIDERS_WRITE),
    s.ChangeIdentityProvider: Rule(P.IDENTITY_PROVIDERS_WRITE),
    s.SetIdentityProviderSecret: Rule(P.IDENTITY_PROVIDERS_WRITE),
    s.MapProviderGroups: Rule(P.IDENTITY_PROVIDERS_WRITE),
    s.RemoveIdentityProvider: Rule(P.IDENTITY_PROVIDERS_WRITE),
    s.LinkIdentity: Rule(P.PEOPLE_WRITE),
    s.UnlinkIdentity: Rule(P.PEOPLE_WRITE, P.CREDENTIALS_WRITE, _named_user),
    s.FollowProviderGroups: NOBODY,
    s.AddSecondFactor: Rule(None, P.CREDENTIALS_WRITE, _named_user),
    s.RemoveSecondFactor: Rule(P.PEOPLE_WRITE, P.CREDENTIALS_WRITE, _named_user),
    s.MakeRecoveryCodes: Rule(None, P.CREDENTIALS_WRITE, _named_user),
    s.UseRecoveryCode: NOBODY,
    s.ChangeSignInRules: Rule(P.SETTINGS_WRITE),
    s.RecordSignIn: NOBODY,
    s.RecordSignInEnd: Rule(P.SESSIONS_WRITE, P.SELF_WRITE, _named_user),
    s.RecordOmittedFailures: NOBODY,
    s.Reauthenticate: NOBODY,
    t.CreateApiToken: Rule(None, P.CREDENTIALS_WRITE, _token_owner),
    t.RevokeApiToken: Rule(P.TOKENS_WRITE, P.SELF_WRITE, _owner_of_token),
    ck.AnnounceConnectorKey: NOBODY,
    ck.RotateConnectorKey: NOBODY,
    ct.OrderConnectorTest: Rule(P.NETWORKS_WRITE),
    r.RequestAccess: Rule(None, P.SELF_WRITE, _named_user),
    r.WithdrawAccessRequest: Rule(None, P.SELF_WRITE, _named_user),
    r.ApproveAccessRequest: Rule(P.REQUESTS_WRITE),
    r.DenyAccessRequest: Rule(P.REQUESTS_WRITE),
    pk.AddPasskey: Rule(None, P.CREDENTIALS_WRITE, _named_user),
    pk.RenamePasskey: Rule(None, P.CREDENTIALS_WRITE, _named_user),
    pk.RemovePasskey: Rule(P.PEOPLE_WRITE, P.CREDENTIALS_WRITE, _named_user),
    sk.AddSink: Rule(P.SINKS_WRITE),
    sk.RemoveSink: Rule(P.SINKS_WRITE),
}
"""Each command's rule. A test holds that every command has one."""

_ENROLMENT: Final = {
    "connector": P.NETWORKS_WRITE,
    "relay": P.RELAYS_WRITE,
    "service": P.SERVICE_ACCOUNTS_WRITE,
}


def refusal_for(state: PolicyState, actor: str, command: c.Command) -> Refusal | None:
    """Returns None when ``actor`` may give ``command``; otherwise a FORBIDDEN refusal."""
    if not acts_for_a_person(actor):
        return None
    standing = standing_of(state, actor)
    if standing is None:
        return Refusal(Reason.FORBIDDEN, f"actor {actor} is not an active user")
    if not _permits(state, standing, command):
        return Refusal(
            Reason.FORBIDDEN, f"{actor} with the role {standing.user.role.value} may not give {type(command).__name__}"
        )
    for permission, purpose in needed_besides(state, command):
        if not standing.may(permission):
            return Refusal(Reason.FORBIDDEN, f"{purpose}, the permission {permission.value} is needed as well")
    return None


def _permits(state: PolicyState, standing: Standing, command: c.Command) -> bool:
    rule = RULES.get(type(command), NOBODY)
    is_own = rule.owner is not None and rule.owner(state, command) == standing.user.id
    if is_own and rule.own is not None and standing.may(rule.own):
        return _not_beyond(standing, command)
    needed = rule.anybodys
    if isinstance(command, c.IssueEnrolment):
        needed = _ENROLMENT.get(command.kind)
    return needed is not None and standing.may(needed) and _not_above(state, standing, command)


def _not_above(state: PolicyState, standing: Standing, command: c.Command) -> bool:
    """Nobody changes who stands as high as himself, nor lifts anybody there."""
    match command:
        case c.CreateUser(role=wanted):
            return wanted is Role.MEMBER or (standing.may(P.ROLES_WRITE) and _may_give(standing, wanted))
        case c.ChangeUserRole(user=target, role=wanted):
            return _may_give(standing, wanted) and _is_below(state, standing, target)
        case (
            c.SetUserPassword(user=target)
            | s.LinkIdentity(user=target)
            | s.RemoveSecondFactor(user=target)
            | pk.RemovePasskey(user=target)
        ):
            # Setting somebody's password is becoming him: not through a token.
            return standing.may(P.CREDENTIALS_WRITE) and _is_below(state, standing, target)
        case s.UnlinkIdentity(user=target) | pd.RenameUser(user=target) | pd.ErasePersonalData(user=target):
            return _is_below(state, standing, target)
        case s.RecordSignInEnd(user=target):
            return _is_own_or_below(state, standing, target)
        case c.RevokeDevice() | k.TrustDevice() | k.UntrustDevice():
            return _is_own_or_below(state, standing, _device_owner(state, command))
        case c.EndSession():
            return _is_own_or_below(state, standing, _session_owner(state, command))
        case c.DisableUser(user=target) | c.EnableUser(user=target) | c.RemoveUser(user=target):
            return _is_below(state, standing, target)
        case t.RevokeApiToken(token=token):
            known = state.api_tokens.get(token)
            return known is None or _is_below(state, standing, known.owner)
    return True


def _not_beyond(standing: Standing, command: c.Command) -> bool:
    """Nobody makes a token that may do more than himself."""
    if isinstance(command, t.CreateApiToken):
        return set(command.scopes) <= {item.value for item in standing.permissions}
    return True


def _may_give(standing: Standing, role: Role) -> bool:
    """What exceeds a member would outlive the token that gave it: not through a token."""
    return standing.outranks(role) and (role is Role.MEMBER or standing.may(P.CREDENTIALS_WRITE))


def _is_own_or_below(state: PolicyState, standing: Standing, owner: str | None) -> bool:
    """What belongs to no person, as a service account's device, stands below everybody."""
    return owner is None or owner == standing.user.id or _is_below(state, standing, UserId(owner))


def _is_below(state: PolicyState, standing: Standing, target: UserId) -> bool:
    known = state.users.get(target)
    return known is None or standing.outranks(known.role)
