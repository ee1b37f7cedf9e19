"""What can be asked about a connector's own key. Only code that has verified the connector's proofs gives these."""

from dataclasses import dataclass

from controller.domain.commands import Command
from controller.domain.model import PublicKey
from protocol.ids import ConnectorId, SpkiPin


@dataclass(frozen=True, slots=True)
class AnnounceConnectorKey(Command):
    """``key`` comes after the one in use; announced again, nothing changes; another one takes its place."""

    connector: ConnectorId
    key: PublicKey
    pin: SpkiPin


@dataclass(frozen=True, slots=True)
class RotateConnectorKey(Command):
    """The connector uses its next key. ``at`` in Unix seconds."""

    connector: ConnectorId
    key: PublicKey
    at: int
