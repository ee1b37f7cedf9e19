"""Events of people and of what acts for them: users, groups, service accounts, devices, sessions, grants."""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.events.base import Event
from controller.domain.model import PublicKey, Role, SubjectKind
from protocol.device_facts import DeviceFacts
from protocol.ids import (
    DeviceId,
    GrantId,
    GroupId,
    PolicyId,
    ResourceId,
    ServiceAccountId,
    SessionId,
    UserId,
)


@dataclass(frozen=True, slots=True)
class UserCreated(Event):
    """An account exists; its e-mail address and name are in the side table."""

    TYPE: ClassVar[str] = "user.created/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId
    role: Role


@dataclass(frozen=True, slots=True)
class UserRoleChanged(Event):
    """The user has another role."""

    TYPE: ClassVar[str] = "user.role_changed/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId
    role: Role


@dataclass(frozen=True, slots=True)
class UserPasswordSet(Event):
    """The user has another password. Who sets somebody's password can sign in as him: the actor may be another (T-9)."""

    TYPE: ClassVar[str] = "user.password_set/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId


@dataclass(frozen=True, slots=True)
class UserDisabled(Event):
    """The user reaches nothing until enabled again."""

    TYPE: ClassVar[str] = "user.disabled/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId


@dataclass(frozen=True, slots=True)
class UserEnabled(Event):
    """The end of UserDisabled."""

    TYPE: ClassVar[str] = "user.enabled/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId


@dataclass(frozen=True, slots=True)
class UserRemoved(Event):
    """The user, with devices, sessions, memberships and grants, is gone."""

    TYPE: ClassVar[str] = "user.removed/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId


@dataclass(frozen=True, slots=True)
class GroupCreated(Event):
    """A group exists."""

    TYPE: ClassVar[str] = "group.created/1"
    STREAM_FIELD: ClassVar[str] = "group"
    group: GroupId
    name: str


@dataclass(frozen=True, slots=True)
class GroupRenamed(Event):
    """A group has another name."""

    TYPE: ClassVar[str] = "group.renamed/1"
    STREAM_FIELD: ClassVar[str] = "group"
    group: GroupId
    name: str


@dataclass(frozen=True, slots=True)
class GroupRemoved(Event):
    """The group, with its grants, is gone."""

    TYPE: ClassVar[str] = "group.removed/1"
    STREAM_FIELD: ClassVar[str] = "group"
    group: GroupId


@dataclass(frozen=True, slots=True)
class GroupMemberAdded(Event):
    """The user is in the group."""

    TYPE: ClassVar[str] = "group.member_added/1"
    STREAM_FIELD: ClassVar[str] = "group"
    group: GroupId
    user: UserId


@dataclass(frozen=True, slots=True)
class GroupMemberRemoved(Event):
    """The user is not in the group any more."""

    TYPE: ClassVar[str] = "group.member_removed/1"
    STREAM_FIELD: ClassVar[str] = "group"
    group: GroupId
    user: UserId


@dataclass(frozen=True, slots=True)
class ServiceAccountCreated(Event):
    """A service account exists."""

    TYPE: ClassVar[str] = "service_account.created/1"
    STREAM_FIELD: ClassVar[str] = "service_account"
    service_account: ServiceAccountId
    name: str


@dataclass(frozen=True, slots=True)
class ServiceAccountDisabled(Event):
    """The service account reaches nothing until enabled again."""

    TYPE: ClassVar[str] = "service_account.disabled/1"
    STREAM_FIELD: ClassVar[str] = "service_account"
    service_account: ServiceAccountId


@dataclass(frozen=True, slots=True)
class ServiceAccountEnabled(Event):
    """The end of ServiceAccountDisabled."""

    TYPE: ClassVar[str] = "service_account.enabled/1"
    STREAM_FIELD: ClassVar[str] = "service_account"
    service_account: ServiceAccountId


@dataclass(frozen=True, slots=True)
class ServiceAccountRemoved(Event):
    """The service account, with devices and grants, is gone."""

    TYPE: ClassVar[str] = "service_account.removed/1"
    STREAM_FIELD: ClassVar[str] = "service_account"
    service_account: ServiceAccountId


@dataclass(frozen=True, slots=True)
class DeviceRegistered(Event):
    """A client made its key (C6); its name is in the side table."""

    TYPE: ClassVar[str] = "device.registered/1"
    STREAM_FIELD: ClassVar[str] = "device"
    device: DeviceId
    owner_kind: SubjectKind
    owner: str
    jwk: PublicKey
    platform: str


@dataclass(frozen=True, slots=True)
class DeviceRevoked(Event):
    """The device has no standing any more."""

    TYPE: ClassVar[str] = "device.revoked/1"
    STREAM_FIELD: ClassVar[str] = "device"
    device: DeviceId


@dataclass(frozen=True, slots=True)
class DeviceTrusted(Event):
    """An admin vouches for the device: conditions may ask for that."""

    TYPE: ClassVar[str] = "device.trusted/1"
    STREAM_FIELD: ClassVar[str] = "device"
    device: DeviceId


@dataclass(frozen=True, slots=True)
class DeviceUntrusted(Event):
    """The end of DeviceTrusted."""

    TYPE: ClassVar[str] = "device.untrusted/1"
    STREAM_FIELD: ClassVar[str] = "device"
    device: DeviceId


@dataclass(frozen=True, slots=True)
class DeviceFactsReported(Event):
    """The device said how it is set up, at ``reported_s`` (Unix s). Written on a change, and before a report grows too old."""

    TYPE: ClassVar[str] = "device.facts_reported/1"
    STREAM_FIELD: ClassVar[str] = "device"
    device: DeviceId
    facts: DeviceFacts
    reported_s: int


@dataclass(frozen=True, slots=True)
class SessionStarted(Event):
    """The user signed in on the device until ``expires`` (Unix s); replaces the device's earlier session.

    ``authenticated_s``: when he proved who he is (None: now). ``mfa_s``: when he passed a second factor (None: he did not).
    ``method``: how he did, see ``model.Session``.
    """

    TYPE: ClassVar[str] = "session.started/2"
    STREAM_FIELD: ClassVar[str] = "session"
    session: SessionId
    device: DeviceId
    user: UserId
    expires: int
    authenticated_s: int | None
    mfa_s: int | None
    method: str


@dataclass(frozen=True, slots=True)
class SessionEnded(Event):
    """The session was ended before its time; ``cause`` is a word such as ``signed_out`` or ``revoked``."""

    TYPE: ClassVar[str] = "session.ended/1"
    STREAM_FIELD: ClassVar[str] = "session"
    session: SessionId
    cause: str


@dataclass(frozen=True, slots=True)
class GrantCreated(Event):
    """The subject may reach the resource until ``expires`` (Unix s; None: no end), while ``policy`` is met (None: always)."""

    TYPE: ClassVar[str] = "grant.created/2"
    STREAM_FIELD: ClassVar[str] = "grant"
    grant: GrantId
    subject_kind: SubjectKind
    subject: str
    resource: ResourceId
    expires: int | None
    policy: PolicyId | None


@dataclass(frozen=True, slots=True)
class GrantRevoked(Event):
    """The grant is gone."""

    TYPE: ClassVar[str] = "grant.revoked/1"
    STREAM_FIELD: ClassVar[str] = "grant"
    grant: GrantId
