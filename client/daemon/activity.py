"""What happened to this host's connections, as it happens: for ``ostiary events`` and ``ostiary notify``.

The newest are kept in memory, bounded, and are gone with the daemon; the controller's records are the lasting ones. Noting
is a few steps of work at most: it is done for every connection.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple

from client.core.classify import Target
from protocol.acl.model import IPAddress, Transport
from protocol.ids import FlowId, ResourceId
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.open_reports import Traffic

KEPT: Final = 1_000
FOLLOWER_QUEUE: Final = 1_000

Kind = Literal["held", "allowed", "denied", "cut", "closed", "state"]
"""held: waits for a tunnel, a token or the resource; allowed: open; denied: never opened; cut: ended by policy or by the loss
of the tunnel; closed: ended by one of its ends; state: the client itself is in another state."""


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


class Activity:
    """The list, and who watches it.

    Args:
        clock: the controller's time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: deque[Happening] = deque(maxlen=KEPT)
        self._followers: set[asyncio.Queue[Happening]] = set()
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
        """Notes what became of a connection to ``target``."""
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
    ) -> None:
        """Notes a refusal, or that a connection was cut; ``resource`` only where the user may know of it (T-10)."""
        now = self._clock.wall()
        what = Happening(self._next(), now, kind, host, transport, port, resource, resource_name, reason=reason)
        self._add(what._replace(traffic=traffic))

    def state(self, state: str, reason: Reason | None = None) -> None:
        """Notes that the client as a whole is in another state, for example ``sign_in_required``."""
        self._add(Happening(self._next(), self._clock.wall(), "state", state=state, reason=reason))

    def last(self, count: int, kinds: frozenset[str] | None = None) -> list[Happening]:
        """Returns the newest ``count``, oldest first; of these kinds, if any are named."""
        found = [each for each in self._kept if kinds is None or each.kind in kinds]
        return found[-count:] if count > 0 else []

    def forget(self) -> None:
        """Another identity: it is not shown what another user did."""
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

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _add(self, happening: Happening) -> None:
        self._kept.append(happening)
        for queue in self._followers:
            if not queue.full():
                queue.put_nowait(happening)
