"""Events of places: remote networks, connectors, relays, resources."""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.events.base import Event
from controller.domain.model import PublicKey
from protocol.acl.model import Ports
from protocol.ids import (
    ConnectorId,
    NetworkId,
    RelayId,
    ResourceId,
    SpkiPin,
)


@dataclass(frozen=True, slots=True)
class NetworkCreated(Event):
    """A remote network exists."""

    TYPE: ClassVar[str] = "network.created/1"
    STREAM_FIELD: ClassVar[str] = "network"
    network: NetworkId
    name: str


@dataclass(frozen=True, slots=True)
class NetworkRenamed(Event):
    """A remote network has another name."""

    TYPE: ClassVar[str] = "network.renamed/1"
    STREAM_FIELD: ClassVar[str] = "network"
    network: NetworkId
    name: str


@dataclass(frozen=True, slots=True)
class NetworkEgressChanged(Event):
    """The whole list of otherwise forbidden addresses that the network's connectors may dial (T-32)."""

    TYPE: ClassVar[str] = "network.egress_changed/1"
    STREAM_FIELD: ClassVar[str] = "network"
    network: NetworkId
    allow: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NetworkRemoved(Event):
    """An empty remote network was removed."""

    TYPE: ClassVar[str] = "network.removed/1"
    STREAM_FIELD: ClassVar[str] = "network"
    network: NetworkId


@dataclass(frozen=True, slots=True)
class ConnectorCreated(Event):
    """A connector is expected (C1)."""

    TYPE: ClassVar[str] = "connector.created/1"
    STREAM_FIELD: ClassVar[str] = "connector"
    connector: ConnectorId
    network: NetworkId
    name: str


@dataclass(frozen=True, slots=True)
class ConnectorEnrolled(Event):
    """The connector made its key and certificate (C2). A later one replaces the key."""

    TYPE: ClassVar[str] = "connector.enrolled/1"
    STREAM_FIELD: ClassVar[str] = "connector"
    connector: ConnectorId
    jwk: PublicKey
    pin: SpkiPin


@dataclass(frozen=True, slots=True)
class ConnectorRemoved(Event):
    """The connector has no standing any more."""

    TYPE: ClassVar[str] = "connector.removed/1"
    STREAM_FIELD: ClassVar[str] = "connector"
    connector: ConnectorId


@dataclass(frozen=True, slots=True)
class RelayCreated(Event):
    """A relay is expected under this name and port."""

    TYPE: ClassVar[str] = "relay.created/1"
    STREAM_FIELD: ClassVar[str] = "relay"
    relay: RelayId
    name: str
    fqdn: str
    port: int


@dataclass(frozen=True, slots=True)
class RelayEnrolled(Event):
    """The relay made its key. A later one replaces it."""

    TYPE: ClassVar[str] = "relay.enrolled/1"
    STREAM_FIELD: ClassVar[str] = "relay"
    relay: RelayId
    jwk: PublicKey


@dataclass(frozen=True, slots=True)
class RelayRemoved(Event):
    """No tickets are made for this relay any more."""

    TYPE: ClassVar[str] = "relay.removed/1"
    STREAM_FIELD: ClassVar[str] = "relay"
    relay: RelayId


@dataclass(frozen=True, slots=True)
class ResourceCreated(Event):
    """Something in a remote network can be granted. ``address`` is canonical (acl.names); ``lease_s`` in seconds."""

    TYPE: ClassVar[str] = "resource.created/1"
    STREAM_FIELD: ClassVar[str] = "resource"
    resource: ResourceId
    network: NetworkId
    name: str
    address: str
    ports: Ports
    lease_s: int


@dataclass(frozen=True, slots=True)
class ResourceChanged(Event):
    """The resource's whole new content."""

    TYPE: ClassVar[str] = "resource.changed/1"
    STREAM_FIELD: ClassVar[str] = "resource"
    resource: ResourceId
    network: NetworkId
    name: str
    address: str
    ports: Ports
    lease_s: int


@dataclass(frozen=True, slots=True)
class ResourceRemoved(Event):
    """The resource and the grants on it are gone."""

    TYPE: ClassVar[str] = "resource.removed/1"
    STREAM_FIELD: ClassVar[str] = "resource"
    resource: ResourceId
