"""Where the connector's state meets its decisions: one object that every tunnel asks and every change goes through.

It does no I/O. A stream is opened by ``open`` (or ``permit_name``) and ended by ``close``; each refusal and each ended flow
leaves exactly one connection record (S-13). A change resets flows through the ``abort`` that their opener gave.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from connector.core.admission import Admission, RefusedProofError
from connector.core.config import ConfigKeeper, ServedConfig
from connector.core.cutoffs import Cutoffs
from connector.core.flows import Flow, FlowRegistry, Resets
from connector.core.opening import Circumstances, decide_open, lease_of
from protocol.acl.model import Deny, Entry, IPAddress, Request
from protocol.control import ConnectionRecord, Cutoff
from protocol.errors import RemoteError
from protocol.ids import ConnectorId, DeviceId, FlowId, GrantId, NetworkId, RelayId, ResourceId, Revision
from protocol.pop import ProvenPeer
from protocol.reasons import Reason
from protocol.streams import StreamHeader
from protocol.tokens.claims import Access, Config
from runtime.clock import Clock
from runtime.open_reports import OpenReports, Traffic
from runtime.record_queue import RecordQueue

Abort = Callable[[Reason], None]
"""Ends a flow at once, both ways; must lead to ``Enforcer.close``."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a stream came from."""

    tunnel: int
    relay: RelayId | None
    admission: Admission


@dataclass(slots=True)
class _OpenFlow:
    flow: Flow
    relay: RelayId | None
    abort: Abort
    traffic: Callable[[], Traffic]


class Enforcer:
    """Decides, registers, records. All methods are quick and are called from the event loop."""

    def __init__(self, *, connector: ConnectorId, network: NetworkId, clock: Clock) -> None:
        self.connector = connector
        self.network = network
        self.clock = clock
        self.keeper = ConfigKeeper()
        self.cutoffs = Cutoffs()
        self.flows = FlowRegistry()
        self.records = RecordQueue()
        self.heard_at = clock.monotonic()
        """When the controller was last heard (monotonic); ``heard`` moves it forward."""
        self.outcomes: Counter[Reason] = Counter()
        """How flows and refusals ended, since the start."""
        self.bytes_up = 0
        self.bytes_down = 0
        self.on_record: Callable[[], None] | None = None
        self._open: dict[FlowId, _OpenFlow] = {}
        self._reports = OpenReports(self.records, self._traffic, self._open_record)

    # Streams

    def open(
        self, header: StreamHeader, origin: Origin, abort: Abort, traffic: Callable[[], Traffic] = lambda: (0, 0)
    ) -> Flow:
        """Decides a tcp, udp or icmp stream and registers its flow; ``traffic`` reads its counters.

        Raises:
            RemoteError: the reason to answer; the refusal is recorded.
        """
        entry, request, peer, ends = self._decide(header, origin)
        token = _token_of(origin)
        served = self.keeper.current
        assert served is not None
        flow = Flow(
            flow=FlowId(header.flow),
            tunnel=origin.tunnel,
            device=peer.device,
            user=peer.user,
            resource=entry.resource.id,
            request=request,
            grants=entry.grants,
            revision=peer.revision,
            issued_at=peer.issued_at,
            token_ends=ends,
            expires=entry.expires,
            lease_s=lease_of(entry, served.acl),
            started_wall=self.clock.wall(),
            token=token,
        )
        try:
            self.flows.add(flow)
        except RemoteError as error:
            self.refused(header, origin, error.reason, entry.resource.id, entry.grants)
            raise
        self._open[flow.flow] = _OpenFlow(flow, origin.relay, abort, traffic)
        self._reports.begun(flow.flow, self.clock.monotonic())
        return flow

    def permit_name(self, header: StreamHeader, origin: Origin) -> ServedConfig:
        """Decides a resolve or dns stream. Raises RemoteError; the refusal is recorded."""
        self._decide(header, origin)
        assert self.keeper.current is not None
        return self.keeper.current

    def check_egress(self, address: IPAddress, port: int | None) -> IPAddress:
        """Returns the address to connect to. Raises RemoteError(EGRESS_FORBIDDEN) (T-31 to T-33)."""
        served = self.keeper.current
        if served is None:
            raise RemoteError(Reason.UNAVAILABLE, "no config")
        return served.egress.check(address, port)

    def close(self, flow: FlowId, outcome: Reason, *, bytes_up: int = 0, bytes_down: int = 0) -> None:
        """A flow ended, or never came about: forgets and records it. Calling it again does nothing."""
        self.flows.remove(flow)
        ended = self._open.pop(flow, None)
        if ended is None:
            return
        self.bytes_up += bytes_up
        self.bytes_down += bytes_down
        known = ended.flow
        self._record(
            flow=known.flow,
            peer=(known.device, known.user, known.revision),
            resource=known.resource,
            grants=known.grants,
            relay=ended.relay,
            target=(str(known.request.host), known.request.transport.value, known.request.port),
            address=known.address,
            started_wall=known.started_wall,
            traffic=(bytes_up, bytes_down),
            outcome=outcome,
            token=known.token,
        )

    def refused(
        self,
        header: StreamHeader,
        origin: Origin,
        reason: Reason,
        resource: ResourceId | None = None,
        grants: tuple[GrantId, ...] = (),
    ) -> None:
        """Records a stream that was not served."""
        admitted = origin.admission.admitted
        if admitted is None:
            return
        peer = admitted.peer
        self._record(
            flow=FlowId(header.flow),
            peer=(peer.device, peer.user, peer.revision),
            resource=resource,
            grants=grants,
            relay=origin.relay,
            target=(header.host, header.kind, header.port),
            outcome=reason,
            token=admitted.access.jti,
        )

    def proof_refused(self, error: RefusedProofError, flow: FlowId, relay: RelayId | None) -> None:
        """Records a refused proof as far as its token says whose it was; a forged token says nothing."""
        access: Access | None = error.access
        if access is None:
            self.outcomes[error.reason] += 1
            return
        self._record(
            flow=flow,
            peer=(access.device, access.user, access.revision),
            resource=None,
            grants=access.grants,
            relay=relay,
            target=("", "proof", None),
            outcome=error.reason,
            token=access.jti,
        )

    # Changes

    def accept_config(self, config: Config) -> ServedConfig:
        """Enforces a verified config: cut-offs first, then everything open is decided again.

        Raises RemoteError(SNAPSHOT_ROLLBACK).
        """
        served = self.keeper.accept(config)
        self.network = config.network
        self.cutoffs.replace(config.revision, config.cutoffs)
        self._apply(self.flows.apply_cutoffs(self.cutoffs), "cutoffs")
        self._apply(self.flows.apply_config(served, self.clock.wall()), "config")
        return served

    def revoke(self, revision: Revision, cutoffs: Iterable[Cutoff]) -> None:
        """Enforces cut-offs that came ahead of their config (C23)."""
        self.cutoffs.push(revision, cutoffs)
        self._apply(self.flows.apply_cutoffs(self.cutoffs), "revocation")

    def renewed(self, origin: Origin) -> None:
        """A tunnel's token was renewed: what it no longer covers ends."""
        admitted = origin.admission.admitted
        if admitted is not None and admitted.renewed:
            self._apply(self.flows.apply_renewal(origin.tunnel, admitted, self.clock.wall()), "renewal")

    def apply_verdict(self, asked: Iterable[FlowId], allowed: Iterable[FlowId]) -> None:
        """The controller said which of the flows that we told it of may go on (D4)."""
        self._apply(self.flows.apply_verdict(frozenset(asked), frozenset(allowed)), "verdict")

    def lose_standing(self, reason: Reason) -> None:
        """The connector itself was revoked: nothing goes on."""
        self.keeper.drop()
        for flow in self.flows:
            self._abort(flow.flow, reason)

    def heard(self, now: float) -> None:
        """The controller was heard at ``now`` (monotonic)."""
        self.heard_at = max(self.heard_at, now)

    def tick(self) -> None:
        """Ends what time ends: leases, tokens without successor, grants. Call it twice a second."""
        now = self.clock.monotonic()
        if self._reports.tick(now) and self.on_record is not None:
            self.on_record()
        if not len(self.flows):
            return
        self._apply(self.flows.lease_due(now, self.heard_at), "lease")
        self._apply(self.flows.tokens_due(now), "token")
        self._apply(self.flows.grants_due(self.clock.wall()), "grant")

    # Inside

    def _decide(self, header: StreamHeader, origin: Origin) -> tuple[Entry, Request, ProvenPeer, float]:
        now = self.clock.monotonic()
        try:
            admitted = origin.admission.may_open(now)
        except RemoteError as error:
            self.refused(header, origin, error.reason)
            raise
        facts = Circumstances(admitted, self.keeper.current, self.cutoffs, self.clock.wall(), now - self.heard_at)
        request, decision = decide_open(header, facts)
        if isinstance(decision, Deny):
            entry = admitted.acl.entry(decision.resource) if decision.resource is not None else None
            self.refused(header, origin, decision.reason, decision.resource, entry.grants if entry is not None else ())
            raise RemoteError(decision.reason, header.host)
        assert request is not None
        return decision.entry, request, admitted.peer, admitted.ends

    def _apply(self, resets: Resets, cause: str) -> None:
        if resets:
            _log.info(
                "flows.reset", count=len(resets), cause=cause, reasons=sorted({str(item.reason) for item in resets})
            )
        for reset in resets:
            self._abort(reset.flow, reset.reason)

    def _abort(self, flow: FlowId, reason: Reason) -> None:
        entry = self._open.get(flow)
        if entry is not None:
            entry.abort(reason)
            # Whatever the opener does with it: the flow is over for us, and recorded once.
            self.close(flow, reason)

    def _record(
        self,
        *,
        flow: FlowId,
        peer: tuple[DeviceId, str, Revision],
        resource: ResourceId | None,
        grants: tuple[GrantId, ...],
        relay: RelayId | None,
        target: tuple[str, str, int | None],
        outcome: Reason,
        address: IPAddress | None = None,
        started_wall: float | None = None,
        traffic: tuple[int, int] = (0, 0),
        token: str = "",
    ) -> None:
        self.outcomes[outcome] += 1
        now = self.clock.wall()
        device, user, revision = peer
        host, transport, port = target
        self.records.add(
            ConnectionRecord(
                flow=flow,
                reporter="connector",
                device=device,
                user=user,
                resource=resource,
                network=self.network,
                connector=self.connector,
                relay=relay,
                host=host,
                address="" if address is None else str(address),
                transport=transport,
                port=port,
                started_ms=round((now if started_wall is None else started_wall) * 1000),
                ended_ms=round(now * 1000),
                bytes_up=traffic[0],
                bytes_down=traffic[1],
                outcome=outcome.code,
                revision=revision,
                grants=tuple(grants),
                token=token,
                path=_path(relay),
            )
        )
        if outcome is not Reason.NORMAL:
            _log.debug("flow.ended", flow=flow, device=device, resource=resource, outcome=outcome.code)
        if self.on_record is not None:
            self.on_record()

    def _traffic(self, flow: FlowId) -> Traffic | None:
        entry = self._open.get(flow)
        return None if entry is None else entry.traffic()

    def _open_record(self, name: FlowId) -> ConnectionRecord | None:
        """As of now; None while the resource is still dialled."""
        entry = self._open[name]
        flow, relay = entry.flow, entry.relay
        if not flow.accepted:
            return None
        bytes_up, bytes_down = entry.traffic()
        return ConnectionRecord(
            flow=flow.flow,
            reporter="connector",
            device=flow.device,
            user=flow.user,
            resource=flow.resource,
            network=self.network,
            connector=self.connector,
            relay=relay,
            host=str(flow.request.host),
            address="" if flow.address is None else str(flow.address),
            transport=flow.request.transport.value,
            port=flow.request.port,
            started_ms=round(flow.started_wall * 1000),
            ended_ms=round(self.clock.wall() * 1000),
            bytes_up=bytes_up,
            bytes_down=bytes_down,
            outcome=Reason.NORMAL.code,
            revision=flow.revision,
            grants=tuple(flow.grants),
            token=flow.token,
            path=_path(relay),
        )


def _token_of(origin: Origin) -> str:
    admitted = origin.admission.admitted
    return "" if admitted is None else admitted.access.jti


def _path(relay: RelayId | None) -> str:
    return "relay" if relay is not None else "direct"
