"""Outgoing TCP sockets of our own: name or address to connected socket, with a mark that our own routes know (T-53).

They go through the HTTP proxy where there is one (``runtime.upstream_proxy``), over a NAT64 where that is the only way to an
IPv4 address, and in segments that any IPv6 path carries: a path whose routers lose larger packets without a word, as many
home and mobile networks do, must not become a connection that opens and then hangs (F-20).
"""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from protocol.acl.model import IPAddress
from protocol.errors import RemoteError
from protocol.limits import PATH_RACE_DELAY_S
from protocol.reasons import Reason
from runtime import nat64, upstream_proxy
from runtime.addresses import AddressMemory
from runtime.race import first_success

SEGMENT_BYTES: Final = 1220
"""1280, the least MTU of IPv6 (RFC 8200 section 5), without its headers. The other end keeps to it, too: it is our MSS option.
On the wire that is 2 % more headers than with 1500."""
ADDRESSES_MAX: Final = 8
"""Of one name; more are not tried."""


_BY_ERRNO: Final = {
    errno.ECONNREFUSED: Reason.CONNECTION_REFUSED,
    errno.EHOSTUNREACH: Reason.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Reason.HOST_UNREACHABLE,
    errno.ENETUNREACH: Reason.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Reason.NETWORK_UNREACHABLE,
    errno.EADDRNOTAVAIL: Reason.NETWORK_UNREACHABLE,
    errno.EAFNOSUPPORT: Reason.NETWORK_UNREACHABLE,
    errno.ETIMEDOUT: Reason.CONNECT_TIMEOUT,
    errno.ECONNRESET: Reason.CONNECTION_RESET,
    errno.EPIPE: Reason.CONNECTION_RESET,
    errno.EMSGSIZE: Reason.DATAGRAM_TOO_LARGE,
    errno.EPERM: Reason.HOST_UNREACHABLE,
    errno.EACCES: Reason.HOST_UNREACHABLE,
    errno.EMFILE: Reason.LIMIT_EXCEEDED,
    errno.ENFILE: Reason.LIMIT_EXCEEDED,
    errno.ENOBUFS: Reason.LIMIT_EXCEEDED,
    errno.ENOMEM: Reason.LIMIT_EXCEEDED,
}


def reason_of_os_error(error: OSError) -> Reason:
    """Names what the kernel said about a peer, truthfully (F-33). EPERM is a local firewall's REJECT or DROP."""
    if isinstance(error, TimeoutError):
        return Reason.CONNECT_TIMEOUT
    return _BY_ERRNO.get(error.errno or 0, Reason.HOST_UNREACHABLE)


_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH})

Admission = Callable[[IPAddress], None]
"""Raises for an address that must not be dialled."""


async def connect_socket(
    host: str,
    port: int,
    *,
    mark: int | None = None,
    deadline_s: float,
    what: Reason = Reason.CONTROLLER_UNREACHABLE,
    admit: Admission | None = None,
    known: AddressMemory | None = None,
) -> socket.socket:
    """Resolves ``host`` with the host's own resolver and connects to the first address that answers.

    Addresses that ``host`` had lately get a head start before it is resolved.

    Args:
        host: name or address literal.
        port: TCP port.
        mark: SO_MARK of the socket (needs CAP_NET_ADMIN).
        deadline_s: for everything together.
        what: reason of the RemoteError that every failure becomes.
        admit: asked for every address that the name has, before any is dialled (T-15, T-33); then straight only.
        known: where servers proved to be lately (``remember``); not used with ``admit``.

    Raises:
        RemoteError: ``what``, or PROXY_UNREACHABLE.
        RefusedError: PROXY_REFUSED, PROXY_LOGIN_REQUIRED.
    """
    proxy = upstream_proxy.proxy_for(host, port) if admit is None else None
    if proxy is not None:
        return await _connect_by_proxy(proxy, host, port, mark, deadline_s)
    try:
        async with asyncio.timeout(deadline_s):
            if admit is None:
                return await _connect_own(host, port, mark, known)
            addresses = await _resolve(host, port)
            for address in addresses:
                admit(ipaddress.ip_address(address[0]))
            return await connect_first(addresses[:ADDRESSES_MAX], mark=mark, segment=SEGMENT_BYTES)
    except TimeoutError as exc:
        raise RemoteError(what, f"{host}:{port} did not answer within {deadline_s:g} s") from exc
    except socket.gaierror as exc:
        raise RemoteError(what, f"{host}: {exc.strerror}") from exc
    except OSError as exc:
        raise RemoteError(what, f"{host}:{port}: {exc.strerror or exc}") from exc


async def connect_first(
    addresses: Sequence[Any], *, mark: int | None = None, segment: int | None = None
) -> socket.socket:
    """Connects to the first of ``addresses`` (socket addresses, best first) that answers. Raises OSError."""
    if not addresses:
        raise OSError(errno.EADDRNOTAVAIL, "no address")
    return await first_success(
        [partial(connect_one, address, mark=mark, segment=segment) for address in addresses],
        delay_s=PATH_RACE_DELAY_S,
        discard=socket.socket.close,
    )


async def connect_one(address: Any, *, mark: int | None = None, segment: int | None = None) -> socket.socket:
    """Connects one non-blocking TCP socket, whose segments hold at most ``segment`` bytes. Raises OSError."""
    family = socket.AF_INET6 if len(address) == 4 or ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_TCP)
    try:
        if mark is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        if segment is not None and not ipaddress.ip_address(address[0].partition("%")[0]).is_loopback:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def remember(known: AddressMemory | None, host: str, port: int, peer: Any) -> None:
    """Takes the address of who proved to be ``host``. Its hour is not begun anew; a proxy's address leads elsewhere."""
    if known is not None and upstream_proxy.proxy_for(host, port) is None and peer not in known.find(host, port):
        known.store(host, port, [peer])


async def _connect_own(host: str, port: int, mark: int | None, known: AddressMemory | None) -> socket.socket:
    """Connects to a server of ours: where it was lately, and where its name leads now. Raises OSError."""
    remembered = () if known is None else known.find(host, port)

    async def resolved() -> socket.socket:
        return await _connect_narrow((await _resolve(host, port))[:ADDRESSES_MAX], mark)

    if not remembered:
        return await resolved()
    return await first_success(
        [lambda: _connect_narrow(remembered, mark), resolved],
        delay_s=PATH_RACE_DELAY_S,
        discard=socket.socket.close,
    )


async def _resolve(host: str, port: int) -> list[Any]:
    """Returns the socket addresses of a name, best first. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return _interleave([info[4] for info in found])


async def _connect_by_proxy(
    proxy: upstream_proxy.UpstreamProxy, host: str, port: int, mark: int | None, deadline_s: float
) -> socket.socket:
    """Raises RemoteError or RefusedError with a PROXY_* reason."""
    where = str(proxy)
    try:
        async with asyncio.timeout(deadline_s):
            sock = await _connect_narrow((await _resolve(proxy.host, proxy.port))[:ADDRESSES_MAX], mark)
            try:
                await upstream_proxy.connect_through(sock, proxy, host, port)
            except BaseException:
                sock.close()
                raise
            return sock
    except TimeoutError as exc:
        raise RemoteError(
            Reason.PROXY_UNREACHABLE, f"{where} made no connection to {host}:{port} within {deadline_s:g} s"
        ) from exc
    except OSError as exc:
        raise RemoteError(Reason.PROXY_UNREACHABLE, f"{where}: {exc.strerror or exc}") from exc


async def _connect_narrow(addresses: Sequence[Any], mark: int | None) -> socket.socket:
    """Connects in segments that every path carries; where IPv4 has no route, over the network's NAT64. Raises OSError."""
    try:
        return await connect_first(addresses, mark=mark, segment=SEGMENT_BYTES)
    except OSError as exc:
        if exc.errno not in _NO_ROUTE or any(len(address) == 4 for address in addresses):
            raise
        behind = await _behind_nat64(addresses)
        if not behind:
            raise
        return await connect_first(behind, mark=mark, segment=SEGMENT_BYTES)


async def _behind_nat64(addresses: Sequence[Any]) -> list[Any]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(nat64.WELL_KNOWN_NAME, None, family=socket.AF_INET6, type=socket.SOCK_STREAM)
    except OSError:
        return []
    prefixes = nat64.find_prefixes(ipaddress.IPv6Address(info[4][0]) for info in found)
    return [
        (str(nat64.synthesise(ipaddress.IPv4Address(address[0]), prefix)), address[1], 0, 0)
        for prefix in prefixes
        for address in addresses
    ][:ADDRESSES_MAX]


def _interleave(addresses: Sequence[Any]) -> list[Any]:
    """Takes turns between the families, beginning with the resolver's favourite (RFC 8305 section 4)."""
    unique = list(dict.fromkeys(addresses))
    if not unique:
        return []
    favourite = len(unique[0])
    first = [item for item in unique if len(item) == favourite]
    second = [item for item in unique if len(item) != favourite]
    mixed = []
    while first or second:
        if first:
            mixed.append(first.pop(0))
        if second:
            mixed.append(second.pop(0))
    return mixed
