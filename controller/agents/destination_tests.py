"""Asks attached connectors to dial a destination, and brings their answers back (T-17).

Only those of this replica are asked here (``agents.shared_tests`` asks the others'), and only those that have said that they can.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from protocol.control import Message
from protocol.control_tests import DestinationTested, TestDestination
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason

DEADLINE_S: Final = 10.0
PER_CONNECTOR: Final = 4


@dataclass(slots=True)
class _Line:
    send: Callable[[Message], None]
    able: bool
    waiting: dict[int, asyncio.Future[DestinationTested]] = field(default_factory=dict)


class DestinationTests:
    """The connectors attached here."""

    def __init__(self, *, deadline_s: float = DEADLINE_S) -> None:
        self._lines: dict[str, _Line] = {}
        self._numbers = count(1)
        self._deadline_s = deadline_s

    def attach(self, connector: str, send: Callable[[Message], None], *, able: bool) -> object:
        """A connection of this connector begins; returns what ``detach`` takes."""
        line = self._lines[connector] = _Line(send, able)
        return line

    def detach(self, connector: str, line: object) -> None:
        """It is over, and whoever waits for it, too."""
        if self._lines.get(connector) is line:
            del self._lines[connector]
        assert isinstance(line, _Line)
        for waiting in line.waiting.values():
            if not waiting.done():
                waiting.set_exception(LocalError(Reason.UNAVAILABLE, "the connector went away"))

    def holds(self, connector: str) -> bool:
        """Whether it is attached here."""
        return connector in self._lines

    def any(self) -> bool:
        """Whether any connector is attached here."""
        return bool(self._lines)

    def answered(self, connector: str, message: DestinationTested) -> None:
        """Takes an answer; one that nobody asked for is nothing."""
        line = self._lines.get(connector)
        waiting = line.waiting.get(message.test) if line is not None else None
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    async def ask(self, connector: str, host: str, port: int) -> DestinationTested | None:
        """Returns what happened; None from a connector that is too old to be asked.

        Raises:
            LocalError: UNAVAILABLE when it is not attached here, goes away, or does not answer in time.
            RefusedError: LIMIT_EXCEEDED.
        """
        line = self._lines.get(connector)
        if line is None:
            raise LocalError(Reason.UNAVAILABLE, "the connector is not connected to this replica of the controller")
        if not line.able:
            return None
        if len(line.waiting) >= PER_CONNECTOR:
            raise RefusedError(Reason.LIMIT_EXCEEDED, f"at most {PER_CONNECTOR} tests of a connector at once")
        number = next(self._numbers)
        answer: asyncio.Future[DestinationTested] = asyncio.get_running_loop().create_future()
        line.waiting[number] = answer
        try:
            line.send(TestDestination(number, host, port))
            async with asyncio.timeout(self._deadline_s):
                return await answer
        except TimeoutError as exc:
            raise LocalError(Reason.UNAVAILABLE, "the connector did not answer in time") from exc
        finally:
            del line.waiting[number]
            answer.cancel()
