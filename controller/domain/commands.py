"""What can be asked of the policy. Ids are made by the caller (runtime.entropy); ``decide`` answers.

``expected_version`` is the version of the command's stream that the caller has seen: when given and not current, the
command is refused with CONFLICT (T-16). Personal data is not in commands: the caller writes it through the store's
repositories in the same unit.
"""

from dataclasses import dataclass

from controller.domain.model import PublicKey, Role, SubjectKind
from protocol.acl.model import Ports
from protocol.enrolment import EnrolmentKind
from protocol.ids import (
    ConnectorId,
    DeviceId,
    Epoch,
    GrantId,
    GroupId,
    NetworkId,
    PolicyId,
    RelayId,
    ResourceId,
    ServiceAccountId,
    SessionId,
    SpkiPin,
    UserId,
)
from protocol.limits import LEASE_DEFAULT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Base of all commands."""

    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class InitialiseController(Command):
    """Writes the first event. ``issuer`` starts with ``ctl_``; ``public_url`` with ``https://``."""

    issuer: str
    public_url: str


@dataclass(frozen=True, slots=True)
class RaiseEpoch(Command):
    """After a backup was restored (D8). ``epoch`` must be higher than the current one."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class AddSigningKey(Command):
    """Publishes the next signing key."""

    kid: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class ActivateSigningKey(Command):
    """Signs with this key from here on."""

    kid: str


@dataclass(frozen=True, slots=True)
class RetireSigningKey(Command):
    """Takes a key that does not sign any more out of publication."""

    kid: str


@dataclass(frozen=True, slots=True)
class DistrustSigningKey(Command):
    """Emergency (T-64). Also of the active key: then nothing is signed until another one is activated."""

    kid: str


@dataclass(frozen=True, slots=True)
class IssueEnrolment(Command):
    """Hands out a one-time token for ``target``, a connector, relay or service; the secret itself is beside the log."""

    kind: EnrolmentKind
    target: str


@dataclass(frozen=True, slots=True)
class RecordSignInFailure(Command):
    """Leaves a trace of a failed sign-in (T-9)."""

    user: UserId | None
    cause: str


@dataclass(frozen=True, slots=True)
class RecordAgentMisbehaviour(Command):
    """Leaves a trace of an agent that overstepped (T-17)."""

    agent: str
    cause: str


@dataclass(frozen=True, slots=True)
class CreateNetwork(Command):
    network: NetworkId
    name: str


@dataclass(frozen=True, slots=True)
class RenameNetwork(Command):
    network: NetworkId
    name: str


@dataclass(frozen=True, slots=True)
class ChangeNetworkEgress(Command):
    """``allow`` is the whole list: addresses and CIDRs that are forbidden by default (T-32)."""

    network: NetworkId
    allow: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveNetwork(Command):
    """Refused with IN_USE while it has connectors or resources."""

    network: NetworkId


@dataclass(frozen=True, slots=True)
class CreateConnector(Command):
    connector: ConnectorId
    network: NetworkId
    name: str


@dataclass(frozen=True, slots=True)
class EnrolConnector(Command):
    """Also of an enrolled connector: it gets the new key and the old one loses its standing."""

    connector: ConnectorId
    key: PublicKey
    pin: SpkiPin


@dataclass(frozen=True, slots=True)
class RemoveConnector(Command):
    connector: ConnectorId


@dataclass(frozen=True, slots=True)
class CreateRelay(Command):
    relay: RelayId
    name: str
    fqdn: str
    port: int


@dataclass(frozen=True, slots=True)
class EnrolRelay(Command):
    relay: RelayId
    key: PublicKey


@dataclass(frozen=True, slots=True)
class RemoveRelay(Command):
    relay: RelayId


@dataclass(frozen=True, slots=True)
class CreateResource(Command):
    """``address`` as a person types it; the event holds the canonical form."""

    resource: ResourceId
    network: NetworkId
    name: str
    address: str
    ports: Ports
    lease_s: int = LEASE_DEFAULT_S


@dataclass(frozen=True, slots=True)
class ChangeResource(Command):
    """None leaves a part as it is."""

    resource: ResourceId
    network: NetworkId | None = None
    name: str | None = None
    address: str | None = None
    ports: Ports | None = None
    lease_s: int | None = None


@dataclass(frozen=True, slots=True)
class RemoveResource(Command):
    """Its grants go with it."""

    resource: ResourceId


@dataclass(frozen=True, slots=True)
class CreateUser(Command):
    user: UserId
    role: Role


@dataclass(frozen=True, slots=True)
class ChangeUserRole(Command):
    user: UserId
    role: Role


@dataclass(frozen=True, slots=True)
class SetUserPassword(Command):
    """The password itself is beside the log, as a hash."""

    user: UserId


@dataclass(frozen=True, slots=True)
class DisableUser(Command):
    user: UserId


@dataclass(frozen=True, slots=True)
class EnableUser(Command):
    user: UserId


@dataclass(frozen=True, slots=True)
class RemoveUser(Command):
    user: UserId


@dataclass(frozen=True, slots=True)
class CreateGroup(Command):
    group: GroupId
    name: str


@dataclass(frozen=True, slots=True)
class RenameGroup(Command):
    group: GroupId
    name: str


@dataclass(frozen=True, slots=True)
class RemoveGroup(Command):
    group: GroupId


@dataclass(frozen=True, slots=True)
class AddGroupMember(Command):
    group: GroupId
    user: UserId


@dataclass(frozen=True, slots=True)
class RemoveGroupMember(Command):
    group: GroupId
    user: UserId


@dataclass(frozen=True, slots=True)
class CreateServiceAccount(Command):
    service_account: ServiceAccountId
    name: str


@dataclass(frozen=True, slots=True)
class DisableServiceAccount(Command):
    service_account: ServiceAccountId


@dataclass(frozen=True, slots=True)
class EnableServiceAccount(Command):
    service_account: ServiceAccountId


@dataclass(frozen=True, slots=True)
class RemoveServiceAccount(Command):
    service_account: ServiceAccountId


@dataclass(frozen=True, slots=True)
class RegisterDevice(Command):
    """``owner_kind`` is USER or SERVICE_ACCOUNT. A key belongs to one living device only."""

    device: DeviceId
    owner_kind: SubjectKind
    owner: str
    key: PublicKey
    platform: str


@dataclass(frozen=True, slots=True)
class RevokeDevice(Command):
    device: DeviceId


@dataclass(frozen=True, slots=True)
class StartSession(Command):
    """The device's earlier session is replaced. Times are Unix seconds.

    ``authenticated_s``: when the person proved who he is (None: now). ``mfa_s``: when he passed a second factor (None: he did
    not). ``method``: how, see ``model.Session``.
    """

    session: SessionId
    device: DeviceId
    user: UserId
    expires: int
    authenticated_s: int | None = None
    mfa_s: int | None = None
    method: str = "password"


@dataclass(frozen=True, slots=True)
class EndSession(Command):
    """``cause`` is a word: ``signed_out``, ``revoked``."""

    session: SessionId
    cause: str = "signed_out"


@dataclass(frozen=True, slots=True)
class CreateGrant(Command):
    """``expires`` in Unix seconds; None: no end. The grant holds while ``policy`` is met; None: always."""

    grant: GrantId
    subject_kind: SubjectKind
    subject: str
    resource: ResourceId
    expires: int | None = None
    policy: PolicyId | None = None


@dataclass(frozen=True, slots=True)
class RevokeGrant(Command):
    grant: GrantId
