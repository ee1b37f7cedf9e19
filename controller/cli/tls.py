"""The controller's own TLS: a certificate by the internal CA or from files, replaced under a running server (C12, S-5).

A server's context cannot be exchanged, but its SNI callback runs in every handshake, also without a server name, and may
hand over another context. So a renewal is one assignment, and open connections do not notice.
"""

import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from controller.identity.ca import CertificateAuthority, needs_renewal, utc
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import read_limited
from runtime.trust import server_context

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
"""Always in the internal certificate: `health` asks over the loopback."""
CHECK_INTERVAL_S: Final = 3600.0


class ServerTls:
    """Holds the context that the server was given, and the one that handshakes use."""

    def __init__(self, make: Callable[[], tuple[ssl.SSLContext, datetime | None]]) -> None:
        self._make = make
        self._current, self._not_after = make()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.num_tickets = 0
        self.context.sni_callback = self._use_current

    def renew_if_due(self, now: float) -> bool:
        """Replaces a certificate that ends soon; files are read again every time. Tells whether it did."""
        if self._not_after is not None and not needs_renewal(self._not_after, utc(now)):
            return False
        self._current, self._not_after = self._make()
        return True

    def _use_current(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current


def internal(ca: CertificateAuthority, names: tuple[str, ...], now: Callable[[], float]) -> ServerTls:
    """TLS by the internal CA for ``names`` and the loopback."""

    def make() -> tuple[ssl.SSLContext, datetime | None]:
        leaf = ca.issue(tuple(dict.fromkeys((*names, *LOOPBACK_NAMES))), now=utc(now()))
        return server_context(leaf.chain, leaf.key), leaf.not_after

    return ServerTls(make)


def from_files(certificate: Path, key: Path) -> ServerTls:
    """TLS by files that somebody else renews."""

    def make() -> tuple[ssl.SSLContext, datetime | None]:
        try:
            return server_context(read_limited(certificate), read_limited(key)), None
        except LocalError as exc:
            raise LocalError(Reason.CONFIG_INVALID, f"tls_certificate and tls_key: {exc.detail}") from exc

    return ServerTls(make)
