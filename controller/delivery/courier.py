"""Carries records to the sinks: at least once each, in order, from a stored cursor. A duty of the leader.

The tables themselves are the spool: nothing is copied, and what a sink has not taken waits there until retention deletes it. A
sink that fails is tried again with backoff and holds nobody else up.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from controller.delivery.messages import LogMessage, of_connection, of_event
from controller.delivery.stats import SinkStats
from controller.delivery.transports import (
    HttpsTransport,
    SyslogTransport,
    Transport,
    parse_https,
    parse_syslog,
)
from controller.identity.sealing import Seal
from controller.store import Store, records, secrets, sinks
from controller.store.sinks import Sink
from protocol.errors import LocalError, OstiaryError
from runtime.backoff import Backoff
from runtime.clock import Clock
from runtime.tasks import TaskScope

BATCH: Final = 500
POLL_S: Final = 1.0
BACKOFF_CAP_S: Final = 60.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes next, and where the cursors are behind it."""

    messages: tuple[LogMessage, ...]
    connections_seq: int
    events_position: int


def secret_name(sink: str) -> str:
    """Under which name the credential of a sink is sealed."""
    return f"sink/{sink}"


class Courier:
    """``run`` serves all sinks until cancelled. ``loopback``: also to this host itself (for collectors beside it)."""

    def __init__(
        self,
        store: Store,
        seal: Seal,
        clock: Clock,
        *,
        hostname: Callable[[], str],
        process: str,
        loopback: bool,
        stats: dict[str, SinkStats] | None = None,
    ) -> None:
        self._store = store
        self._seal = seal
        self._clock = clock
        self._hostname = hostname
        self._process = process
        self._loopback = loopback
        self._stats = {} if stats is None else stats

    async def run(self) -> None:
        """Follows the list of sinks; each has a task of its own."""
        serving: dict[str, asyncio.Task[None]] = {}
        async with TaskScope("courier") as scope:
            while True:
                for sink in await self._known():
                    if sink not in serving or serving[sink].done():
                        serving[sink] = scope.spawn(self._serve(sink), name=f"sink {sink}", on_crash=_crashed)
                await asyncio.sleep(POLL_S)

    async def _known(self) -> list[str]:
        try:
            async with self._store.read() as connection:
                return [sink.id for sink in await sinks.list_all(connection)]
        except LocalError:
            # The database is away: what runs goes on trying by itself.
            return []

    async def _serve(self, name: str) -> None:
        """Delivers to one sink until it is removed."""
        backoff = Backoff(cap_s=BACKOFF_CAP_S)
        transport: Transport | None = None
        sink: Sink | None = None
        try:
            while True:
                try:
                    sink = await self._current(name)
                    if sink is None:
                        return
                    batch = await self._next(sink)
                    if not batch.messages:
                        if (batch.connections_seq, batch.events_position) != (
                            sink.connections_seq,
                            sink.events_position,
                        ):
                            await self._took(sink, batch)
                        await asyncio.sleep(POLL_S)
                        continue
                    if transport is None:
                        transport = await self._transport(sink)
                    await transport.send(batch.messages)
                    await self._took(sink, batch)
                    backoff.reset()
                except OstiaryError as error:
                    await self._failed(sink, name, error)
                    await asyncio.sleep(backoff.next())
        finally:
            if sink is not None:
                self._stats.pop(sink.name, None)
            if transport is not None:
                await transport.close()

    async def _current(self, name: str) -> Sink | None:
        async with self._store.read() as connection:
            return await sinks.get(connection, name)

    async def _next(self, sink: Sink) -> Batch:
        """Events first, then connections."""
        messages: list[LogMessage] = []
        seq, position = sink.connections_seq, sink.events_position
        async with self._store.read() as connection:
            newest, last = await records.newest(connection), await sinks.last_event(connection)
            if newest < seq or last < position:
                # A backup was restored: the numbers begin again below those that the sink has.
                return Batch((), min(newest, seq), min(last, position))
            events = await sinks.events_after(connection, position, limit=BATCH) if sink.takes("events") else []
            changed = await records.changed_after(connection, seq, limit=BATCH) if sink.takes("connections") else []
        messages += [of_event(item) for item in events]
        messages += [of_connection(item) for item in changed]
        return Batch(tuple(messages), changed[-1].seq if changed else seq, events[-1].position if events else position)

    async def _transport(self, sink: Sink) -> Transport:
        async with self._store.read() as connection:
            sealed = await secrets.get(connection, secret_name(sink.id))
        token = "" if sealed is None else self._seal.open(secret_name(sink.id), sealed).decode()
        return make_transport(sink, token, hostname=self._hostname(), process=self._process, loopback=self._loopback)

    async def _took(self, sink: Sink, batch: Batch) -> None:
        async with self._store.transact() as connection:
            await sinks.took(
                connection,
                sink.id,
                connections_seq=batch.connections_seq,
                events_position=batch.events_position,
                count=len(batch.messages),
                now_ms=self._now_ms(),
            )
        stats = self._stats.setdefault(sink.name, SinkStats())
        stats.delivered += len(batch.messages)
        stats.failing = False
        if sink.failing_ms is not None:
            _log.info("sink.recovered", sink=sink.name)

    async def _failed(self, sink: Sink | None, name: str, error: OstiaryError) -> None:
        if sink is not None:
            stats = self._stats.setdefault(sink.name, SinkStats())
            stats.failures += 1
            stats.failing = True
        _log.warning("sink.failed", sink=name, reason=error.reason.code, detail=error.detail)
        try:
            async with self._store.transact() as connection:
                await sinks.failed(connection, name, error.reason, error.detail, self._now_ms())
        except LocalError as away:
            _log.warning("sink.failure_not_noted", sink=name, reason=away.reason.code)

    def _now_ms(self) -> int:
        return round(self._clock.wall() * 1000)


def make_transport(sink: Sink, token: str, *, hostname: str, process: str, loopback: bool) -> Transport:
    """Returns the transport of a sink. Raises RefusedError(INVALID_INPUT)."""
    if sink.kind == "https":
        return HttpsTransport(parse_https(sink.destination), token=token, ca_pem=sink.ca_pem, loopback=loopback)
    host, port = parse_syslog(sink.destination)
    return SyslogTransport(
        host,
        port,
        tls=sink.kind == "syslog_tls",
        ca_pem=sink.ca_pem,
        loopback=loopback,
        hostname=hostname,
        process=process,
    )


def _crashed(error: Exception) -> None:
    _log.error("sink.crashed", exc_info=error)
