"""The nouns of the policy: what a fold of the log knows about each living thing (design section 7).

All are frozen and hashable. Personal data (names of people and devices, e-mail addresses) is not here: it lives in the
store's side table so that it can be erased while the log stays whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from protocol.ids import (
    ConnectorId,
    DeviceId,
    GrantId,
    GroupId,
    NetworkId,
    RelayId,
    ResourceId,
    ServiceAccountId,
    SessionId,
    SpkiPin,
    UserId,
)
from protocol.reasons import Reason


class Role(Enum):
    """What a user may do with the controller itself; access to resources comes from grants only."""

    OWNER = "owner"
    ADMIN = "admin"
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
    """A connector; ``key`` and ``pin`` are None until it is enrolled."""

    id: ConnectorId
    network: NetworkId
    name: str
    created_ms: int
    key: PublicKey | None = None
    pin: SpkiPin | None = None


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
    """A person."""

    id: UserId
    role: Role
    created_ms: int
    disabled: bool = False


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
    """One installation of the client with its key. ``owner.kind`` is USER or SERVICE_ACCOUNT."""

    id: DeviceId
    owner: SubjectRef
    key: PublicKey
    platform: str
    registered_ms: int


@dataclass(frozen=True, slots=True)
class Session:
    """A user's sign-in on a device; ``expires`` in Unix seconds. A device has at most one."""

    id: SessionId
    device: DeviceId
    user: UserId
    started_ms: int
    expires: int


@dataclass(frozen=True, slots=True)
class Grant:
    """``subject`` may reach ``resource`` until ``expires`` (Unix seconds; None: no end)."""

    id: GrantId
    subject: SubjectRef
    resource: ResourceId
    expires: int | None
    created_ms: int


@dataclass(frozen=True, slots=True)
class SigningKeyRecord:
    """The public half of a key that signs tokens; private halves are encrypted in the store."""

    kid: str
    key: PublicKey
    status: KeyStatus
    added_ms: int


@dataclass(frozen=True, slots=True)
class FormerAgent:
    """A device or connector that lost its standing: its key still proves who asks, so that it can be told why."""

    id: str
    key: PublicKey
    reason: Reason
