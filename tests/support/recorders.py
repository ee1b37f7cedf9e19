"""Receivers of legs and streams that write down what they get, and can be waited for."""

import asyncio
from collections.abc import Callable

from protocol.reasons import Reason


class Recorder:
    """Receiver of a leg or of a tunnel's stream.

    Args:
        consume: Called with the size of each piece, for example ``stream.consumed``; None keeps the credit.
    """

    def __init__(self, consume: Callable[[int], None] | None = None) -> None:
        self.consume = consume
        self.data = bytearray()
        self.texts: list[str] = []
        self.eof = False
        self.reason: Reason | None = None
        self.paused = False
        self.pauses = 0
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[["Recorder"], bool], within: float = 60.0) -> None:
        """Waits until ``condition`` holds."""
        async with asyncio.timeout(within):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

    async def received(self, count: int, within: float = 60.0) -> bytes:
        """Waits for at least ``count`` bytes and returns all of them."""
        await self.until(lambda own: len(own.data) >= count, within)
        return bytes(self.data)

    async def ended(self, within: float = 60.0) -> Reason:
        """Waits for the end of the leg or the reset of the stream."""
        await self.until(lambda own: own.reason is not None, within)
        assert self.reason is not None
        return self.reason

    def data_received(self, data: bytes | memoryview) -> None:
        self.data += data
        if self.consume is not None:
            self.consume(len(data))
        self._changed.set()

    def text_received(self, text: str) -> None:
        self.texts.append(text)
        self._changed.set()

    def eof_received(self) -> None:
        self.eof = True
        self._changed.set()

    def leg_lost(self, reason: Reason) -> None:
        self.reason = reason
        self._changed.set()

    def stream_reset(self, reason: Reason) -> None:
        self.reason = reason
        self._changed.set()

    def pause_writing(self) -> None:
        self.paused = True
        self.pauses += 1
        self._changed.set()

    def resume_writing(self) -> None:
        self.paused = False
        self._changed.set()
