"""A stream that somebody wants, and one that was begun."""

from dataclasses import dataclass

from client.daemon.connector_tunnel import ConnectorTunnel
from client.daemon.opening import Opening
from protocol.acl.model import Entry, IPAddress, Request, Transport
from protocol.ids import FlowId, NetworkId, ResourceId
from protocol.streams import StreamHeader, StreamKind


@dataclass(frozen=True, slots=True)
class Wanted:
    """A stream that somebody wants. ``port`` is None for icmp, resolve and dns."""

    kind: StreamKind
    host: str | IPAddress
    port: int | None
    entry: Entry

    @property
    def resource(self) -> ResourceId:
        """What it is for."""
        return self.entry.resource.id

    @property
    def network(self) -> NetworkId:
        """Where that lies."""
        return self.entry.resource.network

    @property
    def request(self) -> Request | None:
        """What the access token has to permit; None for questions about names."""
        if self.kind in ("resolve", "dns"):
            return None
        return Request(self.host, Transport(self.kind), self.port)

    def header(self, flow: FlowId) -> StreamHeader:
        """As it is sent."""
        return StreamHeader(self.kind, str(self.host), self.port, flow, self.resource)


@dataclass(frozen=True, slots=True)
class Begun:
    """A stream whose answer is still to come."""

    opening: Opening
    tunnel: ConnectorTunnel
