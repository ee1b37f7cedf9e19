"""Tests of destinations by connectors: the port to ``controller.agents``."""

from typing import Protocol

from protocol.control_tests import DestinationTested
from protocol.errors import LocalError
from protocol.reasons import Reason


class DestinationTests(Protocol):
    """Asks a connector."""

    async def ask(self, connector: str, host: str, port: int) -> DestinationTested | None:
        """Returns what happened; None from one that is too old. Raises LocalError(UNAVAILABLE), RefusedError."""
        ...


class NoConnectors:
    """A controller without agents: the command line's, and the API's own tests'."""

    async def ask(self, connector: str, host: str, port: int) -> DestinationTested | None:
        raise LocalError(Reason.UNAVAILABLE, "no connector is connected")
