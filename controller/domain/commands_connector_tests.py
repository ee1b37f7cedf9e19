"""What can be asked of connectors for a person who looks for a cause."""

from dataclasses import dataclass

from controller.domain.commands import Command
from protocol.acl.model import IPAddress
from protocol.ids import ConnectorId


@dataclass(frozen=True, slots=True)
class OrderConnectorTest(Command):
    """Refused with FORBIDDEN for what is part of no resource of the connector's network. ``host`` in canonical form."""

    connector: ConnectorId
    host: str | IPAddress
    port: int
