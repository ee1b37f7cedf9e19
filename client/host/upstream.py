"""The host's own nameservers, for every question that is not ours: bytes in, bytes out, nothing interpreted (C9).

Each question has a socket of its own with a random source port, connected, so that the kernel takes answers from that
server only; an answer has to repeat id and question (RFC 5452). Sockets carry our mark and so never enter our own device.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Final

from client.host import SOCKET_MARK
from protocol.acl.names import is_address, is_canonical_name
from protocol.errors import RemoteError
from protocol.reasons import Reason

SERVERS_MAX: Final = 3
"""What the C library uses, too (MAXNS)."""
SEARCHES_MAX: Final = 32
"""More than any host was seen with; the C library took 6 until 2.26, and any number since."""
_TRY_S: Final = 2.0
"""One server's time before the next one is asked; the C library waits 5 s."""
_REPLY_MAX: Final = 65_535


def parse_nameservers(text: bytes) -> tuple[str, ...]:
    """Returns the addresses of ``nameserver`` lines, at most SERVERS_MAX; lines that hold none are left out."""
    found = []
    for line in text.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and is_address(words[1]):
            found.append(words[1])
    return tuple(dict.fromkeys(found))[:SERVERS_MAX]


def parse_searches(text: bytes) -> tuple[str, ...] | None:
    """Returns the domains that the C library puts behind names; None when no line says any, and it takes the host's own.

    Of several lines it reads the last one, and other libraries others: all are returned, at most SEARCHES_MAX.
    """
    found: list[str] = []
    said = False
    for line in text.decode("utf-8", "replace").splitlines():
        words = line.split()
        if words and words[0] in ("search", "domain"):
            said = True
            found += words[1:]
    return search_domains(found) if said else None


def search_domains(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns what of ``texts`` are domains, in canonical form and each once; the root is none."""
    found = (text.lower().rstrip(".") for text in texts)
    return tuple(dict.fromkeys(name for name in found if is_canonical_name(name)))[:SEARCHES_MAX]


def host_domain(hostname: str) -> tuple[str, ...]:
    """Returns the search domain of a host whose resolv.conf names none: what follows the first dot of its name."""
    return search_domains([hostname.partition(".")[2]])


async def forward_query(
    query: bytes, servers: Sequence[str], *, tcp: bool, deadline_s: float = 5.0, port: int = 53, mark: int = SOCKET_MARK
) -> bytes:
    """Asks one server after the other and returns the first answer.

    Raises:
        RemoteError: RESOLVER_FAILED when none has answered within the deadline.
    """
    try:
        async with asyncio.timeout(deadline_s):
            for server in servers:
                try:
                    async with asyncio.timeout(_TRY_S):
                        ask = _ask_tcp if tcp else _ask_udp
                        return await ask(query, server, port, mark)
                except (OSError, TimeoutError, EOFError):
                    continue
    except TimeoutError:
        pass
    raise RemoteError(Reason.RESOLVER_FAILED, f"none of {list(servers)} answered")


async def _ask_udp(query: bytes, server: str, port: int, mark: int) -> bytes:
    loop = asyncio.get_running_loop()
    with _socket(server, socket.SOCK_DGRAM, mark) as sock:
        sock.connect(_socket_address(server, port))
        await loop.sock_sendall(sock, query)
        while True:
            reply = await loop.sock_recv(sock, _REPLY_MAX)
            if _answers(query, reply):
                return reply


async def _ask_tcp(query: bytes, server: str, port: int, mark: int) -> bytes:
    loop = asyncio.get_running_loop()
    with _socket(server, socket.SOCK_STREAM, mark) as sock:
        await loop.sock_connect(sock, _socket_address(server, port))
        await loop.sock_sendall(sock, len(query).to_bytes(2, "big") + query)
        length = int.from_bytes(await _read_exactly(sock, 2), "big")
        reply = await _read_exactly(sock, length)
        if not _answers(query, reply):
            raise EOFError("not an answer to this question")
        return reply


async def _read_exactly(sock: socket.socket, length: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < length:
        piece = await loop.sock_recv(sock, length - len(data))
        if not piece:
            raise EOFError("closed in the middle of an answer")
        data += piece
    return data


def _socket(server: str, kind: socket.SocketKind, mark: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if mark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    except OSError:
        sock.close()
        raise
    return sock


def _socket_address(server: str, port: int) -> Any:
    """Returns the address as sockets take it; never asks a resolver, and knows zones (``fe80::1%eth0``)."""
    return socket.getaddrinfo(server, port, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)[0][4]


def _answers(query: bytes, reply: bytes) -> bool:
    """Same id, a response, and the same question byte for byte (it ends where the query's does or before)."""
    if len(reply) < 12 or reply[:2] != query[:2] or not reply[2] & 0x80:
        return False
    end = _question_end(query)
    return end is None or reply[4:6] == bytes(2) or reply[12:end] == query[12:end]


def _question_end(query: bytes) -> int | None:
    position = 12
    while position < len(query):
        length = query[position]
        if length == 0:
            return position + 5
        if length & 0xC0:
            return None
        position += 1 + length
    return None
