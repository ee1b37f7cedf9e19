"""What this network lets through: names, the controller, the relays, a proxy, a captive portal, the clock (`ostiary netcheck`).

Nobody but the controller and its relays is asked, so that no third party learns where this host is. It works without a
daemon, too: then the command runs it by itself.
"""

import asyncio
import email.utils
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import SplitResult

from client.daemon.captive import PORT, ask, judge
from client.daemon.gateway import Gateway
from client.daemon.network_watch import own_addresses
from client.daemon.session import Session
from client.daemon.verbs import Verb
from protocol.errors import LocalError, OstiaryError, RemoteError
from protocol.limits import CLOCK_WARN_S
from protocol.reasons import Reason
from runtime import upstream_proxy
from runtime.clock import Clock
from runtime.http import check_url, request
from runtime.sockets import connect_socket
from runtime.status_socket import Emit, Peer

STEP_S: Final = 6.0
STEP_MAX_S: Final = STEP_S + 1
"""For what has no deadline of its own, such as names; what has one says better what it waited for."""
RELAYS_MAX: Final = 8
JWKS_PATH: Final = "/.well-known/jwks.json"

Check = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Whom to ask. ``relays`` are FQDN and port; ``context`` is how the controller's certificate is judged."""

    url: str
    context: ssl.SSLContext
    relays: tuple[tuple[str, int], ...] = ()
    pinned: bool = True
    """The controller's CA is known; without that a certificate that no public CA vouches for is no finding."""
    relay_context: ssl.SSLContext | None = None
    """How the relays' certificates are judged; without it, it is enough that their ports connect."""


class NetworkCheck:
    """One run.

    Args:
        around: whom to ask.
        clock: this host's clocks.
        mark: SO_MARK of our sockets.
    """

    def __init__(self, around: Surroundings, clock: Clock, *, mark: int | None) -> None:
        self._around = around
        self._clock = clock
        self._mark = mark
        self._distrusted = False
        self._offset_s: float | None = None

    async def run(self) -> dict[str, Any]:
        """Returns ``{"ok": bool, "checks": [{name, status, ms, sentence, reason, next}]}``. Raises LocalError for the URL."""
        parts = check_url(self._around.url)
        host = parts.hostname or ""
        checks = [await self._step("addresses", self._addresses)]
        checks.append(await self._step("proxy", lambda: self._proxy(parts)))
        if upstream_proxy.proxy_for(host, _port(parts)) is None:
            checks.append(await self._step("dns", lambda: self._resolve(host)))
        checks.append(await self._step("controller", lambda: self._controller(parts)))
        checks.append(await self._step("captive portal", lambda: self._captive(host)))
        clock = await self._step("clock", self._clock_offset)
        checks.append(clock if self._offset_s is not None else {**clock, "status": "skipped"})
        relays = self._around.relays[:RELAYS_MAX]
        checks += await asyncio.gather(
            *(self._step(f"relay {fqdn}", partial(self._relay, fqdn, port)) for fqdn, port in relays)
        )
        if not relays:
            sentence = "none is known yet: the controller names them with the first connection"
            checks.append({**_said("relays", sentence), "status": "skipped"})
        udp = "not needed: Ostiary uses TCP alone, and only towards the controller and the relays"
        checks.append({**_said("udp", udp), "status": "skipped"})
        return {"ok": all(check["status"] != "fail" for check in checks), "checks": checks}

    async def _step(self, name: str, work: Callable[[], Awaitable[str]]) -> Check:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(STEP_MAX_S):
                sentence = await work()
        except TimeoutError:
            return _failed(name, RemoteError(Reason.TIMEOUT, f"nothing within {STEP_MAX_S:g} s"))
        except OstiaryError as error:
            return _failed(name, error)
        return {**_said(name, sentence), "ms": round((self._clock.monotonic() - began) * 1000, 1)}

    async def _addresses(self) -> str:
        v4, v6 = own_addresses(self._mark)
        if v4 is None and v6 is None:
            # No fault by itself: the controller and its relays may stand in this very network.
            return "this host has no route to the internet, neither IPv4 nor IPv6"
        return f"IPv4 {v4 or 'no'}, IPv6 {v6 or 'no'}"

    async def _proxy(self, parts: SplitResult) -> str:
        host = parts.hostname or ""
        proxy = upstream_proxy.proxy_for(host, _port(parts))
        if proxy is None:
            return "none is used: the controller is reached straight"
        sock = await connect_socket(host, _port(parts), mark=self._mark, deadline_s=STEP_S)
        sock.close()
        return f"{proxy} connects to {host}"

    async def _resolve(self, host: str) -> str:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=1)
        except OSError as exc:
            raise RemoteError(Reason.CONTROLLER_UNREACHABLE, f"{host}: {exc.strerror or exc}") from exc
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        return f"{host} is {', '.join(addresses[:4])}"

    async def _controller(self, parts: SplitResult) -> str:
        around = self._around
        try:
            before = self._clock.wall()
            answer = await request(
                "GET", around.url + JWKS_PATH, context=around.context, deadline_s=STEP_S, sock_mark=self._mark
            )
            after = self._clock.wall()
        except RemoteError as error:
            self._distrusted = error.reason is Reason.CERTIFICATE_UNTRUSTED
            if self._distrusted and not around.pinned:
                normal = "normal for a controller with its own CA, which the daemon tells from others by its pin"
                raise LocalError(Reason.CERTIFICATE_UNTRUSTED, f"not judged: {error.detail}; {normal}") from error
            raise
        said = email.utils.parsedate_to_datetime(answer.headers["date"]) if "date" in answer.headers else None
        if said is not None:
            # The header is of whole seconds: its middle, against the middle of the exchange.
            self._offset_s = (before + after) / 2 - (said.timestamp() + 0.5)
        return f"{parts.netloc} answers with status {answer.status}, and its certificate is right"

    async def _clock_offset(self) -> str:
        if self._offset_s is None:
            return "not compared: there was no answer that this host trusts to be the controller's"
        off = self._offset_s
        if abs(off) > CLOCK_WARN_S + 1:
            raise LocalError(Reason.CLOCK_OFFSET, f"{abs(off):.0f} s {'ahead' if off > 0 else 'behind'}")
        return "within a second or two of the controller's"

    async def _captive(self, host: str) -> str:
        """Asks the controller's host by plain HTTP; a page of somebody else's is a portal."""
        if upstream_proxy.proxy_for(host, PORT) is not None:
            return "not looked for: there is a proxy"
        head = await ask(host, PORT, mark=self._mark)
        if head is None:
            return "none: nobody answers plain HTTP in the controller's place"
        page = judge(host, head, distrusted=self._distrusted)
        if page is not None:
            raise LocalError(Reason.CAPTIVE_NETWORK, page)
        return "none"

    async def _relay(self, fqdn: str, port: int) -> str:
        """A port that connects proves little: some networks answer every connection themselves."""
        sock = await connect_socket(fqdn, port, mark=self._mark, deadline_s=STEP_S, what=Reason.RELAY_UNREACHABLE)
        context = self._around.relay_context
        if context is None:
            sock.close()
            return f"port {port} connects"
        try:
            _, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=fqdn)
        except BaseException as exc:
            sock.close()
            if isinstance(exc, ssl.SSLCertVerificationError):
                raise RemoteError(Reason.CERTIFICATE_UNTRUSTED, f"{fqdn}:{port}: {exc.verify_message}") from exc
            if isinstance(exc, OSError | EOFError):
                detail = f"port {port} connects, but nobody speaks TLS there"
                raise RemoteError(Reason.TLS_FAILED, f"{detail}: {exc}") from exc
            raise
        writer.transport.abort()
        return f"port {port} connects, and its certificate is right"


def netcheck_verb(session: Session, gateway: Gateway, clock: Clock, *, mark: int | None) -> Verb:
    """Returns the control socket's verb ``netcheck``: the daemon's own controller, CA, relays, proxy and mark."""

    async def netcheck(_args: Mapping[str, Any], _peer: Peer, _emit: Emit) -> Mapping[str, Any]:
        controller = session.controller
        if controller is None:
            raise LocalError(Reason.CONFIG_INVALID, "no controller is known yet: `ostiary netcheck https://CONTROLLER`")
        tunnels = gateway.tunnels
        relays = () if tunnels is None else tunnels.relays
        around = Surroundings(controller.url, controller.context(), relays, relay_context=controller.relay_context())
        return await NetworkCheck(around, clock, mark=mark).run()

    return netcheck


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _said(name: str, sentence: str) -> Check:
    return {"name": name, "status": "ok", "ms": None, "sentence": sentence, "reason": None, "next": ""}


def _failed(name: str, error: OstiaryError) -> Check:
    if isinstance(error, LocalError) and error.reason is Reason.CERTIFICATE_UNTRUSTED:
        return {**_said(name, error.detail), "status": "skipped", "reason": error.reason.code}
    return {
        **_said(name, str(error)),
        "status": "warn" if error.reason is Reason.CLOCK_OFFSET else "fail",
        "reason": error.reason.code,
        "next": error.reason.next_step,
    }
