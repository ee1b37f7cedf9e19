"""Tests of destinations that the controller asks for: by the config in force, few at once, each answered in time (T-31 to T-33)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from connector.core.config import ConfigKeeper
from connector.probe import Target, probe
from connector.resolver import Resolver
from protocol.acl.model import Permit, Request, Transport
from protocol.acl.names import parse_host
from protocol.control import Message
from protocol.control_tests import DestinationTested, TestDestination
from protocol.errors import LocalError, OstiaryError, RemoteError
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.tasks import TaskScope

DEADLINE_S: Final = 8.0
"""Shorter than the controller waits."""
AT_ONCE: Final = 4
ADDRESSES_TOLD: Final = 16

_log = structlog.get_logger(__name__)


class DestinationTests:
    """``send`` takes the answers."""

    def __init__(
        self,
        keeper: ConfigKeeper,
        resolver: Resolver,
        clock: Clock,
        scope: TaskScope,
        send: Callable[[Message], object],
    ) -> None:
        self._keeper = keeper
        self._resolver = resolver
        self._clock = clock
        self._scope = scope
        self._send = send
        self._under_way = 0

    def begin(self, order: TestDestination) -> None:
        """Tests, and answers by itself."""
        if self._under_way >= AT_ONCE:
            self._send(DestinationTested(order.test, Reason.LIMIT_EXCEEDED.code))
            return
        self._under_way += 1
        self._scope.spawn(self._answer(order), name="test", on_crash=lambda error: self._crashed(order, error))

    async def _answer(self, order: TestDestination) -> None:
        try:
            self._send(await self._tested(order))
        finally:
            self._under_way -= 1

    async def _tested(self, order: TestDestination) -> DestinationTested:
        steps: dict[str, Mapping[str, Any]] = {}

        async def emit(step: Mapping[str, Any]) -> None:
            steps[str(step["step"])] = step

        reason, found = None, {}
        try:
            async with asyncio.timeout(DEADLINE_S):
                found = await self._probe(order, emit)
        except TimeoutError:
            reason = Reason.CONNECT_TIMEOUT if "resolve" in steps else Reason.RESOLVER_FAILED
        except OstiaryError as error:
            reason = error.reason
        resolved = steps.get("resolve", {})
        return DestinationTested(
            order.test,
            None if reason is None else reason.code,
            tuple(resolved.get("addresses", ()))[:ADDRESSES_TOLD],
            found.get("address", ""),
            _us(resolved.get("ms")),
            _us(found.get("connect_ms")),
        )

    async def _probe(self, order: TestDestination, emit: Callable[[Mapping[str, Any]], Any]) -> dict[str, Any]:
        served, wall = self._keeper.current, self._clock.wall()
        if served is None or served.expired(wall):
            raise RemoteError(Reason.UNAVAILABLE, "no config")
        try:
            target = Target(parse_host(order.host), order.port)
        except LocalError as exc:
            raise RemoteError(Reason.INVALID_INPUT, "no host") from exc
        if not isinstance(served.acl.lookup(Request(target.host, Transport.TCP, target.port), wall), Permit):
            raise RemoteError(Reason.CONNECTOR_NOT_ALLOWED, "no resource of this connector")
        return await probe(target, resolver=self._resolver, served=served, wall=wall, emit=emit)

    def _crashed(self, order: TestDestination, error: Exception) -> None:
        _log.error("destination_test.crashed", exc_info=error)
        self._send(DestinationTested(order.test, Reason.INTERNAL.code))


def _us(ms: float | None) -> int | None:
    return None if ms is None else round(ms * 1000)
