"""The NAT table of the kernel-TCP trick: which port of N stands for which connection of an application.

A flow's life is that of the accepted socket: it is open until the shell says that the socket is closed and then lingers
for LINGER_S, so that the last FINs and ACKs still find their way. There is no idle timer: a quiet SSH session lives for
ever. Only a flow whose handshake never ends is dropped after HALF_OPEN_S.

Ports come from a first-in first-out free list, so that one is used again as late as possible; when the list is empty, the
flow that lingers longest gives up its port.
"""

import ipaddress
from collections import deque
from enum import Enum
from typing import Final, Generic, TypeVar

from client.core.classify import Target
from client.packet.model import endpoints
from client.packet.rewrite import Rewrite, make_rewrite
from protocol.acl.model import IPAddress
from protocol.errors import LocalError
from protocol.limits import FLOWS_MAX, HALF_OPEN_S
from protocol.reasons import Reason

LINGER_S: Final = 60.0
"""Linux keeps TIME_WAIT for this long."""
_FIRST_PORT: Final = 1024


class FlowState(Enum):
    """Life of a flow."""

    HELD = "held"
    """The SYN is kept, unanswered (C10)."""
    HALF_OPEN = "half_open"
    """The SYN went to our listener; the handshake is under way."""
    OPEN = "open"
    """Our listener accepted the socket."""
    LINGERING = "lingering"
    """The socket is closed; late segments still pass."""
    ENDED = "ended"


class Turn:
    """Where the flows of one IP version are turned around: A, N and the listener's port (packed addresses)."""

    __slots__ = ("listen_port", "own", "peer")

    def __init__(self, own: bytes, peer: bytes, listen_port: int) -> None:
        self.own = own
        self.peer = peer
        self.listen_port = listen_port


class Flow:
    """One connection of an application. ``key`` names it as its packets do (``client.packet.model.endpoints``)."""

    __slots__ = ("key", "port", "return_key", "state", "until")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.return_key = b""
        self.port = 0
        """Its port of N; 0 while it has none."""
        self.state = FlowState.HELD
        self.until = 0.0
        """End of the current state, for the states that end by time."""


class TcpFlow(Flow):
    """A connection to a resource. ``application`` and ``destination`` are (address, port) as the application sees them."""

    __slots__ = ("counted", "refused", "target")

    def __init__(self, key: bytes, target: Target) -> None:
        super().__init__(key)
        self.target = target
        self.counted = True
        """The target's synthetic address counts this flow as a user."""
        self.refused = False
        """Refused after its SYN was released: the socket is to be reset as soon as it is accepted."""

    @property
    def application(self) -> tuple[IPAddress, int]:
        """The application's end."""
        half = (len(self.key) - 4) // 2
        return ipaddress.ip_address(self.key[:half]), int.from_bytes(self.key[-4:-2], "big")

    @property
    def destination(self) -> tuple[IPAddress, int]:
        """What the application connected to."""
        half = (len(self.key) - 4) // 2
        return ipaddress.ip_address(self.key[half : 2 * half]), int.from_bytes(self.key[-2:], "big")


AnyFlow = TypeVar("AnyFlow", bound=Flow)


class FlowTable(Generic[AnyFlow]):
    """Flows by key and by port, and ``rewrites``: what turns the packets of both directions around, by their endpoints."""

    def __init__(self, *, flows_max: int = FLOWS_MAX, ports: range = range(_FIRST_PORT, 65536)) -> None:
        self.rewrites: Final[dict[bytes, Rewrite]] = {}
        self._flows_max = flows_max
        self._free = deque(ports)
        self._by_key: dict[bytes, AnyFlow] = {}
        self._by_port: dict[int, AnyFlow] = {}
        self._half_open: deque[tuple[float, AnyFlow]] = deque()
        self._lingering: deque[tuple[float, AnyFlow]] = deque()
        self._lingering_count = 0

    def __len__(self) -> int:
        """Flows that are not over: half-open and open ones."""
        return len(self._by_port) - self._lingering_count

    def find(self, key: bytes) -> AnyFlow | None:
        """Returns the flow with this key, in the direction from the application."""
        return self._by_key.get(key)

    def open(self, flow: AnyFlow, turn: Turn, now: float) -> Rewrite:
        """Gives ``flow`` a port and returns the rewrite for its SYN.

        Raises:
            LocalError: LIMIT_EXCEEDED when FLOWS_MAX are open.
        """
        if len(self) >= self._flows_max or not (self._free or self._evict()):
            raise LocalError(Reason.LIMIT_EXCEEDED, f"{len(self)} open flows")
        port = flow.port = self._free.popleft()
        key = flow.key
        ends = len(turn.own)
        source, destination = key[:ends], key[ends : 2 * ends]
        source_port, destination_port = key[2 * ends : 2 * ends + 2], key[2 * ends + 2 :]
        flow.return_key = endpoints(turn.own, turn.peer, turn.listen_port, port)
        inward = endpoints(turn.peer, turn.own, port, turn.listen_port)
        self.rewrites[key] = rewrite = make_rewrite(key, inward)
        back = destination + source + destination_port + source_port
        self.rewrites[flow.return_key] = make_rewrite(flow.return_key, back)
        self._by_key[key] = flow
        self._by_port[port] = flow
        flow.state = FlowState.HALF_OPEN
        flow.until = now + HALF_OPEN_S
        self._half_open.append((flow.until, flow))
        return rewrite

    def accepted(self, port: int) -> AnyFlow | None:
        """Our listener accepted a socket whose peer is (N, ``port``); returns the flow that it belongs to."""
        flow = self._by_port.get(port)
        if flow is None or flow.state is not FlowState.HALF_OPEN:
            return None
        flow.state = FlowState.OPEN
        return flow

    def closed(self, flow: AnyFlow, now: float) -> None:
        """The accepted socket is closed: the flow lingers. Any other state is left as it is."""
        if flow.state is FlowState.OPEN:
            flow.state = FlowState.LINGERING
            flow.until = now + LINGER_S
            self._lingering.append((flow.until, flow))
            self._lingering_count += 1

    def remove(self, flow: AnyFlow) -> None:
        """Forgets ``flow`` at once; a late segment of it is then answered by a reset."""
        if flow.port == 0 or flow.state is FlowState.ENDED:
            flow.state = FlowState.ENDED
            return
        if flow.state is FlowState.LINGERING:
            self._lingering_count -= 1
        flow.state = FlowState.ENDED
        del self._by_key[flow.key], self._by_port[flow.port]
        del self.rewrites[flow.key], self.rewrites[flow.return_key]
        self._free.append(flow.port)

    def tick(self, now: float) -> list[AnyFlow]:
        """Forgets what is over by time; returns the flows whose handshake never ended."""
        while self._lingering and (self._lingering[0][0] <= now or self._is_stale(self._lingering[0])):
            until, flow = self._lingering.popleft()
            if flow.state is FlowState.LINGERING and flow.until == until:
                self.remove(flow)
        expired = []
        while self._half_open and (self._half_open[0][0] <= now or self._is_stale(self._half_open[0])):
            until, flow = self._half_open.popleft()
            if flow.state is FlowState.HALF_OPEN and flow.until == until:
                self.remove(flow)
                expired.append(flow)
        return expired

    def deadline(self) -> tuple[float, str] | None:
        """When ``tick`` has something to do next."""
        waiting = [
            (queue[0][0], name)
            for queue, name in ((self._half_open, "half_open"), (self._lingering, "linger"))
            if queue
        ]
        return min(waiting, default=None)

    def _is_stale(self, waiting: tuple[float, AnyFlow]) -> bool:
        """The flow has left the state that it was queued for."""
        until, flow = waiting
        return flow.until != until or flow.state not in (FlowState.HALF_OPEN, FlowState.LINGERING)

    def _evict(self) -> bool:
        while self._lingering:
            until, flow = self._lingering.popleft()
            if flow.state is FlowState.LINGERING and flow.until == until:
                self.remove(flow)
                return True
        return False
