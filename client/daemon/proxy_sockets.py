"""Sockets of the proxy mode that no tunnel is behind: pairs that are joined directly, and connections that are only held."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

HIGH_WATER: Final = 256 * 1024


class Held(asyncio.Protocol):
    """A connection that says nothing more: an association lives as long as it does (RFC 1928 section 6)."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._on_lost()


class Half(asyncio.Protocol):
    """One socket of a direct connection; ``peer`` is the other one. Backpressure and half-close go through."""

    def __init__(self) -> None:
        self.peer: Half | None = None
        self.transport: asyncio.Transport | None = None
        self.ended = False
        """This socket has said its last byte."""
        self.on_lost: Callable[[], None] | None = None
        self._early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        if self._early:
            self.transport.write(bytes(self._early))
            self._early.clear()

    def send(self, data: bytes) -> None:
        """Writes to this socket; keeps what comes before it is there."""
        if self.transport is None:
            self._early += data
        elif not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        assert self.peer is not None
        self.peer.send(data)

    def eof_received(self) -> bool:
        """See asyncio.Protocol."""
        assert self.peer is not None
        self.ended = True
        other = self.peer.transport
        if other is not None and not other.is_closing():
            other.write_eof()
        # With both halves ended the transport may close itself behind what is still to be written.
        return not self.peer.ended

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self.on_lost is not None:
            self.on_lost()
        other = None if self.peer is None else self.peer.transport
        if other is not None and not other.is_closing():
            if exc is None:
                other.close()
            else:
                other.abort()

    def pause_writing(self) -> None:
        """This socket takes no more: stop reading the other one."""
        other = None if self.peer is None else self.peer.transport
        if other is not None and not other.is_closing():
            other.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        other = None if self.peer is None else self.peer.transport
        if other is not None and not other.is_closing():
            other.resume_reading()
