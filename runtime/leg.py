"""Dialling a leg: TCP, TLS 1.3, WebSocket upgrade with the ticket (design C4, C12; protocol.rendezvous).

``dial_leg`` is for clients and connectors (and the controller's push of keys); the relay accepts with
``runtime.leg_accept``. What either gets is a ``Leg``.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from typing import Final, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response
from websockets.uri import WebSocketURI

from protocol.errors import OstiaryError, RefusedError, RemoteError, RemoteProtocolError
from protocol.limits import LEG_DEAD_AFTER_S, LEG_PING_INTERVAL_S, TUNNEL_WRITE_HIGH_WATER
from protocol.reasons import Reason, reason_from_code
from protocol.rendezvous import REASON_HEADER
from runtime.leg_frames import Piece
from runtime.leg_protocol import SHUTDOWN_DEADLINE_S, Leg, LegReceiver
from runtime.sockets import connect_socket

DIAL_DEADLINE_S: Final = 10.0
_RESPONSE_MAX_BYTES: Final = 16 * 1024

__all__ = ["DIAL_DEADLINE_S", "Leg", "LegReceiver", "Piece", "dial_leg"]


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
        address: Connect to this address in place of resolving ``host``.
        high_water: Bytes in the transport above which ``Leg.paused`` is true.
        ping_interval_s: See protocol.limits.
        dead_after_s: See protocol.limits.
        on_closed: Called when the socket is gone, whoever closed it.

    Raises:
        RefusedError: The relay refused with a reason.
        RemoteError: RELAY_UNREACHABLE, CERTIFICATE_UNTRUSTED, TLS_FAILED, TIMEOUT.
        RemoteProtocolError: The answer is not a WebSocket upgrade.
    """

    def make_leg() -> Leg:
        return Leg(
            dialled=True,
            high_water=high_water,
            ping_interval_s=ping_interval_s,
            dead_after_s=dead_after_s,
            on_closed=on_closed,
        )

    upgrade = _Upgrade(host, port, path, ticket, make_leg)
    try:
        async with asyncio.timeout(deadline):
            await _connect(upgrade, address or host, context, local_mark, deadline)
            return await upgrade.wait()
    except ssl.SSLCertVerificationError as exc:
        raise RemoteError(Reason.CERTIFICATE_UNTRUSTED, f"{host}:{port}: {exc.verify_message}") from exc
    except ssl.SSLError as exc:
        raise RemoteError(Reason.TLS_FAILED, f"{host}:{port}: {exc.reason}") from exc
    except TimeoutError as exc:
        raise RemoteError(Reason.TIMEOUT, f"relay {host}:{port} did not answer within {deadline:g} s") from exc
    except OSError as exc:
        raise RemoteError(Reason.RELAY_UNREACHABLE, f"{host}:{port}: {exc.strerror or exc}") from exc
    finally:
        upgrade.give_up()


async def _connect(
    upgrade: "_Upgrade", target: str, context: ssl.SSLContext, local_mark: int | None, deadline: float
) -> None:
    sock = await connect_socket(
        target, upgrade.port, mark=local_mark, deadline_s=deadline, what=Reason.RELAY_UNREACHABLE
    )
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: upgrade,
            sock=sock,
            ssl=context,
            server_hostname=upgrade.host,
            ssl_handshake_timeout=deadline,
            ssl_shutdown_timeout=SHUTDOWN_DEADLINE_S,
        )
    except BaseException:
        sock.close()
        raise


class _Upgrade(asyncio.Protocol):
    """Sends the upgrade request, reads the answer's head and hands the transport to the leg."""

    def __init__(self, host: str, port: int, path: str, ticket: str, make_leg: Callable[[], Leg]) -> None:
        self.host = host
        self.port = port
        uri = WebSocketURI(secure=True, host=host, port=port, path=path, query="")
        self._websocket = ClientProtocol(uri, extensions=None, max_size=None)
        self._ticket = ticket
        self._make_leg = make_leg
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._leg: Leg | None = None
        self._handed_out = False
        self._error: OstiaryError | None = None
        self._done = asyncio.Event()

    async def wait(self) -> Leg:
        """Returns the leg, or raises why there is none."""
        await self._done.wait()
        if self._leg is None:
            raise self._error or RemoteError(Reason.RELAY_UNREACHABLE, "the relay closed the connection")
        self._handed_out = True
        return self._leg

    def give_up(self) -> None:
        """Ends a connection that nobody will use."""
        if self._handed_out:
            return
        if self._leg is not None:
            self._leg.abort()
        elif self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        request = self._websocket.connect()
        request.headers["Authorization"] = f"Bearer {self._ticket}"
        self._websocket.send_request(request)
        self._transport.write(b"".join(self._websocket.data_to_send()))

    def data_received(self, data: bytes) -> None:
        if self._done.is_set():
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end >= 0 and self._head.startswith(b"HTTP/1.1 101 "):
            self._websocket.receive_data(bytes(self._head[: end + 4]))
            rest = bytes(self._head[end + 4 :])
            if self._websocket.handshake_exc is None:
                self._succeed(rest)
                return
            self._fail(RemoteProtocolError(str(self._websocket.handshake_exc)))
        elif len(self._head) > _RESPONSE_MAX_BYTES:
            self._fail(RemoteProtocolError("the relay's answer is too long"))
        elif end >= 0 and self._is_complete(end):
            self._refused()

    def eof_received(self) -> bool:
        self._refused()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._done.set()

    def _is_complete(self, end: int) -> bool:
        for line in bytes(self._head[:end]).split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and re.fullmatch(rb"[0-9]{1,18}", value.strip()):
                return len(self._head) - end - 4 >= int(value)
        return False

    def _refused(self) -> None:
        if self._done.is_set():
            return
        self._websocket.receive_data(bytes(self._head))
        self._websocket.receive_eof()
        error = self._websocket.handshake_exc
        if isinstance(error, InvalidStatus):
            self._fail(_refusal(error.response))
        else:
            self._fail(RemoteProtocolError("the relay's answer is not HTTP"))

    def _succeed(self, rest: bytes) -> None:
        assert self._transport is not None
        leg = self._make_leg()
        self._transport.set_protocol(leg)
        leg.connection_made(self._transport)
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
    code = response.headers.get(REASON_HEADER)
    reason = reason_from_code(code) if code else Reason.UNAVAILABLE
    return RefusedError(reason, f"the relay answered {response.status_code}")
