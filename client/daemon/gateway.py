"""Where every intercepted or proxied connection comes through: one place that opens, registers, judges again and reports."""

import asyncio
from collections.abc import Callable
from typing import Final

from client.core.classify import Denial, Target
from client.core.reevaluate import reevaluate
from client.daemon.connector_tunnel import ConnectorTunnel
from client.daemon.denials import Denials
from client.daemon.flow_records import FlowRecords
from client.daemon.flows import NO_TRAFFIC, FlowRegistry, OpenFlow, Via
from client.daemon.opening import Opened
from client.daemon.policy import Policy
from client.daemon.tunnels import Tunnels
from client.daemon.wanted import Begun, Wanted
from protocol.acl.model import Transport
from protocol.errors import OstiaryError, RefusedError, RemoteError
from protocol.ids import FlowId
from protocol.limits import HOLD_DEADLINE_S
from protocol.reasons import Reason
from protocol.streams import StreamKind
from runtime.clock import Clock
from runtime.entropy import new_id
from runtime.open_reports import Traffic


class Gateway:
    """``tunnels`` is set while somebody is signed in."""

    def __init__(self, policy: Policy, flows: FlowRegistry, denials: Denials, clock: Clock) -> None:
        self.policy = policy
        self.flows = flows
        self.denials = denials
        self.records = FlowRecords(flows, clock)
        denials.on_record = self.records.refused
        self.tunnels: Tunnels | None = None
        self._clock = clock

    def begin_open(self, target: Target, flow: FlowId) -> Begun | None:
        """Opens a stream without waiting for anything, where that is possible.

        ``accept`` takes it when it is accepted, ``open`` in every other case.
        """
        return None if self.tunnels is None else self.tunnels.begin(_wanted(target), flow)

    async def open(self, target: Target, flow: FlowId, begun: Begun | None = None) -> tuple[Opened, ConnectorTunnel]:
        """Opens a stream for ``target``, or goes on with one that was begun, and judges once more before anything flows.

        Raises:
            OstiaryError: why not; it has been remembered and recorded.
        """
        self.denials.activity.flow("held", target, flow)
        try:
            opened, tunnel = await self._open(_wanted(target), flow, begun)
        except OstiaryError as error:
            denial = Denial(target.host, target.transport, target.port, error.reason, target.resource)
            self.denials.refused(denial, flow=flow)
            raise
        return self._judged(target, flow, opened), tunnel

    def accept(self, target: Target, flow: FlowId, begun: Begun) -> Opened:
        """Takes a stream that was begun and is accepted. Raises OstiaryError as ``open``."""
        return self._judged(target, flow, begun.opening.result())

    def _judged(self, target: Target, flow: FlowId, opened: Opened) -> Opened:
        endings = reevaluate([(flow, target)], self.policy.index, self._clock.wall())
        if endings:
            opened.stream.reset(endings[0].reason)
            self.denials.cut(target.host, target.transport, target.port, endings[0].reason, target.resource)
            raise RefusedError(endings[0].reason, "the policy changed meanwhile")
        return opened

    async def ask(self, wanted: Wanted) -> Opened:
        """Opens a stream for a question about a name. Raises OstiaryError."""
        opened, _ = await self._open(wanted, FlowId(new_id("flow")))
        return opened

    def begin(
        self,
        flow: FlowId,
        target: Target,
        tunnel: ConnectorTunnel,
        abort: Callable[[Reason], None],
        traffic: Callable[[], Traffic] = NO_TRAFFIC,
    ) -> None:
        """A flow is open from here on; ``traffic`` reads the counters of what moves its bytes."""
        started = self._clock.wall()
        self.flows.add(OpenFlow(flow, target, _via(tunnel), abort, started=started, traffic=traffic))
        self.denials.activity.flow("allowed", target, flow, connector=tunnel.path.connector)

    def end(self, flow: FlowId, target: Target, reason: Reason) -> None:
        """A flow has ended; one that policy or tunnel ended is shown to the user."""
        ended = self.flows.remove(flow, reason)
        traffic = None if ended is None else ended.traffic()
        if reason.number in _TOLD and ended is None:
            return  # the policy has ended it, and tells so
        if reason.number in _TOLD:
            self.denials.cut(target.host, target.transport, target.port, reason, target.resource, traffic)
        else:
            self.denials.activity.flow("closed", target, flow, reason=reason, traffic=traffic)

    async def _open(self, wanted: Wanted, flow: FlowId, begun: Begun | None = None) -> tuple[Opened, ConnectorTunnel]:
        tunnels = self.tunnels
        if tunnels is None:
            raise RefusedError(self.policy.classifier.blocked or Reason.SIGN_IN_REQUIRED, "no session")
        try:
            async with asyncio.timeout(HOLD_DEADLINE_S - 1):
                return await tunnels.open(wanted, flow, begun)
        except TimeoutError as exc:
            raise RemoteError(Reason.TIMEOUT, "nobody accepted in time") from exc


def _via(tunnel: ConnectorTunnel) -> Via:
    path, standing = tunnel.path, tunnel.standing
    if standing is None:
        return Via(path.connector, path.relay)
    return Via(path.connector, path.relay, standing.access.jti, standing.access.revision)


def _wanted(target: Target) -> Wanted:
    return Wanted(_KINDS[target.transport], target.host, target.port, target.entry)


_TOLD: Final = frozenset({*range(20, 70), Reason.TUNNEL_LOST.number, Reason.PEER_SILENT.number})
"""Policy, tokens and proofs, and what happened to the tunnel. A resource's own reset is the application's business."""


_KINDS: Final[dict[Transport, StreamKind]] = {Transport.TCP: "tcp", Transport.UDP: "udp", Transport.ICMP: "icmp"}
