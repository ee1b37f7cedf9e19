"""What all legs have in common below their framing: how their TCP sockets are tuned, and the buffers they read into."""

import asyncio
import socket
import threading
from typing import Final, Literal

from runtime.allocator import tune_for_bulk

READ_BUFFER_BYTES: Final = 256 * 1024
SHUTDOWN_DEADLINE_S: Final = 2.0
"""How long closing waits for a peer that does not read, or does not close."""
NOTSENT_LOWAT_BYTES: Final = 128 * 1024
"""What the kernel keeps unsent per leg (TCP_NOTSENT_LOWAT): more would only queue urgent frames behind bulk."""
_TCP_NOTSENT_LOWAT: Final = 25

_thread = threading.local()


def tune_socket(transport: asyncio.BaseTransport) -> None:
    """Sets what every leg's TCP socket has: no Nagle delay, a small unsent queue."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)


def shared_buffer(purpose: Literal["payload", "wire"] = "payload") -> memoryview:
    """One read buffer per purpose and thread: a loop fills and empties it within one callback, so legs never overlap in it.

    Args:
        purpose: ``wire`` is for what a leg's own TLS still has to decrypt, while ``payload`` takes the outcome.
    """
    buffer: memoryview | None = getattr(_thread, purpose, None)
    if buffer is None:
        # The first leg tells that this process moves bulk data.
        tune_for_bulk()
        buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        setattr(_thread, purpose, buffer)
    return buffer
