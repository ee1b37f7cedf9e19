"""Connections from the connector to resources: TCP, connected UDP, ICMP echo (C19, C21; F-33).

Only addresses that the egress rules have passed come here. Failures are named after what the kernel said.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar, cast

from protocol.acl.model import IPAddress
from protocol.errors import RemoteError
from protocol.limits import DIAL_DEADLINE_S, PATH_RACE_DELAY_S
from protocol.reasons import Reason
from runtime.race import first_success
from runtime.sockets import reason_of_os_error

P = TypeVar("P", bound=asyncio.Protocol)

ADDRESSES_TRIED_MAX: Final = 8
KEEPALIVE_IDLE_S: Final = 60
KEEPALIVE_INTERVAL_S: Final = 15
KEEPALIVE_PROBES: Final = 4
"""Together: two minutes."""
UDP_BUFFER_BYTES: Final = 1024 * 1024
_UNDER_WAY: Final = frozenset({errno.EINPROGRESS, errno.EALREADY})
_NO_PING: Final = frozenset({errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT})


async def dial_tcp(
    addresses: Sequence[IPAddress],
    port: int,
    make: Callable[[IPAddress], P],
    *,
    deadline_s: float = DIAL_DEADLINE_S,
) -> P:
    """Connects to the first address that accepts; the next one is tried after a short head start (RFC 8305).

    Args:
        addresses: best first; not empty.
        port: TCP port.
        make: makes the protocol of the connection that won.
        deadline_s: for all addresses together.

    Raises:
        RemoteError: CONNECTION_REFUSED, HOST_UNREACHABLE, NETWORK_UNREACHABLE, CONNECT_TIMEOUT, LIMIT_EXCEEDED.
    """
    loop = asyncio.get_running_loop()
    first = addresses[0]
    try:
        async with asyncio.timeout(deadline_s):
            if len(addresses) == 1:
                # The path of nearly every flow: no race, no second protocol.
                _, protocol = await loop.create_connection(lambda: make(first), str(first), port)
                return protocol
            contact = await first_success(
                [partial(_contact, address, port) for address in addresses[:ADDRESSES_TRIED_MAX]],
                delay_s=PATH_RACE_DELAY_S,
                discard=_Contact.drop,
            )
            return contact.hand_over(make(contact.address))
    except TimeoutError as exc:
        raise RemoteError(Reason.CONNECT_TIMEOUT, f"no answer within {deadline_s:g} s") from exc
    except OSError as exc:
        raise RemoteError(reason_of_os_error(exc), exc.strerror or str(exc)) from exc


def connect_at_once(address: IPAddress, port: int) -> tuple[socket.socket, bool]:
    """Begins to connect. Returns the non-blocking socket, and whether the resource has accepted already.

    A host that is near answers before ``connect`` returns: then nothing needs to wait for the loop. Otherwise go on with
    ``connected``.

    Raises:
        RemoteError: as ``dial_tcp``.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as exc:
        raise RemoteError(reason_of_os_error(exc), exc.strerror or str(exc)) from exc
    target = (str(address), port)
    number = sock.connect_ex(target)
    if number == errno.EINPROGRESS:
        # Asked once more the kernel says how it went, or that it is still under way.
        number = sock.connect_ex(target)
    if number in _UNDER_WAY:
        return sock, False
    if number:
        sock.close()
        error = OSError(number, os.strerror(number))
        raise RemoteError(reason_of_os_error(error), str(error.strerror))
    return sock, True


async def connected(sock: socket.socket, address: IPAddress, port: int, *, deadline_s: float = DIAL_DEADLINE_S) -> None:
    """Waits until a socket of ``connect_at_once`` is connected; closes it if it comes to nothing. Raises as ``dial_tcp``."""
    target = (str(address), port)
    try:
        async with asyncio.timeout(deadline_s):
            # The loop's own ``sock_connect`` takes a wake without an error for a connection; libuv wakes without any reason, too.
            while (number := sock.connect_ex(target)) in _UNDER_WAY:
                await _writable(sock)
    except TimeoutError as exc:
        sock.close()
        raise RemoteError(Reason.CONNECT_TIMEOUT, f"no answer within {deadline_s:g} s") from exc
    except asyncio.CancelledError:
        sock.close()
        raise
    if number:
        sock.close()
        error = OSError(number, os.strerror(number))
        raise RemoteError(reason_of_os_error(error), str(error.strerror))


async def _writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    loop.add_writer(sock, wake)
    try:
        await woken
    finally:
        # Every time anew: uvloop stops watching a socket with an error for good.
        loop.remove_writer(sock)


def watch_for_vanished_host(transport: asyncio.BaseTransport) -> None:
    """Turns TCP keepalive on, so that a resource's host that vanished is noticed on a quiet connection too."""
    sock = None if transport.is_closing() else transport.get_extra_info("socket")
    if sock is not None:
        keep_asking(sock)


def keep_asking(sock: socket.socket) -> None:
    """As ``watch_for_vanished_host``, for a socket."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def open_udp(address: IPAddress, port: int) -> socket.socket:
    """Returns a connected, non-blocking UDP socket. Raises RemoteError."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as exc:
        raise RemoteError(reason_of_os_error(exc), exc.strerror or str(exc)) from exc
    try:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, UDP_BUFFER_BYTES)
        sock.connect((str(address), port))
    except OSError as exc:
        sock.close()
        raise RemoteError(reason_of_os_error(exc), exc.strerror or str(exc)) from exc
    return sock


class PingSocket:
    """A connected, non-blocking socket that sends ICMP echo requests to one address and receives its echo replies.

    The kernel's unprivileged kind (``net.ipv4.ping_group_range``) is used where it is permitted, else a raw one
    (CAP_NET_RAW).

    Attributes:
        sock: the socket.
        raw: the socket is a raw one: we write the ICMP header's checksum and identifier, and filter by it.
    """

    def __init__(self, address: IPAddress, identifier: int) -> None:
        """Opens the socket. Raises RemoteError(UNAVAILABLE) when this process may not ping at all."""
        self._v4 = address.version == 4
        self._identifier = identifier
        self.raw = False
        family = socket.AF_INET if self._v4 else socket.AF_INET6
        protocol = socket.IPPROTO_ICMP if self._v4 else socket.IPPROTO_ICMPV6
        try:
            self.sock = _open_ping(family, socket.SOCK_DGRAM, protocol)
        except OSError as exc:
            if exc.errno not in _NO_PING:
                raise RemoteError(reason_of_os_error(exc), exc.strerror or str(exc)) from exc
            self.sock = self._open_raw(family, protocol)
            self.raw = True
        try:
            self.sock.connect((str(address), 0))
        except OSError as exc:
            self.sock.close()
            raise RemoteError(reason_of_os_error(exc), exc.strerror or str(exc)) from exc

    def send(self, sequence: int, payload: bytes) -> None:
        """Sends one echo request. Raises OSError."""
        kind = 8 if self._v4 else 128
        head = bytes((kind, 0, 0, 0)) + self._identifier.to_bytes(2, "big") + sequence.to_bytes(2, "big")
        message = head + payload
        if self.raw and self._v4:
            checksum = internet_checksum(message)
            message = message[:2] + checksum.to_bytes(2, "big") + message[4:]
        # For the unprivileged kind, and for every ICMPv6 socket, the kernel fills the checksum in.
        self.sock.send(message)

    def receive(self) -> tuple[int, bytes] | None:
        """Returns sequence number and payload of a reply; None when what came is not a reply to us. Raises OSError."""
        message = self.sock.recv(65_535)
        if self.raw and self._v4:
            # Raw IPv4 sockets deliver the IP header too.
            message = message[(message[0] & 0x0F) * 4 :] if message else b""
        if len(message) < 8 or message[0] != (0 if self._v4 else 129):
            return None
        if self.raw and int.from_bytes(message[4:6], "big") != self._identifier:
            return None
        return int.from_bytes(message[6:8], "big"), message[8:]

    def close(self) -> None:
        """Closes the socket."""
        self.sock.close()

    def _open_raw(self, family: int, protocol: int) -> socket.socket:
        try:
            return _open_ping(family, socket.SOCK_RAW, protocol)
        except OSError as exc:
            detail = "set net.ipv4.ping_group_range, or give the connector CAP_NET_RAW"
            raise RemoteError(Reason.UNAVAILABLE, f"this process may not ping: {detail}") from exc


def internet_checksum(data: bytes) -> int:
    """Returns the checksum of RFC 1071 over ``data``."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[index : index + 2], "big") for index in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class _Contact(asyncio.Protocol):
    """A connection that may win the race. What the resource says before that is kept, and then it is not read.

    A socket that is connected first and then given to ``create_connection`` would do, too, but with uvloop a transport that
    is closed inside ``connection_made`` leaves such a socket object with a descriptor that is not its own any more.
    """

    def __init__(self, address: IPAddress) -> None:
        self.address = address
        self._transport: asyncio.Transport | None = None
        self._heard: list[bytes] = []
        self._eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # uvloop begins to read right behind this call, so that a pause here would be forgotten.
        asyncio.get_running_loop().call_soon(self._pause)

    def data_received(self, data: bytes) -> None:
        self._heard.append(data)
        self._pause()

    def eof_received(self) -> bool:
        self._eof = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def drop(self) -> None:
        """It came second."""
        if self._transport is not None:
            self._transport.abort()

    def hand_over(self, protocol: P) -> P:
        """It won. Raises RemoteError when the resource is gone again."""
        transport, self._transport = self._transport, None
        if transport is None or transport.is_closing():
            raise RemoteError(Reason.CONNECTION_RESET, "gone as soon as it was there")
        transport.set_protocol(protocol)
        transport.resume_reading()
        protocol.connection_made(transport)
        for data in self._heard:
            protocol.data_received(data)
        if self._eof and not protocol.eof_received():
            transport.close()
        return protocol

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()


async def _contact(address: IPAddress, port: int) -> _Contact:
    contact = _Contact(address)
    await asyncio.get_running_loop().create_connection(lambda: contact, str(address), port)
    return contact


def _open_ping(family: int, kind: int, protocol: int) -> socket.socket:
    return socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
