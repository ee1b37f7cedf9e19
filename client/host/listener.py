"""The listeners at which the kernel ends the applications' connections.

They are bound to the TUN device, not only to its address: a packet from the local network that pretends to come from N
does not reach them. Programs of this host do reach them directly, from other addresses than N: the accepter has to look
at the peer's address and resets such sockets. The listeners carry no mark, because the answers have to go back into the
device.
"""

import socket
from typing import Final

from protocol.acl.model import IPAddress
from protocol.errors import LocalError
from protocol.reasons import Reason

BACKLOG: Final = 4096


def open_listener(address: IPAddress, device: str) -> socket.socket:
    """Returns a listening, non-blocking TCP socket on ``address`` and ``device``; the kernel chooses the port.

    Raises:
        LocalError: PORT_IN_USE, naming the address and what the host said.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Accepted sockets inherit it: an urgent byte stays in its place in the stream in place of getting lost.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        sock.bind((str(address), 0))
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        raise LocalError(Reason.PORT_IN_USE, f"listener on {address}: {exc}") from exc
    return sock
