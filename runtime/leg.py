"""Dialling a leg: TCP, TLS 1.3, WebSocket upgrade with the ticket (design C4, C12; protocol.rendezvous).

``dial_leg`` is for clients and connectors (and the controller's push of keys); the relay accepts with
``runtime.leg_accept``. What either gets is a ``Leg``. A client that does not know yet whether it may, or with which ticket,
takes the two halves: ``open_line`` goes as far as TLS, ``RelayLine.upgrade`` asks.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable, Iterator
from typing import Final, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response
from websockets.uri import WebSocketURI

from protocol.errors import OstiaryError, RefusedError, RemoteError, RemoteProtocolError
from protocol.limits import FIRST_MAX_BYTES, LEG_DEAD_AFTER_S, LEG_PING_INTERVAL_S, TUNNEL_WRITE_HIGH_WATER
from protocol.reasons import Reason, reason_from_code
from protocol.rendezvous import (
    FIRST_HEADER,
    FIRST_TAKEN,
    MAY_END_TLS,
    OUTER_TLS_ENDS,
    OUTER_TLS_HEADER,
    REASON_HEADER,
    encode_first,
)
from runtime.addresses import AddressMemory
from runtime.leg_frames import Piece
from runtime.leg_protocol import Leg
from runtime.leg_roles import LegReceiver
from runtime.leg_tls import LegTransport, start_client
from runtime.sockets import connect_socket, remember

DIAL_DEADLINE_S: Final = 10.0
_RESPONSE_MAX_BYTES: Final = 16 * 1024
_NO_ANSWER: Final = frozenset({Reason.TIMEOUT, Reason.RELAY_UNREACHABLE})
_TICKET_BESIDE_FIRST: Final = 2 * 1024
"""A longer ticket, which none is, and the first bytes might not both fit UPGRADE_HEADER_MAX_BYTES."""

__all__ = ["DIAL_DEADLINE_S", "Leg", "LegReceiver", "Piece", "RelayLine", "dial_leg", "open_line"]


async def dial_leg(
    *,
    host: str,
    port: int,
    path: str,
    ticket: str,
    context: ssl.SSLContext,
    local_mark: int | None = None,
    deadline: float = DIAL_DEADLINE_S,
    address: str | None = None,
    known: AddressMemory | None = None,
    first: bytes = b"",
    high_water: int = TUNNEL_WRITE_HIGH_WATER,
    ping_interval_s: float = LEG_PING_INTERVAL_S,
    dead_after_s: float = LEG_DEAD_AFTER_S,
    on_closed: Callable[[], None] | None = None,
) -> Leg:
    """Returns an upgraded leg.

    Args:
        host: The relay's FQDN; its certificate is verified against it (C12).
        port: The relay's TCP port.
        path: ATTACH_PATH, LEG_PATH, CONNECT_PATH or CONTROL_PATH.
        ticket: Goes into the Authorization header, never into the URL.
        context: From ``runtime.trust.client_context``.
        local_mark: SO_MARK of the socket, so that the client's own routing rule lets it pass.
        deadline: Seconds for resolving, connecting, TLS and upgrade together. On CONNECT_PATH the answer may take
            PAIRING_DEADLINE_S because it comes when the pair is made.
        address: Connect to this address in place of resolving ``host``; then ``known`` counts for nothing.
        known: Where ``host`` proved to be lately. An address that does not prove itself in time is forgotten.
        first: See ``RelayLine.upgrade``.
        high_water: Bytes in the transport above which ``Leg.paused`` is true.
        ping_interval_s: See protocol.limits.
        dead_after_s: See protocol.limits.
        on_closed: Called when the socket is gone, whoever closed it.

    Raises:
        RefusedError: The relay refused with a reason.
        RemoteError: RELAY_UNREACHABLE, CERTIFICATE_UNTRUSTED, TLS_FAILED, TIMEOUT.
        RemoteProtocolError: The answer is not a WebSocket upgrade.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline
    line = await open_line(
        host=host,
        port=port,
        context=context,
        local_mark=local_mark,
        deadline=deadline,
        address=address,
        known=known,
    )
    return await line.upgrade(
        path,
        ticket,
        deadline=max(0.0, until - loop.time()),
        first=first,
        make_leg=lambda: Leg(
            dialled=True,
            high_water=high_water,
            ping_interval_s=ping_interval_s,
            dead_after_s=dead_after_s,
            on_closed=on_closed,
        ),
    )


async def open_line(
    *,
    host: str,
    port: int,
    context: ssl.SSLContext,
    local_mark: int | None = None,
    deadline: float = DIAL_DEADLINE_S,
    address: str | None = None,
    known: AddressMemory | None = None,
) -> "RelayLine":
    """Connects to a relay and verifies its certificate, and asks for nothing yet. The relay waits UPGRADE_DEADLINE_S.

    Args and errors are those of ``dial_leg``. Who gets the line calls ``upgrade`` or ``close``.
    """
    line = RelayLine(host, port, None if address is not None else known)
    try:
        with _named_errors(host, port, deadline):
            async with asyncio.timeout(deadline):
                await _connect(line, address or host, context, local_mark, deadline)
    except BaseException:
        line.close()
        raise
    return line


@contextlib.contextmanager
def _named_errors(host: str, port: int, deadline: float) -> Iterator[None]:
    """Says what went wrong with a relay in our own words."""
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        raise RemoteError(Reason.CERTIFICATE_UNTRUSTED, f"{host}:{port}: {exc.verify_message}") from exc
    except ssl.SSLError as exc:
        raise RemoteError(Reason.TLS_FAILED, f"{host}:{port}: {exc.reason}") from exc
    except TimeoutError as exc:
        raise RemoteError(Reason.TIMEOUT, f"relay {host}:{port} did not answer within {deadline:g} s") from exc
    except OSError as exc:
        raise RemoteError(Reason.RELAY_UNREACHABLE, f"{host}:{port}: {exc.strerror or exc}") from exc


async def _connect(
    line: "RelayLine", target: str, context: ssl.SSLContext, local_mark: int | None, deadline: float
) -> None:
    sock = await connect_socket(
        target, line.port, mark=local_mark, deadline_s=deadline, what=Reason.RELAY_UNREACHABLE, known=line.known
    )
    try:
        peer = sock.getpeername()
        await start_client(sock, lambda: line, context=context, host=line.host, deadline_s=deadline)
    except BaseException:
        # Somebody else may have that address now, or nobody who answers: also a deadline, ours or the caller's, ends here.
        sock.close()
        line.forget()
        raise
    remember(line.known, line.host, line.port, peer)


def _plain_leg() -> Leg:
    return Leg(dialled=True)


class RelayLine(asyncio.Protocol):
    """A connection to a relay whose certificate was verified; made by ``open_line``. ``upgrade`` makes a leg of it, once."""

    def __init__(self, host: str, port: int, known: AddressMemory | None = None) -> None:
        self.host = host
        self.port = port
        self.known = known
        self._websocket: ClientProtocol | None = None
        self._first = b""
        self._asked_for_end = False
        self._make_leg = _plain_leg
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._leg: Leg | None = None
        self._handed_out = False
        self._error: OstiaryError | None = None
        self._done = asyncio.Event()

    async def upgrade(
        self,
        path: str,
        ticket: str,
        *,
        deadline: float,
        first: bytes = b"",
        make_leg: Callable[[], Leg] = _plain_leg,
    ) -> Leg:
        """Asks for a leg and hands it out.

        Args:
            path: As ``dial_leg``.
            ticket: Likewise.
            deadline: Seconds until the answer must be there.
            first: The first bytes of the leg. They travel in the request where there is room for them, and so reach the
                other end without waiting for the relay's answer.
            make_leg: Makes the leg's protocol.

        Raises as ``dial_leg``; the connection is gone then.
        """
        self._make_leg, self._first = make_leg, first
        try:
            with _named_errors(self.host, self.port, deadline):
                async with asyncio.timeout(deadline):
                    self._ask(path, ticket)
                    return await self._answer()
        except RemoteError as error:
            if error.reason in _NO_ANSWER and not isinstance(error, RefusedError):
                self.forget()
            raise
        finally:
            if not self._handed_out:
                self.close()

    @property
    def usable(self) -> bool:
        """Whether it can still be upgraded, as far as is known here."""
        return self._transport is not None and not self._transport.is_closing() and not self._done.is_set()

    def forget(self) -> None:
        """The next line does not begin where this one led."""
        if self.known is not None:
            self.known.forget(self.host)

    def close(self) -> None:
        """Ends a connection that nobody will use."""
        if self._leg is not None:
            self._leg.abort()
        elif self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is up."""
        self._transport = cast(asyncio.Transport, transport)

    def _ask(self, path: str, ticket: str) -> None:
        uri = WebSocketURI(secure=True, host=self.host, port=self.port, path=path, query="")
        websocket = self._websocket = ClientProtocol(uri, extensions=None, max_size=None)
        request = websocket.connect()
        request.headers["Authorization"] = f"Bearer {ticket}"
        if path in MAY_END_TLS and isinstance(self._transport, LegTransport):
            request.headers[OUTER_TLS_HEADER] = self._transport.tls.session_name()
            self._asked_for_end = True
        if 0 < len(self._first) <= FIRST_MAX_BYTES and len(ticket) <= _TICKET_BESIDE_FIRST:
            request.headers[FIRST_HEADER] = encode_first(self._first)
        websocket.send_request(request)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(websocket.data_to_send()))

    async def _answer(self) -> Leg:
        await self._done.wait()
        if self._leg is None:
            raise self._error or RemoteError(Reason.RELAY_UNREACHABLE, "the relay closed the connection")
        self._handed_out = True
        return self._leg

    def data_received(self, data: bytes) -> None:
        """The relay's answer, or what it says unasked."""
        if self._done.is_set():
            return
        if self._websocket is None:
            self._fail(RemoteProtocolError("the relay answered what nobody asked"))
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end >= 0 and self._head.startswith(b"HTTP/1.1 101 "):
            self._websocket.receive_data(bytes(self._head[: end + 4]))
            rest = bytes(self._head[end + 4 :])
            if self._websocket.handshake_exc is None:
                self._succeed(self._websocket, rest)
                return
            self._fail(RemoteProtocolError(str(self._websocket.handshake_exc)))
        elif len(self._head) > _RESPONSE_MAX_BYTES:
            self._fail(RemoteProtocolError("the relay's answer is too long"))
        elif end >= 0 and self._is_complete(end):
            self._refused(self._websocket)

    def eof_received(self) -> bool:
        """The relay hung up."""
        if self._websocket is not None:
            self._refused(self._websocket)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._transport = None
        self._done.set()

    def _is_complete(self, end: int) -> bool:
        for line in bytes(self._head[:end]).split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and re.fullmatch(rb"[0-9]{1,18}", value.strip()):
                return len(self._head) - end - 4 >= int(value)
        return False

    def _refused(self, websocket: ClientProtocol) -> None:
        if self._done.is_set():
            return
        websocket.receive_data(bytes(self._head))
        websocket.receive_eof()
        error = websocket.handshake_exc
        if isinstance(error, InvalidStatus):
            self._fail(_refusal(error.response))
        else:
            self._fail(RemoteProtocolError("the relay's answer is not HTTP"))

    def _succeed(self, websocket: ClientProtocol, rest: bytes) -> None:
        assert self._transport is not None
        leg = self._make_leg()
        self._transport.set_protocol(leg)
        leg.connection_made(self._transport)
        answers = [event for event in websocket.events_received() if isinstance(event, Response)]
        leg.tls_may_end = self._asked_for_end and any(
            OUTER_TLS_ENDS in answer.headers.get_all(OUTER_TLS_HEADER) for answer in answers
        )
        if self._first and not any(FIRST_TAKEN in answer.headers.get_all(FIRST_HEADER) for answer in answers):
            # There was no room in the head, or the relay is an older one.
            leg.write(self._first)
        if rest:
            leg.receive_data(rest)
        self._leg = leg
        self._done.set()

    def _fail(self, error: OstiaryError) -> None:
        self._error = error
        self._done.set()
        if self._transport is not None:
            self._transport.abort()


def _refusal(response: Response) -> RefusedError:
    codes = response.headers.get_all(REASON_HEADER)
    reason = reason_from_code(codes[0]) if codes and codes[0] else Reason.UNAVAILABLE
    return RefusedError(reason, f"the relay answered {response.status_code}")
