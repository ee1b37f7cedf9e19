"""How records leave: HTTPS with JSON lines, syslog over TLS or TCP. Every wait has a deadline, every address is judged (SSRF).

A destination is an address that an administrator typed and this server dials. So loopback, link-local and metadata addresses
are refused at every connection, after resolving, whatever the name said when it was typed; redirects are not followed; what the
other side answers is never shown, only its status.
"""

import array
import asyncio
import contextlib
import fcntl
import re
import socket
import ssl
import termios
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from controller.delivery.messages import LogMessage, syslog_frame
from protocol.acl.model import IPAddress
from protocol.acl.names import unmapped
from protocol.address_kinds import faces_of, forbidden_kind
from protocol.errors import LocalError, RefusedError, RemoteError
from protocol.reasons import Reason
from runtime.http import request
from runtime.sockets import connect_socket
from runtime.trust import client_context

DEADLINE_S: Final = 10.0
"""For one batch."""
SYSLOG_TLS_PORT: Final = 6514
"""RFC 5425."""
ANSWER_MAX_BYTES: Final = 64 * 1024
LINGER_S: Final = 0.2
"""How long a syslog connection must outlive a batch before the batch counts as taken."""
_SETTLE_S: Final = 0.02
_TCP_ESTABLISHED: Final = 1


def parse_https(url: str) -> str:
    """Returns the URL of an HTTPS destination. Raises RefusedError(INVALID_INPUT): secrets do not belong into URLs."""
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or 1 <= parts.port <= 65535
    except ValueError:
        raise RefusedError(Reason.INVALID_INPUT, "destination: it is not a URL") from None
    if parts.scheme != "https" or not parts.hostname or not port_is_fine:
        raise RefusedError(Reason.INVALID_INPUT, "destination: it is of the form https://HOST[:PORT]/PATH")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise RefusedError(
            Reason.INVALID_INPUT, "destination: no user, password, query or fragment; give a secret as `token`"
        )
    if not url.isascii() or not url.isprintable() or " " in url:
        raise RefusedError(Reason.INVALID_INPUT, "destination: only ASCII without spaces")
    return url


def parse_syslog(destination: str) -> tuple[str, int]:
    """Returns host and port of a syslog destination. Raises RefusedError(INVALID_INPUT)."""
    host, colon, port = destination.rpartition(":")
    if not colon or destination.endswith("]"):
        host, port = destination, str(SYSLOG_TLS_PORT)
    host = host.removeprefix("[").removesuffix("]")
    good = host and host.isascii() and host.isprintable() and not set(host) & set(" /@\\[]")
    if not good or not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise RefusedError(Reason.INVALID_INPUT, "destination: it is of the form HOST[:PORT]")
    return host, int(port)


class Transport(ABC):
    """Sends batches to one destination. ``send`` returns when the destination has taken all of it."""

    def __init__(self, *, loopback: bool) -> None:
        self._loopback = loopback

    @abstractmethod
    async def send(self, batch: Sequence[LogMessage]) -> None:
        """Delivers. Raises RemoteError or RefusedError with the reason."""

    async def close(self) -> None:  # noqa: B027 -- not every transport keeps something open.
        """Lets go of what is open."""

    def _admit(self, address: IPAddress) -> None:
        for face in faces_of(unmapped(address)):
            kind = forbidden_kind(face)
            if kind is not None and not (self._loopback and kind == "loopback"):
                raise RefusedError(Reason.DESTINATION_FORBIDDEN, f"its address is {kind}")


class HttpsTransport(Transport):
    """POSTs JSON lines. Taken means an answer of the 200s."""

    def __init__(self, url: str, *, token: str, ca_pem: str, loopback: bool) -> None:
        super().__init__(loopback=loopback)
        self._url = url
        self._token = token
        self._context = _context(ca_pem)

    async def send(self, batch: Sequence[LogMessage]) -> None:
        """One request for the batch."""
        body = "".join(message.line + "\n" for message in batch).encode()
        headers = {"Content-Type": "application/x-ndjson"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        answer = await request(
            "POST",
            self._url,
            context=self._context,
            body=body,
            headers=headers,
            deadline_s=DEADLINE_S,
            max_bytes=ANSWER_MAX_BYTES,
            admit=self._admit,
        )
        if not 200 <= answer.status < 300:
            raise RemoteError(Reason.UNAVAILABLE, f"it answered {answer.status}")


class SyslogTransport(Transport):
    """Keeps one connection. Syslog has no answer: taken means that the other host's TCP acknowledged every byte and that the
    connection was still open LINGER_S later. What a receiver loses after that, nobody can know (RFC 5424 section 8.5)."""

    def __init__(
        self, host: str, port: int, *, tls: bool, ca_pem: str, loopback: bool, hostname: str, process: str
    ) -> None:
        super().__init__(loopback=loopback)
        self._host = host
        self._port = port
        self._context = _context(ca_pem) if tls else None
        self._hostname = hostname
        self._process = process
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None

    async def send(self, batch: Sequence[LogMessage]) -> None:
        """Writes the batch and waits until it has arrived."""
        frames = b"".join(syslog_frame(message, hostname=self._hostname, process=self._process) for message in batch)
        where = f"{self._host}:{self._port}"
        try:
            async with asyncio.timeout(DEADLINE_S):
                writer = self._writer or await self._connect()
                writer.write(frames)
                await writer.drain()
                await self._settle(writer)
        except TimeoutError as exc:
            await self.close()
            raise RemoteError(Reason.TIMEOUT, f"{where} took nothing within {DEADLINE_S:g} s") from exc
        except ssl.SSLCertVerificationError as exc:
            await self.close()
            raise RemoteError(Reason.CERTIFICATE_UNTRUSTED, f"{where}: {exc.verify_message}") from exc
        except (OSError, EOFError) as exc:
            await self.close()
            raise RemoteError(Reason.HOST_UNREACHABLE, f"{where}: {exc}") from exc
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends the connection; the next batch makes a new one."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.transport.abort()

    async def _connect(self) -> asyncio.StreamWriter:
        sock = await connect_socket(
            self._host, self._port, deadline_s=DEADLINE_S, what=Reason.HOST_UNREACHABLE, admit=self._admit
        )
        name = self._host if self._context is not None else None
        try:
            self._reader, self._writer = await asyncio.open_connection(
                sock=sock, ssl=self._context, server_hostname=name
            )
        except BaseException:
            sock.close()
            raise
        return self._writer

    async def _settle(self, writer: asyncio.StreamWriter) -> None:
        """Waits until nothing is unacknowledged. Raises ConnectionResetError when the other side has gone."""
        sock = writer.get_extra_info("socket")
        while writer.transport.get_write_buffer_size() or _unacknowledged(sock):
            self._require_open(writer, sock)
            await asyncio.sleep(_SETTLE_S)
        # A receiver that went away has acknowledged what it will never read: a moment later that shows.
        await asyncio.sleep(LINGER_S)
        self._require_open(writer, sock)

    def _require_open(self, writer: asyncio.StreamWriter, sock: socket.socket) -> None:
        gone = writer.transport.is_closing() or (self._reader is not None and self._reader.at_eof())
        if gone or not _established(sock):
            raise ConnectionResetError("the receiver closed the connection")


def _established(sock: socket.socket) -> bool:
    """Whether TCP still counts the connection as open both ways (the first byte of ``tcp_info`` is its state)."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_ESTABLISHED
    except (OSError, ValueError):
        return False


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes in the kernel that the other side has not acknowledged (SIOCOUTQ, which is TIOCOUTQ)."""
    count = array.array("i", [0])
    with contextlib.suppress(OSError, ValueError):
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, count)
    return count[0]


def _context(ca_pem: str) -> ssl.SSLContext:
    try:
        return client_context(ca_pem.encode() if ca_pem else None)
    except (ssl.SSLError, LocalError) as exc:
        raise RefusedError(Reason.INVALID_INPUT, "ca_pem: it is not a PEM certificate") from exc
