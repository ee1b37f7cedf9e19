"""What each kind of token says, after verification.

Times are Unix seconds. ``token`` is the compact JWS that the value was read from; it is empty in a value that is about to
be signed and is no part of equality. A value of these types that did not come from ``verify`` proves nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from protocol.acl.model import Acl, NamePattern
from protocol.control import Cutoff
from protocol.ids import (
    ConnectorHash,
    ConnectorId,
    DeviceId,
    Epoch,
    GrantId,
    NetworkId,
    RelayId,
    ResourceId,
    Revision,
    SessionId,
    SpkiPin,
)

UserKind = Literal["user", "service"]
TicketRole = Literal["client", "connector", "controller"]
LOG_AUDIENCE: Final = "log"
"""The audience of a checkpoint: whoever audits the log of its issuer."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """C7: the whole whitelist of ``user`` on ``device``. Older (epoch, revision) pairs are refused by the client (D8).

    ``user`` is a user id or a service account id, as ``user_kind`` says; a service account has no session (``""``).
    ``networks`` names the remote networks of the resources. ``log_head`` is the hash of the log's newest event.
    """

    issuer: str
    device: DeviceId
    user: str
    user_kind: UserKind
    session: SessionId
    epoch: Epoch
    revision: Revision
    issued_at: int
    not_after: int
    acl: Acl
    networks: Mapping[NetworkId, str]
    log_head: str
    token: str = field(default="", repr=False, compare=False)
    withheld: tuple[NamePattern, ...] | None = field(default=None, compare=False)
    """No claim: it comes beside the token (message ``snapshot``) and permits nothing. None: not known (a stored token)."""


@dataclass(frozen=True, slots=True)
class ConfigRelay:
    """One relay that a connector attaches to, with the connector's ticket for it (C3)."""

    relay: RelayId
    fqdn: str
    port: int
    ticket: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """C3: what a connector may serve for anyone, its relays, and the revocation cut-offs that are not moot yet.

    ``egress_allow``: addresses or networks that are permitted although egress rules forbid them by default (T-32).
    """

    issuer: str
    connector: ConnectorId
    network: NetworkId
    epoch: Epoch
    revision: Revision
    issued_at: int
    not_after: int
    acl: Acl
    relays: tuple[ConfigRelay, ...]
    cutoffs: tuple[Cutoff, ...]
    log_head: str
    egress_allow: tuple[str, ...] = ()
    checkpoint: str = field(default="", repr=False)
    """The newest checkpoint of the log, a token of its own; empty before the first one."""
    token: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Path:
    """One way to a resource: connector, its pins (current, next), relay and the client's ticket for that relay."""

    connector: ConnectorId
    connector_hash: ConnectorHash
    pins: tuple[SpkiPin, ...]
    relay: RelayId
    fqdn: str
    port: int
    ticket: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authorisation:
    """C11: ``device`` may reach ``resource`` now, by these paths, best first."""

    issuer: str
    device: DeviceId
    resource: ResourceId
    revision: Revision
    issued_at: int
    expires: int
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Ticket:
    """C3, C13: admits its bearer to one relay. It names a connector by hash only; a controller's ticket names none."""

    issuer: str
    relay: RelayId
    role: TicketRole
    connector_hash: ConnectorHash | None
    issued_at: int
    expires: int


@dataclass(frozen=True, slots=True)
class Access:
    """C15: ``device`` may reach ``acl`` through ``connector`` if it proves possession of ``jwk`` (``cnf``, RFC 7800).

    It counts only on a tunnel whose certificate has one of ``pins``: who holds a key that the connector had once is not it.

    ``user`` is a user id or a service account id; ``session`` is ``""`` for the latter.
    """

    issuer: str
    connector: ConnectorId
    device: DeviceId
    user: str
    session: SessionId
    jti: str
    acl: Acl
    jwk: Mapping[str, str]
    revision: Revision
    grants: tuple[GrantId, ...]
    issued_at: int
    expires: int
    pins: tuple[SpkiPin, ...] = ()
    token: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Assertion:
    """C2: an agent says who it is (RFC 7523); signed by its own key. The receiver spends ``jti`` once."""

    agent: str
    audience: str
    jti: str
    issued_at: int
    expires: int


@dataclass(frozen=True, slots=True)
class Rotation:
    """An agent says that ``jwk`` is its next key; signed by the key that it has (C5)."""

    agent: str
    audience: str
    jti: str
    jwk: Mapping[str, str]
    issued_at: int
    expires: int


@dataclass(frozen=True, slots=True)
class Keyset:
    """The controller's current keys for one relay, signed by a key that the relay already trusts."""

    issuer: str
    relay: RelayId
    jwks: Mapping[str, object]
    issued_at: int
    expires: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """T-70: the log of ``issuer`` had, in ``epoch``, ``hash`` at ``position``; evidence, which admits nobody to anything.

    ``previous_position`` and ``previous_hash`` repeat the checkpoint before it (0 and 64 zeros: there was none), so that a
    witness notices when one that it has seen is left out.
    """

    issuer: str
    epoch: Epoch
    position: Revision
    hash: str
    previous_position: Revision
    previous_hash: str
    issued_at: int
    expires: int
    token: str = field(default="", repr=False, compare=False)
