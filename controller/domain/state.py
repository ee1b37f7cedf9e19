"""The policy state: the fold of the whole log into one immutable value.

Only the living are in it. What is removed takes along what hangs on it (sessions, memberships, grants), so nothing can
dangle; devices and connectors leave a FormerAgent behind, so that they can be told why they have no standing.
"""

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immutables import Map

from controller.domain.model import (
    ApiToken,
    Connector,
    Device,
    Exclusion,
    FormerAgent,
    Grant,
    Group,
    IdentityProvider,
    Network,
    Policy,
    PublicKey,
    Relay,
    ServiceAccount,
    Session,
    SigningKeyRecord,
    SubjectRef,
    User,
)
from controller.domain.request_model import AccessRequest
from protocol.acl.model import Resource
from protocol.ids import (
    AccessRequestId,
    ApiTokenId,
    ConnectorId,
    DeviceId,
    Epoch,
    ExclusionId,
    GrantId,
    GroupId,
    IdentityProviderId,
    NetworkId,
    PolicyId,
    RelayId,
    ResourceId,
    Revision,
    ServiceAccountId,
    SessionId,
    UserId,
)

__all__ = ["PolicyState", "changed", "fold_name"]

_EMPTY: Final[Map[Any, Any]] = Map()
_START: Final = Revision(0)
_NO_EPOCH: Final = Epoch(0)


@dataclass(frozen=True)
class PolicyState:
    """Everything that the log says, as of ``position``. Times ending in ``_ms`` are Unix milliseconds."""

    position: Revision = _START
    at_ms: int = 0
    issuer: str = ""
    """The controller's instance id; empty until it is initialised."""
    epoch: Epoch = _NO_EPOCH
    public_url: str = ""

    networks: Map[NetworkId, Network] = _EMPTY
    connectors: Map[ConnectorId, Connector] = _EMPTY
    relays: Map[RelayId, Relay] = _EMPTY
    resources: Map[ResourceId, Resource] = _EMPTY
    users: Map[UserId, User] = _EMPTY
    groups: Map[GroupId, Group] = _EMPTY
    service_accounts: Map[ServiceAccountId, ServiceAccount] = _EMPTY
    devices: Map[DeviceId, Device] = _EMPTY
    sessions: Map[SessionId, Session] = _EMPTY
    grants: Map[GrantId, Grant] = _EMPTY
    identity_providers: Map[IdentityProviderId, IdentityProvider] = _EMPTY
    second_factor_for: str = "nobody"
    """Who must have passed a second factor to use the controller: a word of ``commands_sign_in``."""
    policies: Map[PolicyId, Policy] = _EMPTY
    exclusions: Map[ExclusionId, Exclusion] = _EMPTY
    api_tokens: Map[ApiTokenId, ApiToken] = _EMPTY
    signing_keys: Map[str, SigningKeyRecord] = _EMPTY
    distrusted_keys: Map[str, None] = _EMPTY
    former_agents: Map[str, FormerAgent] = _EMPTY
    access_requests: Map[AccessRequestId, AccessRequest] = _EMPTY
    """Open ones, and the newest of those that were answered."""

    versions: Map[str, int] = _EMPTY
    """Number of events per stream; also of streams whose thing is gone, so that no id is ever used twice."""
    names: Map[tuple[str, str], str] = _EMPTY
    """(kind, folded name) of the living -> id."""
    addresses: Map[tuple[NetworkId, str], ResourceId] = _EMPTY
    """(network, canonical address) -> resource."""

    connectors_in: Map[NetworkId, Map[ConnectorId, None]] = _EMPTY
    resources_in: Map[NetworkId, Map[ResourceId, None]] = _EMPTY
    members: Map[GroupId, Map[UserId, None]] = _EMPTY
    groups_of: Map[UserId, Map[GroupId, None]] = _EMPTY
    devices_of: Map[SubjectRef, Map[DeviceId, None]] = _EMPTY
    grants_to: Map[SubjectRef, Map[GrantId, None]] = _EMPTY
    grants_on: Map[ResourceId, Map[GrantId, None]] = _EMPTY
    grants_under: Map[PolicyId, Map[GrantId, None]] = _EMPTY
    exclusions_of: Map[SubjectRef, Map[ExclusionId, None]] = _EMPTY
    exclusions_on: Map[ResourceId, Map[ExclusionId, None]] = _EMPTY
    device_by_key: Map[PublicKey, DeviceId] = _EMPTY
    session_of: Map[DeviceId, SessionId] = _EMPTY
    requests_of: Map[UserId, Map[AccessRequestId, None]] = _EMPTY
    api_tokens_of: Map[UserId, Map[ApiTokenId, None]] = _EMPTY

    @property
    def initialised(self) -> bool:
        """Whether the log has its first event."""
        return self.issuer != ""

    def version_of(self, stream: str) -> int:
        """The version of a stream (0: it never existed): the API's entity tag."""
        return self.versions.get(stream, 0)


if TYPE_CHECKING:
    # Checked like the real one: names and types of the parts.
    from dataclasses import replace as changed
else:

    def changed(state: PolicyState, **parts: object) -> PolicyState:
        """Returns ``state`` with other parts; ten times quicker than ``dataclasses.replace``, and a log is long."""
        copy = object.__new__(PolicyState)
        copy.__dict__.update(state.__dict__, **parts)
        return copy


def fold_name(name: str) -> str:
    """The form under which names are compared: case and width do not tell two names apart."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
