"""One attempt to open an agent's WebSocket at one address of the controller (protocol.control; C2, F-7).

TCP, TLS and the upgrade share one deadline, so that a host that vanished, or that takes connections and says nothing,
costs no more than that.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from protocol.control import AGENT_PATH
from protocol.errors import OstiaryError, RefusedError, RemoteError
from protocol.limits import CONTROL_MESSAGE_MAX_BYTES
from protocol.reasons import Reason, reason_from_code
from protocol.rendezvous import REASON_HEADER
from protocol.version import SOFTWARE
from runtime.addresses import AddressMemory
from runtime.http import check_url, refusal
from runtime.sockets import connect_socket, remember

CONNECT_DEADLINE_S: Final = 5.0
"""TCP, TLS and upgrade, together."""
HINT_MAX_S: Final = 60.0
"""A hint of an hour would be an outage made by us."""


@dataclass(frozen=True, slots=True)
class Dialler:
    """Opens WebSockets for one agent.

    Args:
        context: TLS context; None only for a controller on this host without TLS.
        assertion: makes a fresh assertion for each attempt (RFC 7523).
        on_hint: takes the seconds for which a refusing controller asks us to wait.
        sock_mark: SO_MARK of the socket.
        addresses: where the controller's names proved to be lately.
    """

    context: ssl.SSLContext | None
    assertion: Callable[[], str]
    on_hint: Callable[[float], None]
    sock_mark: int | None = None
    addresses: AddressMemory | None = None

    async def dial(self, url: str) -> ClientConnection:
        """Connects to the controller at ``url``.

        Raises:
            RemoteError: CONTROLLER_UNREACHABLE, CERTIFICATE_UNTRUSTED.
            RefusedError: the controller said no, with its reason.
        """
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                return await self._dial(url)
        except TimeoutError as exc:
            detail = f"{check_url(url).hostname}: no answer within {CONNECT_DEADLINE_S:g} s"
            raise RemoteError(Reason.CONTROLLER_UNREACHABLE, detail) from exc

    async def _dial(self, url: str) -> ClientConnection:
        parts = check_url(url)
        host = parts.hostname or ""
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        sock = await connect_socket(
            host, port, mark=self.sock_mark, deadline_s=CONNECT_DEADLINE_S, known=self.addresses
        )
        address = f"{'wss' if tls else 'ws'}://{parts.netloc}{parts.path.rstrip('/')}{AGENT_PATH}"
        try:
            peer = sock.getpeername()
            connection = await self._upgrade(address, sock, host if tls else None)
        except BaseException as exc:
            # On success the transport owns the socket; on failure it may never have taken it.
            sock.close()
            if self.addresses is not None:
                # Somebody else may have that address now, or nobody who answers: also the deadline ends here.
                self.addresses.forget(host)
            if isinstance(exc, InvalidStatus):
                raise self._refused(exc) from exc
            if isinstance(exc, ssl.SSLCertVerificationError):
                raise RemoteError(Reason.CERTIFICATE_UNTRUSTED, f"{host}: {exc.verify_message}") from exc
            if isinstance(exc, OSError | EOFError | InvalidHandshake | InvalidURI):
                text = str(exc) or type(exc).__name__
                raise RemoteError(Reason.CONTROLLER_UNREACHABLE, f"{host}: {text}") from exc
            raise
        remember(self.addresses, host, port, peer)
        return connection

    async def _upgrade(self, url: str, sock: socket.socket, server_hostname: str | None) -> ClientConnection:
        return await connect(
            url,
            sock=sock,
            ssl=self.context if server_hostname is not None else None,
            server_hostname=server_hostname,
            compression=None,
            additional_headers={"Authorization": f"Bearer {self.assertion()}"},
            user_agent_header=f"ostiary/{SOFTWARE}",
            proxy=None,
            open_timeout=CONNECT_DEADLINE_S,
            ping_interval=None,  # our heartbeats say more
            close_timeout=1,
            max_size=CONTROL_MESSAGE_MAX_BYTES,
            process_exception=lambda exc: exc,
        )

    def _refused(self, exc: InvalidStatus) -> OstiaryError:
        response = exc.response
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        error = refusal(response.status_code, headers, None)
        self.on_hint(min(error.retry_after_s, HINT_MAX_S))
        code = headers.get(REASON_HEADER.lower())
        if code is not None:
            return RefusedError(reason_from_code(code), f"HTTP {response.status_code}")
        if response.status_code >= 500 or response.status_code == 429:
            return RemoteError(Reason.CONTROLLER_UNREACHABLE, f"HTTP {response.status_code}")
        return RefusedError(error.reason, error.detail)
