"""Accepting legs: the head of one HTTP request, then an upgrade, a refusal or a plain answer (T-26, T-27).

One ``LegAcceptor`` is the protocol of one accepted TLS connection. It decides nothing: a complete and well-formed request
is given to ``on_request``, whose owner later calls ``accept``, ``refuse`` or ``respond``. A request that is too long, too
slow, has a body or is followed by bytes before its answer is refused here, before anybody looks at its ticket. First bytes
in its head (``protocol.rendezvous``) wait with the request and are the first that the leg delivers; with a refusal they go.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

from websockets.http11 import Request
from websockets.server import ServerProtocol

from protocol.errors import RemoteProtocolError
from protocol.limits import (
    LEG_DEAD_AFTER_S,
    LEG_PING_INTERVAL_S,
    RELAY_BUFFER_BYTES,
    UPGRADE_DEADLINE_S,
    UPGRADE_HEADER_MAX_BYTES,
)
from protocol.reasons import Reason
from protocol.rendezvous import (
    FIRST_HEADER,
    FIRST_TAKEN,
    MAY_END_TLS,
    OUTER_TLS_ENDS,
    OUTER_TLS_HEADER,
    REASON_HEADER,
    parse_first_untrusted,
)
from runtime.leg_protocol import Leg
from runtime.leg_socket import tune_socket
from runtime.leg_tls import LegTransport

_BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """What a peer asks for. ``ticket`` is empty without an Authorization header; nothing of it is verified."""

    path: str
    ticket: str
    upgrade: bool
    """False for a plain GET such as a health check."""
    first: bytes = b""
    """What the leg will deliver first, if the request is accepted."""


class LegAcceptor(asyncio.Protocol):
    """Reads one request and waits for its owner's answer.

    Args:
        on_request: Gets the acceptor and the request; answers at once or later.
        on_closed: Called once when the socket is gone, also after it became a leg.
        deadline_at: When the request's head must be complete, in the loop's time; UPGRADE_DEADLINE_S from now if None.
        high_water: For the leg's transport.
        ping_interval_s: For the leg.
        dead_after_s: For the leg.
        tls_may_end: Agree when a peer would end the leg's TLS.
    """

    def __init__(
        self,
        *,
        on_request: Callable[["LegAcceptor", UpgradeRequest], None],
        on_closed: Callable[[], None],
        deadline_at: float | None = None,
        high_water: int = RELAY_BUFFER_BYTES,
        ping_interval_s: float = LEG_PING_INTERVAL_S,
        dead_after_s: float = LEG_DEAD_AFTER_S,
        tls_may_end: bool = False,
    ) -> None:
        self._on_request = on_request
        self._on_closed = on_closed
        self._deadline_at = deadline_at
        self._high_water = high_water
        self._ping_interval_s = ping_interval_s
        self._dead_after_s = dead_after_s
        self._tls_may_end = tls_may_end
        self._websocket = ServerProtocol(extensions=None, max_size=None)
        self._head = bytearray()
        self._request: Request | None = None
        self._first = b""
        self._answered = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def accept(self) -> Leg | None:
        """Answers 101 and returns the leg; None if the peer is gone. Call it once, after ``on_request``."""
        transport, request = self._transport, self._request
        if self._answered or transport is None or transport.is_closing() or request is None:
            return None
        response = self._websocket.accept(request)
        if self._first and response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            response.headers[FIRST_HEADER] = FIRST_TAKEN
        ends = self._tls_may_end and request.path in MAY_END_TLS and self._is_same_session(request)
        if ends:
            response.headers[OUTER_TLS_HEADER] = OUTER_TLS_ENDS
        self._websocket.send_response(response)
        self._finish()
        transport.write(b"".join(self._websocket.data_to_send()))
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            transport.close()
            return None
        leg = Leg(
            dialled=False,
            high_water=self._high_water,
            ping_interval_s=self._ping_interval_s,
            dead_after_s=self._dead_after_s,
            on_closed=self._on_closed,
        )
        leg.tls_may_end = ends
        transport.set_protocol(leg)
        leg.connection_made(transport)
        if self._first:
            leg.deliver_first(self._first)
        return leg

    def refuse(self, status: int, reason: Reason) -> None:
        """Answers with an HTTP error, the reason's code in the header and a problem body (RFC 9457), and closes."""
        body = json.dumps({"type": "about:blank", "status": status, "title": reason.sentence, "code": reason.code})
        self._respond(status, "application/problem+json", body, {REASON_HEADER: reason.code})

    def respond(self, status: int, body: str) -> None:
        """Answers a plain request with text and closes."""
        self._respond(status, "text/plain; charset=utf-8", body, {})

    def abort(self) -> None:
        """Drops the connection without an answer."""
        self._answered = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is up."""
        self._transport = cast(asyncio.Transport, transport)
        tune_socket(transport)
        # Cut, not answered: whoever needs this long does not read the answer either (T-26).
        loop = asyncio.get_running_loop()
        when = loop.time() + UPGRADE_DEADLINE_S if self._deadline_at is None else self._deadline_at
        self._timer = loop.call_at(when, self.abort)

    def data_received(self, data: bytes) -> None:
        """Collects the head."""
        if self._answered:
            return
        if self._request is not None:
            # T-27: nothing may follow the request before its answer.
            self.refuse(HTTPStatus.BAD_REQUEST, Reason.PROTOCOL_ERROR)
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n", 0, UPGRADE_HEADER_MAX_BYTES + 4)
        if end < 0:
            if len(self._head) >= UPGRADE_HEADER_MAX_BYTES:
                self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, Reason.LIMIT_EXCEEDED)
            return
        if len(self._head) > end + 4:
            self.refuse(HTTPStatus.BAD_REQUEST, Reason.PROTOCOL_ERROR)
            return
        self._parse_untrusted(bytes(self._head))

    def eof_received(self) -> bool:
        """The peer left before its answer."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._finish()
        self._transport = None
        self._on_closed()

    # Inside

    def _parse_untrusted(self, head: bytes) -> None:
        self._head.clear()
        # The head is complete, so this parser sees no byte that could belong to anything else; it refuses bodies.
        self._websocket.receive_data(head)
        request = next((event for event in self._websocket.events_received() if isinstance(event, Request)), None)
        if request is None or self._websocket.handshake_exc is not None or request.headers.get_all("Expect"):
            self.refuse(HTTPStatus.BAD_REQUEST, Reason.PROTOCOL_ERROR)
            return
        if request.method != "GET":
            self.refuse(HTTPStatus.METHOD_NOT_ALLOWED, Reason.PROTOCOL_ERROR)
            return
        try:
            self._first = _take_first_untrusted(request)
        except RemoteProtocolError as error:
            self.refuse(HTTPStatus.BAD_REQUEST, error.reason)
            return
        if self._timer is not None:
            self._timer.cancel()
        self._request = request
        credentials = request.headers.get_all("Authorization")
        ticket = ""
        if len(credentials) == 1 and credentials[0].lower().startswith(_BEARER):
            ticket = credentials[0][len(_BEARER) :].strip()
        upgrade = "Upgrade" in request.headers
        self._on_request(self, UpgradeRequest(request.path, ticket, upgrade, self._first))

    def _is_same_session(self, request: Request) -> bool:
        """Whether the peer's TLS ends here, and nobody passes on what is said in another session."""
        asked = request.headers.get_all(OUTER_TLS_HEADER)
        return isinstance(self._transport, LegTransport) and asked == [self._transport.tls.session_name()]

    def _respond(self, status: int, content_type: str, body: str, headers: dict[str, str]) -> None:
        transport = self._transport
        if self._answered or transport is None or transport.is_closing():
            return
        payload = body.encode()
        lines = [
            f"HTTP/1.1 {int(status)} {HTTPStatus(status).phrase}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(payload)}",
            "Connection: close",
            "Cache-Control: no-store",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._finish()
        transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
        transport.close()

    def _finish(self) -> None:
        self._answered = True
        if self._timer is not None:
            self._timer.cancel()


def _take_first_untrusted(request: Request) -> bytes:
    """Takes the first bytes out of a request; ``b""`` without any. Raises RemoteProtocolError."""
    values = request.headers.get_all(FIRST_HEADER)
    if not values:
        return b""
    if len(values) > 1 or "Upgrade" not in request.headers:
        raise RemoteProtocolError("first bytes twice, or of no leg")
    first = parse_first_untrusted(values[0])
    # Once is enough in memory while the request waits for its answer.
    del request.headers[FIRST_HEADER]
    return first
