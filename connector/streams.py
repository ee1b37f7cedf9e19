"""Serving the streams of an admitted tunnel: questions about names here, connections by ``connector.opening`` (C18 to C21)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from connector.dns_forward import (
    QUERY_MAX_BYTES,
    failed,
    may_forward,
    no_data,
    outgoing,
    parse_query_untrusted,
    stripped,
)
from connector.enforcer import Enforcer, Origin
from connector.opening import Opening, refuse
from connector.resolver import Resolved, Resolver
from protocol.acl.names import normalise_name
from protocol.errors import OstiaryError, RemoteError, RemoteProtocolError
from protocol.limits import DNS_NEGATIVE_TTL_S, DNS_TTL_S, RESOLVE_DEADLINE_S, UDP_IDLE_S
from protocol.reasons import Reason
from protocol.streams import StreamAnswer, StreamHeader, encode_answer
from runtime.tasks import TaskScope
from runtime.tunnel import TunnelStream

_log = structlog.get_logger(__name__)


_ACCEPTED: Final = encode_answer(StreamAnswer())


class StreamServer:
    """Serves streams of all tunnels; one object per connector. ``udp_idle_s``: see ``connector.datagrams``."""

    def __init__(
        self, enforcer: Enforcer, resolver: Resolver, scope: TaskScope, *, udp_idle_s: float = UDP_IDLE_S
    ) -> None:
        self._enforcer = enforcer
        self._resolver = resolver
        self._scope = scope
        self._udp_idle_s = udp_idle_s

    def serve(self, stream: TunnelStream, header: StreamHeader, origin: Origin) -> None:
        """Takes an admitted tunnel's stream whose header is complete."""
        work = {"resolve": self._resolve, "dns": self._forward}.get(header.kind)
        if work is not None:
            self._serve_name(stream, header, origin, work)
        else:
            Opening(
                self._enforcer, self._resolver, self._scope, stream, header, origin, udp_idle_s=self._udp_idle_s
            ).start()

    # Names

    def _serve_name(
        self,
        stream: TunnelStream,
        header: StreamHeader,
        origin: Origin,
        work: Callable[[TunnelStream, str], Awaitable[None]],
    ) -> None:
        try:
            self._enforcer.permit_name(header, origin)
        except RemoteError as error:
            refuse(stream, error.reason)
            return
        name = normalise_name(header.host)
        self._scope.spawn(
            self._guard(stream, header, origin, work(stream, name)),
            name=header.kind,
            on_crash=lambda exc: _crashed(stream, exc),
        )

    async def _guard(self, stream: TunnelStream, header: StreamHeader, origin: Origin, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(RESOLVE_DEADLINE_S):
                await work
            return
        except TimeoutError:
            reason = Reason.TIMEOUT
        except OstiaryError as error:
            reason = error.reason
            if reason is Reason.EGRESS_FORBIDDEN:
                self._enforcer.refused(header, origin, reason)
        if header.kind == "dns":
            # It was answered when it began: a second answer would be read as a reply.
            stream.reset(reason)
        else:
            refuse(stream, reason)

    async def _resolve(self, stream: TunnelStream, name: str) -> None:
        """Says whether the name exists and in which families; never an address."""
        found = await self._resolver.resolve(name)
        families, forbidden = self._families(found)
        if forbidden and not families:
            raise RemoteError(Reason.EGRESS_FORBIDDEN, name)
        ttl = min(found.ttl, DNS_TTL_S if families else DNS_NEGATIVE_TTL_S)
        stream.write(encode_answer(StreamAnswer(None, found.rcode, ttl, families)))
        stream.write_eof()

    def _families(self, found: Resolved) -> tuple[tuple[str, ...], bool]:
        families: set[str] = set()
        forbidden = False
        for address in found.addresses:
            try:
                families.add(f"v{self._enforcer.check_egress(address, None).version}")
            except RemoteError:
                forbidden = True
        return tuple(sorted(families)), forbidden

    async def _forward(self, stream: TunnelStream, name: str) -> None:
        """Forwards one query and strips addresses from the reply."""
        stream.write(_ACCEPTED)
        query = parse_query_untrusted(await _read_query(stream), name)
        if may_forward(query):
            try:
                reply = stripped(query, await self._resolver.forward(outgoing(query, name)))
            except RemoteError:
                reply = failed(query)
        else:
            reply = no_data(query)
        stream.write(len(reply).to_bytes(2, "big") + reply)
        stream.write_eof()


async def _read_query(stream: TunnelStream) -> bytes:
    """Returns the one query of a dns stream. Raises RemoteError."""
    reader = _QueryReader(stream)
    return await reader.query


class _QueryReader:
    """Receiver of a dns stream: two bytes of length, then a query."""

    def __init__(self, stream: TunnelStream) -> None:
        self.query: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._buffer = b""
        stream.set_receiver(self)

    def data_received(self, data: bytes) -> None:
        self._stream.consumed(len(data))
        if self.query.done():
            return
        self._buffer += data
        if len(self._buffer) < 2:
            return
        length = int.from_bytes(self._buffer[:2], "big")
        if length > QUERY_MAX_BYTES:
            self.query.set_exception(RemoteProtocolError("DNS query too long"))
        elif len(self._buffer) >= 2 + length:
            self.query.set_result(self._buffer[2 : 2 + length])

    def eof_received(self) -> None:
        if not self.query.done():
            self.query.set_exception(RemoteProtocolError("the stream ended inside its query"))

    def stream_reset(self, reason: Reason) -> None:
        if not self.query.done():
            self.query.set_exception(RemoteError(reason, "the client gave up"))

    def pause_writing(self) -> None:
        """One reply always fits."""

    def resume_writing(self) -> None:
        """One reply always fits."""


def _crashed(stream: TunnelStream, error: Exception) -> None:
    _log.error("stream.crashed", exc_info=error)
    refuse(stream, Reason.INTERNAL)
