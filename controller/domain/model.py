"""The nouns of the policy: what a fold of the log knows about each living thing.

All are frozen and hashable. Personal data (names of people and devices, e-mail addresses) is not here: it lives in the
store's side table so that it can be erased while the log stays whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from controller.domain.conditions import Conditions
from protocol.device_facts import DeviceFacts
from protocol.ids import (
    ApiTokenId,
    ConnectorId,
    DeviceId,
    ExclusionId,
    GrantId,
    GroupId,
    IdentityProviderId,
    NetworkId,
    PolicyId,
    RelayId,
    ResourceId,
    ServiceAccountId,
    SessionId,
    SpkiPin,
    UserId,
)
from protocol.reasons import Reason


class Role(Enum):
    """What a user may do with the controller itself (``permissions``); access to resources comes from grants only."""

    OWNER = "owner"
    ADMIN = "admin"
    NETWORK_ADMIN = "network-admin"
    ACCESS_APPROVER = "access-approver"
    AUDITOR = "auditor"
    MEMBER = "member"


class SubjectKind(Enum):
    """To whom a grant can be given; a device belongs to a USER or a SERVICE_ACCOUNT."""

    USER = "user"
    GROUP = "group"
    SERVICE_ACCOUNT = "service_account"


class KeyStatus(Enum):
    """Where a signing key is in its life. All three are published; only ACTIVE signs."""

    NEXT = "next"
    ACTIVE = "active"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class SubjectRef:
    """A user, group or service account by kind and id."""

    kind: SubjectKind
    id: str


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A P-256 public key: the coordinates of its JWK (RFC 7518 section 6.2.1), base64url."""

    x: str
    y: str

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, str]) -> "PublicKey":
        """Takes a JWK that ``protocol.tokens.keys`` has already verified; other members are dropped."""
        return cls(jwk["x"], jwk["y"])

    def to_jwk(self) -> dict[str, str]:
        """The JWK with the members required by RFC 7638, nothing else."""
        return {"crv": "P-256", "kty": "EC", "x": self.x, "y": self.y}


@dataclass(frozen=True, slots=True)
class Network:
    """A remote network. ``egress_allow``: forbidden-by-default addresses that its connectors may dial (T-32)."""

    id: NetworkId
    name: str
    created_ms: int
    egress_allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector; ``key`` and ``pin`` are None until it is enrolled. See ``connector_keys`` for the others.

    ``former_until``: Unix seconds until which ``former_pin`` is named to clients.
    """

    id: ConnectorId
    network: NetworkId
    name: str
    created_ms: int
    key: PublicKey | None = None
    pin: SpkiPin | None = None
    next_key: PublicKey | None = None
    next_pin: SpkiPin | None = None
    former_pin: SpkiPin | None = None
    former_until: int = 0


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay; ``key`` is None until it is enrolled."""

    id: RelayId
    name: str
    fqdn: str
    port: int
    created_ms: int
    key: PublicKey | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A person. ``second_factor``: what is asked for besides the password, such as ``totp``; None: nothing."""

    id: UserId
    role: Role
    created_ms: int
    disabled: bool = False
    second_factor: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A named set of users; the members are in ``PolicyState.members``."""

    id: GroupId
    name: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A principal without a person: servers and jobs."""

    id: ServiceAccountId
    name: str
    created_ms: int
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    """One installation of the client with its key. ``owner.kind`` is USER or SERVICE_ACCOUNT.

    ``trusted``: an admin said so. ``facts`` are what the device last reported, at ``facts_s`` (Unix seconds).
    """

    id: DeviceId
    owner: SubjectRef
    key: PublicKey
    platform: str
    registered_ms: int
    trusted: bool = False
    facts: DeviceFacts | None = None
    facts_s: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A user's sign-in on a device; a device has at most one. Times other than ``started_ms`` are Unix seconds.

    ``authenticated_s``: when the person last proved who he is. ``mfa_s``: when he last passed a second factor; None: never in
    this session. ``method``: how, such as ``password``, ``password+totp`` or ``oidc:https://id.example``.
    """

    id: SessionId
    device: DeviceId
    user: UserId
    started_ms: int
    expires: int
    authenticated_s: int
    mfa_s: int | None = None
    method: str = "password"


@dataclass(frozen=True, slots=True)
class Grant:
    """``subject`` may reach ``resource`` until ``expires`` (Unix seconds; None: no end), while ``policy`` is met."""

    id: GrantId
    subject: SubjectRef
    resource: ResourceId
    expires: int | None
    created_ms: int
    policy: PolicyId | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Conditions under which grants hold, by name."""

    id: PolicyId
    name: str
    conditions: Conditions
    created_ms: int


@dataclass(frozen=True, slots=True)
class Exclusion:
    """``subject`` may not reach ``resource`` whatever grants say, until ``expires`` (Unix seconds; None: no end)."""

    id: ExclusionId
    subject: SubjectRef
    resource: ResourceId
    expires: int | None
    created_ms: int


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """An OpenID Connect provider. ``groups``: pairs of a value of ``groups_claim`` and the group that follows it.

    ``email_domains``: only verified addresses of these sign in; empty: no limit. ``new_users`` and ``second_factor`` are
    words of ``commands_sign_in``.
    """

    id: IdentityProviderId
    name: str
    issuer: str
    client_id: str
    scopes: tuple[str, ...]
    groups_claim: str | None
    email_domains: tuple[str, ...]
    new_users: str
    second_factor: str
    created_ms: int
    groups: tuple[tuple[str, GroupId], ...] = ()


@dataclass(frozen=True, slots=True)
class SigningKeyRecord:
    """The public half of a key that signs tokens; private halves are encrypted in the store."""

    kid: str
    key: PublicKey
    status: KeyStatus
    added_ms: int


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A bearer credential of ``owner`` for programs; ``scopes`` are permissions, ``expires`` is in Unix seconds."""

    id: ApiTokenId
    owner: UserId
    scopes: tuple[str, ...]
    expires: int
    created_ms: int


@dataclass(frozen=True, slots=True)
class FormerAgent:
    """A device or connector that lost its standing: its key still proves who asks, so that it can be told why."""

    id: str
    key: PublicKey
    reason: Reason
