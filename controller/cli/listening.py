"""The controller's listening sockets: for one process, or shared by several workers of one parent (SO_REUSEPORT)."""

import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final

from protocol.errors import LocalError
from protocol.reasons import Reason

BACKLOG: Final = 1024
_NO_SUCH_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


def listen(host: str, port: int) -> list[socket.socket]:
    """Binds the listening sockets: of ``host``, or without one of every address that this host has, IPv4 and IPv6.

    Raises:
        LocalError: PORT_IN_USE, PERMISSION_DENIED or CONFIG_INVALID.
    """
    where = f"{host or '*'}:{port}"
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as exc:
        raise LocalError(Reason.CONFIG_INVALID, f"listen_host: {host!r} is not an address of this host") from exc
    places = [(family, protocol, address) for family, _, protocol, _, address in found]
    if host:
        places = places[:1]
    listeners: list[socket.socket] = []
    try:
        for number, (family, protocol, address) in enumerate(places, 1):
            try:
                listeners.append(_bind(family, protocol, address, both=bool(host)))
            except OSError as exc:
                # A host without IPv6 may have an address for it all the same.
                last = number == len(places)
                if exc.errno not in _NO_SUCH_FAMILY or (last and not listeners):
                    raise
    except OSError as exc:
        for listener in listeners:
            listener.close()
        match exc.errno:
            case errno.EADDRINUSE:
                raise LocalError(Reason.PORT_IN_USE, where) from exc
            case errno.EACCES | errno.EPERM:
                raise LocalError(Reason.PERMISSION_DENIED, f"{where} needs CAP_NET_BIND_SERVICE") from exc
        raise LocalError(Reason.CONFIG_INVALID, f"listen_host: {where}: {exc.strerror}") from exc
    return listeners


def _bind(family: socket.AddressFamily, protocol: int, address: Any, *, both: bool) -> socket.socket:
    """``both``: a socket on `::` serves IPv4 as well, where nobody else does. Raises OSError."""
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        listener.bind(address)
        listener.setblocking(False)
        # uvicorn's own listen() comes later; this one finds out now whether the port is free.
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def reserved(host: str, port: int) -> Iterator[tuple[socket.socket, ...]]:
    """Keeps the addresses for ``shared``: sockets that are bound there and do not listen. Raises LocalError as ``listen``."""
    # Alone at first: beside SO_REUSEPORT another controller of the same user would go unnoticed.
    places = []
    for probe in listen(host, port):
        places.append((probe.family, probe.getsockname(), _only_ipv6(probe)))
        probe.close()
    with contextlib.ExitStack() as held:
        try:
            bound = tuple(held.enter_context(contextlib.closing(_bind_shared(*place))) for place in places)
        except OSError as exc:
            raise LocalError(Reason.PORT_IN_USE, f"{host or '*'}:{port}") from exc
        yield bound


def shared(places: Sequence[socket.socket]) -> list[socket.socket]:
    """Binds another socket on each of the ``reserved`` addresses; whoever listens on his gets a share of the connections.

    Raises:
        OSError
    """
    made: list[socket.socket] = []
    try:
        made += (_bind_shared(place.family, place.getsockname(), _only_ipv6(place)) for place in places)
    except OSError:
        for one in made:
            one.close()
        raise
    return made


def _bind_shared(family: int, address: Any, only_ipv6: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
        made.bind(address)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def _only_ipv6(sock: socket.socket) -> bool:
    return sock.family == socket.AF_INET6 and bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
