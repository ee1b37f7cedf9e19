"""Finds out whether this network keeps us on its own sign-in page (a captive portal), so that ``status`` can name it.

The controller's own host is asked by plain HTTP, and nobody else: no third party learns where this host is. Whoever redirects
that question to another host, or answers 511 (RFC 6585 section 6), is a portal. A page in place of an answer counts only when
the controller's certificate was wrong as well, because the controller's host may have a site of its own on port 80.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import structlog

from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from runtime import upstream_proxy
from runtime.sockets import connect_socket

CHECK_EVERY_S: Final = 5.0
LOOK_EVERY_S: Final = 0.5
PROBE_S: Final = 4.0
PORT: Final = 80
_PATH: Final = "/.well-known/ostiary-captive"
_HEAD_MAX_BYTES: Final = 16 * 1024
_TELLING: Final = frozenset(
    {Reason.CONTROLLER_UNREACHABLE, Reason.CERTIFICATE_UNTRUSTED, Reason.TLS_FAILED, Reason.TIMEOUT, Reason.PEER_SILENT}
)
"""A controller that answered is no matter of portals."""

_log = structlog.get_logger(__name__)


async def ask(host: str, port: int, *, mark: int | None) -> bytes | None:
    """Asks ``host`` by plain HTTP; returns the answer up to the empty line, None when nobody answers."""
    try:
        async with asyncio.timeout(PROBE_S):
            sock = await connect_socket(host, port, mark=mark, deadline_s=PROBE_S)
            reader, writer = await asyncio.open_connection(sock=sock, limit=_HEAD_MAX_BYTES)
            try:
                name = f"[{host}]" if ":" in host else host
                writer.write(f"GET {_PATH} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
                return await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.transport.abort()
    except (TimeoutError, OstiaryError, OSError, EOFError, asyncio.LimitOverrunError):
        return None


def judge(host: str, head: bytes, *, distrusted: bool) -> str | None:
    """Returns whose page an answer leads to, in words; None when it is no portal's.

    Args:
        host: the controller's, whom we asked.
        head: the answer up to the empty line; any bytes.
        distrusted: the controller's certificate was wrong.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if not words[0].startswith("HTTP/1.") or len(words) < 2 or not re.fullmatch("[1-9][0-9]{2}", words[1]):
        return None
    status = int(words[1])
    location = next(
        (value.strip() for name, _, value in (line.partition(":") for line in lines) if _is_location(name)), ""
    )
    with contextlib.suppress(ValueError):
        elsewhere = urlsplit(location).hostname
        if status in (301, 302, 303, 307, 308) and elsewhere and elsewhere != host.lower():
            return f"its page is at {elsewhere[:253]}" if elsewhere.isprintable() else "it redirects elsewhere"
    if status == 511:
        return "it answers 511"
    if status == 200 and distrusted:
        return "it answers in the controller's place"
    return None


def _is_location(name: str) -> bool:
    return name.strip().lower() == "location"


class CaptiveWatch:
    """Looks for a portal while the controller is away.

    Args:
        host: the controller's.
        away: why it is away; None while it is connected.
        mark: SO_MARK of our sockets.
        over: called when a portal that was found is gone.
        port: where the question goes.
    """

    def __init__(
        self,
        host: str,
        away: Callable[[], OstiaryError | None],
        over: Callable[[], None],
        *,
        mark: int | None,
        port: int = PORT,
    ) -> None:
        self.found: LocalError | None = None
        """The portal, for status."""
        self._host = host
        self._port = port
        self._away = away
        self._over = over
        self._mark = mark

    async def run(self) -> None:
        """For ever; asks only while the controller is away."""
        while True:
            error = self._away()
            if error is None or error.reason not in _TELLING or upstream_proxy.proxy_for(self._host, self._port):
                self.found = None
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            head = await ask(self._host, self._port, mark=self._mark)
            distrusted = error.reason is Reason.CERTIFICATE_UNTRUSTED
            page = None if head is None else judge(self._host, head, distrusted=distrusted)
            if page is not None:
                if self.found is None:
                    _log.warning("network.captive", page=page)
                self.found = LocalError(Reason.CAPTIVE_NETWORK, page)
            elif self.found is not None:
                _log.info("network.captive_no_more")
                self.found = None
                self._over()
            await asyncio.sleep(CHECK_EVERY_S)
