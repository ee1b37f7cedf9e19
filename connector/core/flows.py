"""The open flows, and which of them must end when something changes (C23, C24; D4, D5; T-36, F-8).

Every method that takes a change returns the flows to reset with the reason that their users read; the shell resets them at
once and calls ``remove``. A flow rests on the token by which it was opened, or on the last renewal that still covers it.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TypeVar

from connector.core.admission import Admitted
from connector.core.config import ServedConfig
from connector.core.cutoffs import Cutoffs
from protocol.acl.model import IPAddress, Request
from protocol.control import LiveFlow
from protocol.errors import RemoteError, RemoteProtocolError
from protocol.ids import DeviceId, FlowId, GrantId, ResourceId, Revision
from protocol.limits import LEASE_MIN_S, MUX_STREAMS_MAX
from protocol.reasons import Reason

_K = TypeVar("_K")

FLOWS_MAX = 4 * MUX_STREAMS_MAX
"""Of one connector, over all tunnels."""
FLOWS_PER_DEVICE_MAX = MUX_STREAMS_MAX


@dataclass(slots=True)
class Flow:
    """One open flow.

    ``address`` is what was dialled; None while the dial is under way. ``issued_at`` and ``expires`` (of the grant) are Unix
    seconds, ``token_ends`` is monotonic; they and ``lease_s`` follow renewals and configs, the rest is as it was at the
    opening.
    """

    flow: FlowId
    tunnel: int
    device: DeviceId
    user: str
    resource: ResourceId
    request: Request
    grants: tuple[GrantId, ...]
    revision: Revision
    issued_at: int
    token_ends: float
    expires: int | None
    lease_s: int
    started_wall: float
    address: IPAddress | None = None
    token: str = ""
    """``jti`` of the access token by which it was opened."""
    accepted: bool = False
    """The resource has accepted."""


@dataclass(frozen=True, slots=True)
class Reset:
    """This flow must end now."""

    flow: FlowId
    reason: Reason


Resets = tuple[Reset, ...]


class FlowRegistry:
    """All open flows of the connector, by id, by device and by tunnel."""

    def __init__(self) -> None:
        self._flows: dict[FlowId, Flow] = {}
        self._by_tunnel: dict[int, set[FlowId]] = {}
        self._by_device: dict[DeviceId, set[FlowId]] = {}

    def __len__(self) -> int:
        return len(self._flows)

    def __contains__(self, flow: object) -> bool:
        return flow in self._flows

    def __iter__(self) -> Iterator[Flow]:
        return iter(tuple(self._flows.values()))

    def get(self, flow: FlowId) -> Flow | None:
        """Returns the flow, None when it is gone."""
        return self._flows.get(flow)

    def add(self, flow: Flow) -> None:
        """Takes a new flow. The id is the client's, so a second one of the same id is refused: verdicts name ids.

        Raises:
            RemoteProtocolError: the id is in use.
            RemoteError: LIMIT_EXCEEDED.
        """
        if flow.flow in self._flows:
            raise RemoteProtocolError("the flow id is in use")
        device = self._by_device.get(flow.device, ())
        if len(self._flows) >= FLOWS_MAX or len(device) >= FLOWS_PER_DEVICE_MAX:
            raise RemoteError(Reason.LIMIT_EXCEEDED, "too many flows")
        self._flows[flow.flow] = flow
        self._by_tunnel.setdefault(flow.tunnel, set()).add(flow.flow)
        self._by_device.setdefault(flow.device, set()).add(flow.flow)

    def remove(self, flow: FlowId) -> Flow | None:
        """Forgets a flow that ended."""
        gone = self._flows.pop(flow, None)
        if gone is not None:
            _discard(self._by_tunnel, gone.tunnel, flow)
            _discard(self._by_device, gone.device, flow)
        return gone

    def live(self) -> tuple[LiveFlow, ...]:
        """Returns what LiveFlows says after a reconnect."""
        return tuple(
            LiveFlow(flow.flow, flow.device, flow.resource, flow.request.transport.value, flow.request.port)
            for flow in self._flows.values()
        )

    # Changes

    def apply_cutoffs(self, cutoffs: Cutoffs) -> Resets:
        """Ends what rests on a token from before a revocation."""
        return self._resets(lambda flow: cutoffs.refusal(flow.device, flow.resource, flow.issued_at))

    def apply_config(self, served: ServedConfig, wall: float) -> Resets:
        """Decides every flow again by a new config: destination, port, protocol, address; takes over its leases."""

        def refusal(flow: Flow) -> Reason | None:
            entry = next(
                (entry for entry in served.acl.permitting(flow.request, wall) if entry.resource.id == flow.resource),
                None,
            )
            if entry is None:
                return Reason.RESOURCE_CHANGED
            flow.lease_s = entry.resource.lease_s
            if flow.address is not None:
                try:
                    served.egress.check(flow.address, flow.request.port)
                except RemoteError as exc:
                    return exc.reason
            return None

        return self._resets(refusal)

    def apply_renewal(self, tunnel: int, admitted: Admitted, wall: float) -> Resets:
        """Decides a tunnel's flows again by its renewed token; those that it covers rest on it from now on."""
        resets = []
        for name in tuple(self._by_tunnel.get(tunnel, ())):
            flow = self._flows[name]
            permitting = admitted.acl.permitting(flow.request, wall)
            entry = next((entry for entry in permitting if entry.resource.id == flow.resource), None)
            if entry is None:
                resets.append(Reset(name, Reason.ACCESS_REVOKED))
            else:
                flow.issued_at, flow.token_ends, flow.expires = admitted.peer.issued_at, admitted.ends, entry.expires
        return tuple(resets)

    def apply_verdict(self, asked: Collection[FlowId], allowed: Collection[FlowId]) -> Resets:
        """Ends what the controller does not know any more; flows opened after the question are not concerned."""
        may_go_on = frozenset(allowed)
        return tuple(
            Reset(flow, Reason.ACCESS_REVOKED) for flow in asked if flow not in may_go_on and flow in self._flows
        )

    def lease_due(self, now: float, last_controller_contact: float) -> Resets:
        """Ends flows whose lease is over because the controller has been away for longer (monotonic seconds)."""
        away_s = now - last_controller_contact
        if away_s <= LEASE_MIN_S:
            return ()
        return self._resets(lambda flow: Reason.LEASE_EXPIRED if away_s > flow.lease_s else None)

    def tokens_due(self, now: float) -> Resets:
        """Ends flows whose token ran out without a successor longer ago than their lease: the client, too, needs the
        controller's word from time to time (C24)."""
        return self._resets(lambda flow: Reason.TOKEN_EXPIRED if now > flow.token_ends + flow.lease_s else None)

    def grants_due(self, wall: float) -> Resets:
        """Ends flows whose last grant has run out."""
        return self._resets(
            lambda flow: Reason.GRANT_EXPIRED if flow.expires is not None and wall >= flow.expires else None
        )

    def _resets(self, refusal: Callable[[Flow], Reason | None]) -> Resets:
        found = ((flow.flow, refusal(flow)) for flow in tuple(self._flows.values()))
        return tuple(Reset(flow, reason) for flow, reason in found if reason is not None)


def _discard(index: dict[_K, set[FlowId]], key: _K, flow: FlowId) -> None:
    members = index[key]
    members.discard(flow)
    if not members:
        del index[key]
