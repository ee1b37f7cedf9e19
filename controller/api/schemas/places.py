"""Remote networks, connectors, relays, resources."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from controller.api.schemas.common import Id, Input, Name, Output, Page, Ports, Text, example, input_example
from protocol.limits import LEASE_DEFAULT_S, LEASE_MAX_S, LEASE_MIN_S

_NETWORK = "net_q1w2e3r4t5y6u7i8o9p0aA"
_CONNECTOR = "con_q1w2e3r4t5y6u7i8o9p0aA"
_RELAY = "rel_q1w2e3r4t5y6u7i8o9p0aA"
_RESOURCE = "res_q1w2e3r4t5y6u7i8o9p0aA"


class Network(Output):
    """A remote network: a place with connectors."""

    model_config = example(id=_NETWORK, name="office", created_at="2026-11-22T12:00:00Z", egress_allow=[], version=1)

    id: str
    name: str
    created_at: datetime
    egress_allow: list[str] = Field(
        description="Addresses and CIDRs that its connectors may dial although they are forbidden by default "
        "(loopback, link-local, metadata services)."
    )
    version: int = Field(description="Also the entity tag for `If-Match`.")


class NetworkCreate(Input):
    """A new remote network."""

    model_config = input_example(name="office")

    name: Name
    egress_allow: list[Text] = Field(default_factory=list, max_length=64)


class NetworkChange(Input):
    """What is not given stays as it is."""

    model_config = input_example(name="headquarters")

    name: Name | None = None
    egress_allow: list[Text] | None = Field(None, max_length=64)


class NetworkPage(Page[Network]):
    """One page of remote networks."""


class Connector(Output):
    """A connector and what its heartbeats say."""

    model_config = example(
        id=_CONNECTOR,
        network=_NETWORK,
        name="office-1",
        created_at="2026-11-22T12:00:00Z",
        enrolled=True,
        online=True,
        since="2026-11-22T12:00:05Z",
        software="0.1.0",
        hostname="gw1",
        clock_offset_ms=3,
        relays=[_RELAY],
        flows=4,
        tunnels=2,
        pin="sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        enforced_revision=41,
        version=2,
    )

    id: str
    network: str
    name: str
    created_at: datetime
    enrolled: bool = Field(description="Whether it made its key; before that only its enrolment token exists.")
    online: bool
    since: datetime | None = Field(None, description="Since when it is online.")
    software: str = Field("", description="Its version.")
    hostname: str = ""
    clock_offset_ms: int | None = Field(None, description="Its clock minus the controller's.")
    relays: list[str] = Field(default_factory=list, description="Relays that it is attached to.")
    flows: int = 0
    tunnels: int = 0
    pin: str | None = Field(None, description="SHA-256 pin of its certificate's key.")
    enforced_revision: int | None = Field(None, description="The policy revision that it enforces.")
    version: int


class ConnectorCreate(Input):
    """A new connector in a remote network."""

    model_config = input_example(network=_NETWORK, name="office-1")

    network: Id
    name: Name


class Enrolment(Output):
    """A one-time enrolment token. It is shown once and kept only as a hash."""

    model_config = example(enrolment_token="otk_eyJ2IjoxLC4uLn0", expires_at="2026-11-23T12:00:00Z")  # noqa: S106 - an example

    enrolment_token: str = Field(description="Hand it to the component's `enroll` command.")
    expires_at: datetime


class ConnectorCreated(Connector):
    """The new connector with its enrolment token, which is shown this once."""

    enrolment_token: str
    enrolment_expires_at: datetime


class ConnectorPage(Page[Connector]):
    """One page of connectors."""


class Relay(Output):
    """A relay and what it reports."""

    model_config = example(
        id=_RELAY,
        name="relay-1",
        fqdn="relay.example.com",
        port=8444,
        created_at="2026-11-22T12:00:00Z",
        enrolled=True,
        online=True,
        since="2026-11-22T12:00:05Z",
        software="0.1.0",
        clock_offset_ms=1,
        attachments=3,
        parked=6,
        pairs=2,
        bytes_copied=123456,
        version=2,
    )

    id: str
    name: str
    fqdn: str
    port: int
    created_at: datetime
    enrolled: bool
    online: bool = Field(description="Whether the controller's connection to it stands.")
    since: datetime | None = None
    software: str = ""
    clock_offset_ms: int | None = None
    attachments: int = Field(0, description="Connectors that are attached to it.")
    parked: int = Field(0, description="Idle legs that wait for a client.")
    pairs: int = Field(0, description="Pairs of client and connector at the moment.")
    bytes_copied: int = 0
    version: int


class RelayCreate(Input):
    """A new relay under a name that clients and connectors can resolve."""

    model_config = input_example(name="relay-1", fqdn="relay.example.com", port=8444)

    name: Name
    fqdn: Text = Field(min_length=1, max_length=253)
    port: int = Field(8444, ge=1, le=65535)


class RelayCreated(Relay):
    """The new relay with its enrolment token, which is shown this once."""

    enrolment_token: str
    enrolment_expires_at: datetime


class RelayPage(Page[Relay]):
    """One page of relays."""


class Resource(Output):
    """Something in a remote network that can be granted."""

    model_config = example(
        id=_RESOURCE,
        network=_NETWORK,
        name="database",
        address="db.prod.internal",
        ports={"tcp": ["5432"], "udp": [], "icmp": False},
        lease_s=LEASE_DEFAULT_S,
        version=1,
    )

    id: str
    network: str
    name: str
    address: str = Field(description="A name, a wildcard (`*.dev.internal`), an address or a CIDR.")
    ports: Ports
    lease_s: int = Field(description="How long access outlives an unreachable controller, in seconds.")
    version: int


class ResourceTie(Output):
    """Another resource that covers the same address in another remote network."""

    model_config = example(id=_RESOURCE, name="database", network=_NETWORK, network_name="office", decides=True)

    id: str
    name: str
    network: str
    network_name: str
    decides: bool = Field(description="The address alone means that one; else the one that was asked for.")


class ResourceDetail(Resource):
    """One resource, and what ties with it."""

    model_config = example(
        id=_RESOURCE,
        network=_NETWORK,
        name="database",
        address="10.0.0.0/24",
        ports={"tcp": ["5432"], "udp": [], "icmp": False},
        lease_s=LEASE_DEFAULT_S,
        version=1,
        ties=[],
    )

    ties: list[ResourceTie] = Field(
        description="Resources in other networks that cover the same address just as well, on the same ports. "
        "Whoever may reach both reaches one by the address; docs/networks.md says how each is reached.",
        max_length=16,
    )


class ResourceOverlap(Output):
    """A resource that shares a host with an address."""

    model_config = example(
        id=_RESOURCE, name="lan", network=_NETWORK, network_name="office", address="10.0.0.0/8", relation="wider"
    )

    id: str
    name: str
    network: str
    network_name: str
    address: str
    relation: Literal["same", "wider", "narrower"] = Field(
        description="What it covers, seen from the address. The most specific resource decides about a host."
    )


class AddressPreview(Output):
    """What an address of a resource would mean. Nothing is made."""

    model_config = example(
        address="10.0.0.0/24", kind="network", first="10.0.0.0", last="10.0.0.255", overlaps=[], overlaps_total=0
    )

    address: str = Field(description="As it would be kept.")
    kind: Literal["name", "wildcard", "address", "network"]
    first: str | None = Field(description="The first address of a network.")
    last: str | None = Field(description="The last one.")
    overlaps: list[ResourceOverlap] = Field(
        description="Resources that share a host with it, in whatever network: equal ones, wider ones, those within it.",
        max_length=16,
    )
    overlaps_total: int = Field(description="How many there are; the list shows the first ones.")


class ResourceCreate(Input):
    """A new resource. Nobody reaches it until a grant says so."""

    model_config = input_example(network=_NETWORK, name="database", address="db.prod.internal", ports={"tcp": ["5432"]})

    network: Id
    name: Name
    address: Text = Field(min_length=1, max_length=255)
    ports: Ports
    lease_s: int = Field(LEASE_DEFAULT_S, ge=LEASE_MIN_S, le=LEASE_MAX_S)


class ResourceChange(Input):
    """What is not given stays as it is."""

    model_config = input_example(ports={"tcp": ["5432", "6432"]})

    network: Id | None = None
    name: Name | None = None
    address: Text | None = Field(None, min_length=1, max_length=255)
    ports: Ports | None = None
    lease_s: int | None = Field(None, ge=LEASE_MIN_S, le=LEASE_MAX_S)


class ResourcePage(Page[Resource]):
    """One page of resources."""
