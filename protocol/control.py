"""What the controller and its agents (clients and connectors) say over their WebSocket.

One text frame is one JSON object: ``{"type": <class's TYPE>, ...fields}``. Requests carry an ``id`` that the reply
repeats. Unknown fields are ignored, unknown types are answered with nothing, so that one side may be a minor version
ahead. ``encode`` and ``parse_message_untrusted`` are in ``protocol.control_codec``.

Signed values travel as compact JWS strings inside these messages and are verified by ``protocol.tokens``: nothing else in
a message gives access.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from protocol.ids import NO_REVISION, ConnectorId, DeviceId, FlowId, NetworkId, RelayId, ResourceId, Revision, SpkiPin

AGENT_PATH = "/agents/v1"
"""Both kinds of agents upgrade here; ``Authorization: Bearer <assertion>`` says who it is (tokens.Assertion)."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all control messages."""

    TYPE: ClassVar[str] = ""


# --- both directions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    """Sent by agents every HEARTBEAT_INTERVAL_S; ``clock_ms`` is the sender's wall clock (Unix milliseconds).

    A connector also says its pins, the relays that it is attached to, its open flows and tunnels (C5). The controller
    answers each heartbeat with one that echoes ``echo_ms``. ``interval_s``: the controller asks to be sent the next ones so many
    seconds apart, at most HEARTBEAT_SLOWEST_S; 0: HEARTBEAT_INTERVAL_S. ``direct``: where a connector listens itself, at most
    DIRECT_ADDRESSES_MAX (``protocol.direct``).
    """

    TYPE: ClassVar[str] = "heartbeat"
    clock_ms: int
    echo_ms: int | None = None
    pin: SpkiPin | None = None
    next_pin: SpkiPin | None = None
    relays: tuple[RelayId, ...] = ()
    flows: int = 0
    tunnels: int = 0
    interval_s: float = 0.0
    direct: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Goodbye(Message):
    """The sender closes the connection on purpose; ``retry_after_s`` asks the other side to wait (T-18)."""

    TYPE: ClassVar[str] = "goodbye"
    reason: str
    retry_after_s: float = 0.0


# --- agent to controller ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """First message of an agent. ``epoch`` and ``revision``: what it enforces at the moment (0 when nothing).

    ``facts``: a client's, see DeviceReport. ``tests``: a connector can be asked to test destinations (``control_tests``).
    """

    TYPE: ClassVar[str] = "hello"
    protocol: int
    software: str
    clock_ms: int
    epoch: int = 0
    revision: Revision = NO_REVISION
    hostname: str = ""
    pin: SpkiPin | None = None
    next_pin: SpkiPin | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    tests: bool = False


@dataclass(frozen=True, slots=True)
class AuthoriseRequest(Message):
    """Client, C11: which paths lead to this resource now? ``connector`` narrows it to one connector."""

    TYPE: ClassVar[str] = "authorise"
    id: int
    resource: ResourceId


@dataclass(frozen=True, slots=True)
class AccessTokenRequest(Message):
    """Client, C15: an access token for this connector, bound to ``jwk`` (the client's public key)."""

    TYPE: ClassVar[str] = "access_token"
    id: int
    connector: ConnectorId
    jwk: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Enforced(Message):
    """The agent enforces this revision from now on; ``digest`` is base64url(SHA-256(snapshot or config JWS))."""

    TYPE: ClassVar[str] = "enforced"
    epoch: int
    revision: Revision
    digest: str


@dataclass(frozen=True, slots=True)
class ConnectionRecord:
    """One flow, closed or denied, as one side saw it: its connector, or the client, which alone knows what reached no connector.

    ``outcome`` is a Reason code (``normal`` when it was served). Times are Unix milliseconds.
    """

    flow: FlowId
    reporter: str
    """``client`` or ``connector``."""
    device: DeviceId
    user: str
    """User id or service account id."""
    resource: ResourceId | None
    network: NetworkId | None
    connector: ConnectorId | None
    relay: RelayId | None
    host: str
    address: str
    """The address that was dialled; empty when none was."""
    transport: str
    port: int | None
    started_ms: int
    ended_ms: int
    bytes_up: int
    bytes_down: int
    outcome: str
    revision: Revision
    grants: tuple[str, ...] = ()
    token: str = ""
    """``jti`` of the access token on which the flow was opened: with ``flow`` it joins what both sides report."""
    path: str = ""
    """How the client came to the connector: ``relay``, ``direct``, or empty when it did not."""


@dataclass(frozen=True, slots=True)
class Records(Message):
    """Finished or denied flows, and flows that are open for a while already.

    Acknowledged by RecordsAccepted with the same ``id``; kept and resent until then. In ``opened`` the times and bytes are
    as of the message, and a flow is in there again when its bytes have grown; one that is over before it was reported as open
    is in ``records`` only.
    """

    TYPE: ClassVar[str] = "records"
    id: int
    records: tuple[ConnectionRecord, ...]
    opened: tuple[ConnectionRecord, ...] = ()
    since_ms: int | None = None
    """Client: what it has opened before this moment (Unix ms) is over; said once in each life of it."""


@dataclass(frozen=True, slots=True)
class LiveFlow:
    """One open flow as the connector sees it."""

    flow: FlowId
    device: DeviceId
    resource: ResourceId
    transport: str
    port: int | None


@dataclass(frozen=True, slots=True)
class LiveFlows(Message):
    """Connector, right after Hello on every (re)connect: everything that is open (decision D4, C23).

    ``more``: another message with further flows follows.
    """

    TYPE: ClassVar[str] = "live_flows"
    id: int
    flows: tuple[LiveFlow, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class SignOut(Message):
    """Client: end my session. The controller answers with Revoked and closes."""

    TYPE: ClassVar[str] = "sign_out"


@dataclass(frozen=True, slots=True)
class DeviceReport(Message):
    """Client: how this device is set up (``protocol.device_facts``), when it changed and every FACTS_INTERVAL_S."""

    TYPE: ClassVar[str] = "facts"
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ExplainRequest(Message):
    """Client: why may I (not) reach this, and whom do I ask? ``host`` is a name or an address."""

    TYPE: ClassVar[str] = "explain"
    id: int
    host: str
    transport: str
    port: int | None


# --- controller to agent ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome(Message):
    """First message of the controller. ``jwks`` are the current and next signing keys (RFC 7517).

    ``controllers`` are the URLs under which this controller's replicas may be reached besides the one that the agent knows.
    """

    TYPE: ClassVar[str] = "welcome"
    protocol: int
    software: str
    clock_ms: int
    epoch: int
    revision: Revision
    jwks: Mapping[str, object]
    user: str = ""
    user_name: str = ""
    session_expires: int | None = None
    controllers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PushSnapshot(Message):
    """Client: the whole new whitelist (tokens.Snapshot).

    ``withheld`` are the names of resources that were granted and cannot be reached at the moment: a client with strict DNS
    asks no other resolver about them (T-55). They permit nothing, so they are not signed.
    """

    TYPE: ClassVar[str] = "snapshot"
    token: str
    withheld: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PushConfig(Message):
    """Connector: the whole new config (tokens.Config)."""

    TYPE: ClassVar[str] = "config"
    token: str


@dataclass(frozen=True, slots=True)
class AuthoriseReply(Message):
    """``token`` (tokens.Authorisation) or ``reason``.

    ``names`` are the names of the connectors in it by their ids, for people to read; nothing is decided by them.
    ``direct``, by their ids too, is where connectors listen themselves (``protocol.direct``): only the pins in the token tell who
    answers there.
    """

    TYPE: ClassVar[str] = "authorised"
    id: int
    token: str | None = None
    reason: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    direct: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessTokenReply(Message):
    """``token`` (tokens.Access) or ``reason``."""

    TYPE: ClassVar[str] = "access"
    id: int
    token: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Flows of ``device`` to ``resource`` that rest on tokens issued before ``before`` (Unix s) must end.

    ``resource`` None means every resource. ``reason`` is what the application's user reads.
    """

    device: DeviceId
    resource: ResourceId | None
    before: int
    reason: str


@dataclass(frozen=True, slots=True)
class Revoke(Message):
    """Connector, C23: apply these cut-offs at once. They are repeated in the next config until they are moot."""

    TYPE: ClassVar[str] = "revoke"
    revision: Revision
    cutoffs: tuple[Cutoff, ...]


@dataclass(frozen=True, slots=True)
class Revoked(Message):
    """The agent itself lost its standing (device revoked, session ended, connector removed); the socket closes next."""

    TYPE: ClassVar[str] = "revoked"
    reason: str


@dataclass(frozen=True, slots=True)
class LiveVerdict(Message):
    """Answer to LiveFlows: only ``allowed`` may go on; the connector resets everything else with ACCESS_REVOKED."""

    TYPE: ClassVar[str] = "live_verdict"
    id: int
    revision: Revision
    allowed: tuple[FlowId, ...]


@dataclass(frozen=True, slots=True)
class RecordsAccepted(Message):
    """The records with this ``id`` are stored."""

    TYPE: ClassVar[str] = "records_accepted"
    id: int


@dataclass(frozen=True, slots=True)
class ExplainReply(Message):
    """``allowed``; else ``reason`` (a code). ``ask`` names whom to ask (names of owners or admins)."""

    TYPE: ClassVar[str] = "explained"
    id: int
    allowed: bool
    reason: str | None = None
    resource: ResourceId | None = None
    resource_name: str = ""
    grants: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    """For each grant: the name of the group, user or service account that it was given to."""
    ask: tuple[str, ...] = ()
    revision: Revision = NO_REVISION
    missing: tuple[str, ...] = ()
    """What the nearest grant asks for and is not so, in words."""
    changes_at: int | None = None
    """When time alone mends that (Unix seconds)."""
