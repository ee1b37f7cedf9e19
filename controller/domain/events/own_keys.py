"""Events of a connector's own key (C5, F-23)."""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.events.base import Event
from controller.domain.model import PublicKey
from protocol.ids import ConnectorId, SpkiPin


@dataclass(frozen=True, slots=True)
class ConnectorKeyAnnounced(Event):
    """The connector proved that it holds a key that it will use next; clients are told both pins from now on."""

    TYPE: ClassVar[str] = "connector.key_announced/1"
    STREAM_FIELD: ClassVar[str] = "connector"
    connector: ConnectorId
    jwk: PublicKey
    pin: SpkiPin


@dataclass(frozen=True, slots=True)
class ConnectorKeyRotated(Event):
    """The connector uses its next key. The former pin is named until ``former_until`` (Unix seconds)."""

    TYPE: ClassVar[str] = "connector.key_rotated/1"
    STREAM_FIELD: ClassVar[str] = "connector"
    connector: ConnectorId
    jwk: PublicKey
    pin: SpkiPin
    former_until: int
