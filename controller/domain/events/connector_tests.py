"""Events of tests that people have connectors make."""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.events.base import Event
from protocol.ids import ConnectorId, ResourceId


@dataclass(frozen=True, slots=True)
class ConnectorTestOrdered(Event):
    """The connector was told to dial a destination, which is part of ``resource``; in the log before it does (T-9)."""

    TYPE: ClassVar[str] = "connector.test_ordered/1"
    STREAM: ClassVar[str] = "connector_tests"
    connector: ConnectorId
    resource: ResourceId
    host: str
    port: int
