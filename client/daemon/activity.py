"""What happened to this host's connections, as it happens: for ``ostiary events`` and ``ostiary notify``.

The newest are kept in memory, bounded, and are gone with the daemon; the controller's records are the lasting ones. Noting
is a few steps of work at most: it is done for every connection.

Each attempt that was told as held has exactly one end: allowed, denied or cancelled, with the same flow. Who holds it is a
task, and a task that ends without having said what became of its attempt has given it up.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from client.core.classify import Target
from protocol.acl.model import IPAddress, Transport
from protocol.ids import FlowId, ResourceId
from protocol.limits import HOLD_DEADLINE_S
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.open_reports import Traffic

KEPT: Final = 1_000
FOLLOWER_QUEUE: Final = 1_000
WHOLE_HOLD_S: Final = HOLD_DEADLINE_S - 1.5
"""Who was held for so long was refused when the hold was over; a second of it may pass before that is told as held."""

Kind = Literal["held", "allowed", "denied", "cancelled", "cut", "closed", "state"]
"""held: waits for a tunnel, a token or the resource; allowed: open; denied: never opened; cancelled: nobody waits for it any
more; cut: ended by policy or by the loss of the tunnel; closed: ended by one of its ends; state: the client itself is in another
state."""


class Happening(NamedTuple):
    """One line of the list. ``at`` is Unix seconds by the controller's clock."""

    number: int
    at: float
    kind: Kind
    host: str | IPAddress | None = None
    transport: Transport | None = None
    port: int | None = None
    resource: ResourceId | None = None
    resource_name: str = ""
    flow: FlowId | None = None
    connector: str = ""
    reason: Reason | None = None
    state: str = ""
    traffic: Traffic | None = None
    """Bytes up and down of what has ended."""

    def as_json(self) -> dict[str, Any]:
        """As ``events`` shows it; members that say nothing are left out."""
        body: dict[str, Any] = {"number": self.number, "at": round(self.at, 3), "kind": self.kind}
        if self.host is not None and self.transport is not None:
            body |= {"host": str(self.host), "port": self.port, "transport": self.transport.value}
        named = {
            "resource": self.resource,
            "resource_name": self.resource_name,
            "flow": self.flow,
            "connector": self.connector,
            "state": self.state,
        }
        body |= {name: value for name, value in named.items() if value}
        if self.traffic is not None:
            body["bytes_up"], body["bytes_down"] = self.traffic
        if self.reason is not None:
            body |= {"reason": self.reason.code, "sentence": self.reason.sentence, "next": self.reason.next_step}
        return body


class _Hold(NamedTuple):
    """An attempt that is held, and the task that holds it; ``since`` is monotonic."""

    target: Target
    since: float
    task: "asyncio.Task[Any]"
    let_go: "Callable[[asyncio.Task[Any]], None]"


class Activity:
    """The list, and who watches it.

    Args:
        clock: the controller's time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: deque[Happening] = deque(maxlen=KEPT)
        self._followers: set[asyncio.Queue[Happening]] = set()
        self._held: dict[FlowId, _Hold] = {}
        self._number = 0

    def flow(
        self,
        kind: Kind,
        target: Target,
        flow: FlowId | None,
        *,
        connector: str = "",
        reason: Reason | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        """Notes what became of a connection to ``target``; what is held is held by the task that says so."""
        if flow is not None:
            if kind == "held":
                self._hold(target, flow)
            else:
                self._release(flow)
        resource = target.entry.resource
        self._add(
            Happening(
                self._next(),
                self._clock.wall(),
                kind,
                target.host,
                target.transport,
                target.port,
                resource.id,
                resource.name,
                flow,
                connector,
                reason,
                traffic=traffic,
            )
        )

    def ended(
        self,
        kind: Kind,
        host: str | IPAddress,
        transport: Transport,
        port: int | None,
        reason: Reason,
        resource: ResourceId | None,
        resource_name: str,
        traffic: Traffic | None = None,
        flow: FlowId | None = None,
    ) -> None:
        """Notes a refusal, or that a connection was cut; ``resource`` only where the user may know of it (T-10).

        ``flow``: the attempt that was held, when it has ended by this.
        """
        if flow is not None:
            self._release(flow)
        now = self._clock.wall()
        what = Happening(self._next(), now, kind, host, transport, port, resource, resource_name, flow, reason=reason)
        self._add(what._replace(traffic=traffic))

    def held_here(self, host: str | IPAddress, transport: Transport, port: int | None) -> FlowId | None:
        """Returns the attempt at this destination that the current task holds; None when it holds none."""
        task, wanted = _current_task(), (host, transport, port)
        for flow, held in self._held.items():
            target = held.target
            if held.task is task and (target.host, target.transport, target.port) == wanted:
                return flow
        return None

    def state(self, state: str, reason: Reason | None = None) -> None:
        """Notes that the client as a whole is in another state, for example ``sign_in_required``."""
        self._add(Happening(self._next(), self._clock.wall(), "state", state=state, reason=reason))

    def last(self, count: int, kinds: frozenset[str] | None = None) -> list[Happening]:
        """Returns the newest ``count``, oldest first; of these kinds, if any are named."""
        found = [each for each in self._kept if kinds is None or each.kind in kinds]
        return found[-count:] if count > 0 else []

    def forget(self) -> None:
        """Another identity: it is not shown what another user did, nor how that ends."""
        for flow in tuple(self._held):
            self._release(flow)
        self._kept.clear()

    @contextmanager
    def watching(self) -> Iterator["asyncio.Queue[Happening]"]:
        """Gives a queue of what happens from now on; who is too slow loses some, and sees it by the numbers."""
        queue: asyncio.Queue[Happening] = asyncio.Queue(FOLLOWER_QUEUE)
        self._followers.add(queue)
        try:
            yield queue
        finally:
            self._followers.discard(queue)

    def _hold(self, target: Target, flow: FlowId) -> None:
        task = _current_task()
        if task is not None:
            held = _Hold(target, self._clock.monotonic(), task, partial(self._let_go, flow))
            self._held[flow] = held
            task.add_done_callback(held.let_go)

    def _release(self, flow: FlowId) -> None:
        held = self._held.pop(flow, None)
        if held is not None:
            held.task.remove_done_callback(held.let_go)

    def _let_go(self, flow: FlowId, task: "asyncio.Task[Any]") -> None:
        """The task is over, and what it held has no other end."""
        held = self._held[flow]
        if not task.cancelled() and task.exception() is not None:
            reason = Reason.INTERNAL
        elif self._clock.monotonic() - held.since >= WHOLE_HOLD_S:
            reason = Reason.TIMEOUT
        else:
            reason = Reason.CANCELLED
        self.flow("cancelled", held.target, flow, reason=reason)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _add(self, happening: Happening) -> None:
        self._kept.append(happening)
        for queue in self._followers:
            if not queue.full():
                queue.put_nowait(happening)


def _current_task() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no loop runs
