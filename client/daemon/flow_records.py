"""What this client saw of its flows, for the controller: start, bytes, end and reason, and what was refused; the other side is
the connector's record.

Both records have the flow's id and the id of the access token, so that the controller can hold them against each other. They wait
in a bounded queue until they are stored; what had to be dropped is counted. Reports of many clients are much work for a
controller, so that they wait for each other longer than a connector's, and longer still where the controller asks for rare beats.
"""

import asyncio
import contextlib
from dataclasses import replace
from typing import Final

from client.daemon.control import ControlLink
from client.daemon.flows import FlowRegistry, OpenFlow
from protocol.control import ConnectionRecord
from protocol.ids import DeviceId, FlowId
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.open_reports import OpenReports, Traffic
from runtime.record_queue import RecordQueue
from runtime.record_reporter import Reporter
from runtime.tasks import TaskScope

RECORDS_MAX: Final = 5_000
"""Some 3 MiB."""
PAUSE_S: Final = 5.0
"""Collects records into batches; with very many clients it is the interval of their heartbeats."""
TICK_S: Final = 1.0
FLUSH_S: Final = 1.0
"""The daemon ends, and its last records have so long to leave."""


class FlowRecords:
    """Watches ``flows`` and reports them over whatever link there is.

    Args:
        flows: all open flows of this host.
        clock: the controller's time.
    """

    def __init__(self, flows: FlowRegistry, clock: Clock) -> None:
        self.queue = RecordQueue(RECORDS_MAX)
        self._flows = flows
        self._clock = clock
        self._reports = OpenReports(self.queue, self._traffic, self._open_record)
        self._identity: tuple[DeviceId, str] | None = None
        """Device and user of the flows that are open; they are another's only after all have ended. Of whoever was signed in
        last, while nobody is."""
        self._began = clock.monotonic()
        self._since_ms: int | None = None
        self._stored = asyncio.Event()
        self._reporter: Reporter | None = None
        flows.on_added, flows.on_ended = self._begun, self._ended

    async def report(self, link: ControlLink) -> None:
        """Reports for ever; cancelled with the link that it belongs to."""
        self.adopt(link.identity.device, link.identity.user)
        carrier = link.carrier
        reporter = Reporter(
            self.queue,
            carrier,
            on_progress=self._stored.set,
            pause_s=lambda: max(PAUSE_S, carrier.interval_s),
            since_ms=self._life_began_ms,
        )
        async with TaskScope("flow-records") as scope:
            self._reporter = reporter
            try:
                scope.spawn_supervised(reporter.run, name="send")
                while True:
                    self._reports.tick(self._clock.monotonic())
                    if len(self.queue) or reporter.unsaid:
                        reporter.wake()
                    await asyncio.sleep(TICK_S)
            finally:
                self._reporter = None

    async def flush(self) -> None:
        """Gives what waits a moment to leave; call it when all flows have ended."""
        reporter = self._reporter
        if reporter is None:
            return
        reporter.hurry()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                while len(self.queue) and reporter.connected:
                    self._stored.clear()
                    await self._stored.wait()

    def adopt(self, device: DeviceId, user: str) -> None:
        """What is recorded from now on is theirs. Nothing of one identity is reported under another's name."""
        if (device, user) != self._identity:
            self._identity = device, user
            self.queue.clear()
            self._began, self._since_ms = self._clock.monotonic(), None

    def refused(self, record: ConnectionRecord) -> None:
        """Queues the record of a refusal; device and user are filled in here."""
        if self._identity is not None:
            device, user = self._identity
            self.queue.add(replace(record, device=device, user=user))

    def _life_began_ms(self) -> int:
        """Reckoned once, when the controller's time is known: what was open before is over."""
        if self._since_ms is None:
            ago_s = self._clock.monotonic() - self._began
            self._since_ms = round((self._clock.wall() - ago_s) * 1000)
        return self._since_ms

    # From the registry

    def _begun(self, flow: OpenFlow) -> None:
        self._reports.begun(flow.id, self._clock.monotonic())

    def _ended(self, flow: OpenFlow, reason: Reason) -> None:
        if self._identity is not None:
            self.queue.add(self._record(flow, self._identity, reason))

    def _traffic(self, flow: FlowId) -> Traffic | None:
        found = self._flows.get(flow)
        return None if found is None else found.traffic()

    def _open_record(self, flow: FlowId) -> ConnectionRecord | None:
        found = self._flows.get(flow)
        return None if found is None or self._identity is None else self._record(found, self._identity, Reason.NORMAL)

    def _record(self, flow: OpenFlow, identity: tuple[DeviceId, str], outcome: Reason) -> ConnectionRecord:
        device, user = identity
        target, via = flow.target, flow.via
        bytes_up, bytes_down = flow.traffic()
        return ConnectionRecord(
            flow=flow.id,
            reporter="client",
            device=device,
            user=user,
            resource=target.resource,
            network=target.entry.resource.network,
            connector=via.connector,
            relay=via.relay,
            host=str(target.host),
            address="",
            transport=target.transport.value,
            port=target.port,
            started_ms=round(flow.started * 1000),
            ended_ms=round(self._clock.wall() * 1000),
            bytes_up=bytes_up,
            bytes_down=bytes_down,
            outcome=outcome.code,
            revision=via.revision,
            grants=tuple(target.entry.grants),
            token=via.token,
            path="relay" if via.relay else "direct",
        )
