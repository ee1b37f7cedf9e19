"""The whitelist in force: taken, stored, enforced, confirmed; in this order (C7, C22 to C24; T-8, T-57).

Who else must act on a change (routes, resolver, tunnels) is called by ``on_change`` before the revision is confirmed.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from client.core.classify import Classifier
from client.core.network_names import SUFFIX, NetworkNames
from client.core.reevaluate import Ending, beyond_lease, reevaluate
from client.core.snapshot_store import SnapshotGuard
from client.daemon.denials import Denials
from client.daemon.flows import FlowRegistry, OpenFlow
from client.daemon.identity import IdentityStore
from protocol.acl.match import AclIndex
from protocol.acl.model import Acl, CidrPattern, Entry, IPNetwork, NamePattern
from protocol.errors import OstiaryError
from protocol.ids import NO_REVISION, NetworkId, ResourceId, Revision
from protocol.reasons import Reason
from protocol.tokens.claims import Snapshot
from runtime.controller_clock import ControllerClock

_NOT_IN_FORCE: Final = AclIndex(Acl())

_log = structlog.get_logger(__name__)


class Newest:
    """Where verified snapshots of one link wait for their turn: the latest wins."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Snapshot] = asyncio.Queue(1)

    def put(self, snapshot: Snapshot) -> None:
        """In the place of one that still waits."""
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(snapshot)

    async def take(self) -> Snapshot:
        """Waits for one."""
        return await self._waiting.get()


class Policy:
    """What may be reached, and the flows that rest on it.

    Args:
        store: files.
        classifier: is told which snapshot to judge by.
        flows: open flows; those that are no longer allowed are reset.
        denials: learns what was cut.
        clock: the controller's time.
    """

    def __init__(
        self,
        store: IdentityStore,
        classifier: Classifier,
        flows: FlowRegistry,
        denials: Callable[[], Denials],
        clock: ControllerClock,
    ) -> None:
        self.classifier = classifier
        self.flows = flows
        self.prewarm = True
        """Whether tunnels may be made ahead of use."""
        self._store = store
        self._denials = denials
        self._clock = clock
        self._guard = SnapshotGuard()
        self._expiries: deque[int] = deque()
        """When grants of the snapshot in force end, soonest first."""
        self.on_change: list[Callable[[], Awaitable[None]]] = []
        """Each makes the rest of the daemon follow a change; awaited one after the other."""

    @property
    def current(self) -> Snapshot | None:
        """The snapshot in force."""
        return self._guard.current

    @property
    def revision(self) -> Revision:
        """Its revision."""
        return NO_REVISION if self._guard.current is None else self._guard.current.revision

    @property
    def enforced(self) -> tuple[int, Revision]:
        """Epoch and revision for Hello."""
        current = self._guard.current
        return (0, NO_REVISION) if current is None else (int(current.epoch), current.revision)

    @property
    def index(self) -> AclIndex:
        """What destinations are judged by."""
        return self.classifier.index

    def entry(self, resource: ResourceId) -> Entry | None:
        """Returns the entry of a resource in force."""
        return self.classifier.index.entry(resource)

    def networks(self) -> frozenset[NetworkId]:
        """The remote networks that there are resources in."""
        return frozenset(entry.resource.network for entry in self.index.acl.entries)

    def routes(self) -> tuple[IPNetwork, ...]:
        """The networks of the resources that are addresses."""
        patterns = (entry.resource.address for entry in self.index.acl.entries)
        return tuple(pattern.network for pattern in patterns if isinstance(pattern, CidrPattern))

    def domains(self) -> tuple[str, ...]:
        """Names and wildcard suffixes of the resources, for split DNS; and where addresses have names by their network."""
        patterns = (entry.resource.address for entry in self.index.acl.entries)
        names = tuple(str(pattern).removeprefix("*.") for pattern in patterns if isinstance(pattern, NamePattern))
        return (*names, SUFFIX) if self.routes() else names

    def load(self, verify: Callable[[str], Snapshot]) -> bool:
        """Puts the stored snapshot in force, if it is still worth it; True if so (T-57). Never raises for its content."""
        self._guard = SnapshotGuard(self._store.watermark())
        token = self._store.snapshot()
        if token is None:
            return False
        try:
            self._guard.accept(verify(token), self._clock.wall())
        except OstiaryError as error:
            _log.warning("snapshot.stored_one_refused", reason=error.reason.code, detail=error.detail)
            return False
        self._enforce()
        return True

    async def take(self, snapshot: Snapshot) -> bool:
        """Puts a verified snapshot in force; False when it was refused (T-8).

        The watermark and the snapshot are on disk before anything is judged by it.
        """
        guard = SnapshotGuard(self._guard.seen)
        guard.current = self._guard.current
        try:
            changes = guard.accept(snapshot, self._clock.wall())
        except OstiaryError as error:
            _log.error("snapshot.refused", reason=error.reason.code, detail=error.detail)
            return False
        # In a thread, because syncing a disk takes its time and open flows must not wait for it.
        await asyncio.to_thread(self._store.store_watermark, guard.seen)
        await asyncio.to_thread(self._store.store_snapshot, snapshot.token)
        again = self._guard.current is not None and (
            self._guard.current.acl == snapshot.acl and self._guard.current.withheld == snapshot.withheld
        )
        self._guard = guard
        self._enforce()
        if again:  # only its revision or its time is newer: nobody has to follow
            return True
        _log.info(
            "snapshot.in_force",
            epoch=int(snapshot.epoch),
            revision=snapshot.revision,
            resources=len(snapshot.acl.entries),
            gained=len(changes.gained),
            lost=len(changes.lost),
        )
        await self.changed()
        return True

    async def changed(self) -> None:
        """Makes everybody follow."""
        for follow in self.on_change:
            await follow()

    def forget(self) -> None:
        """Nothing is in force any more, and nothing is recognised: other controller, or down."""
        self._guard.forget()
        self.classifier.use(_NOT_IN_FORCE)
        self.end_flows(Reason.SESSION_ENDED)

    def block(self, reason: Reason | None) -> None:
        """Refuses everything new with ``reason``; resources stay recognised, nothing leaves in clear (T-55)."""
        self.classifier.blocked = reason

    def end_flows(self, reason: Reason) -> None:
        """Resets every open flow."""
        self._note(self.flows.end_all(reason))

    def tick(self, away_s: float) -> None:
        """Ends what time ends: grants, the snapshot itself, leases while the controller is away (C24)."""
        wall = self._clock.wall()
        self.classifier.set_clock(self._clock.monotonic(), wall)
        if self._guard.current is None:
            return
        if self._guard.expired(wall):
            if self.classifier.blocked is None:
                _log.warning("snapshot.expired")
                self.classifier.blocked = Reason.LEASE_EXPIRED
            self.end_flows(Reason.LEASE_EXPIRED)
            return
        if self.classifier.blocked is Reason.LEASE_EXPIRED:
            self.classifier.blocked = None
        if self._expiries and self._expiries[0] <= wall:
            while self._expiries and self._expiries[0] <= wall:
                self._expiries.popleft()
            self._note(self.flows.end(reevaluate(self.flows.judged(), self.index, wall)))
        if away_s > 0:
            self._note(self.flows.end(beyond_lease(self.flows.judged(), away_s)))

    def refusal_of(self, entry: Entry, away_s: float) -> Reason | None:
        """Tells why a new flow to ``entry`` may not begin although the snapshot permits it; None when it may."""
        if self.classifier.blocked is not None:
            return self.classifier.blocked
        return Reason.LEASE_EXPIRED if away_s >= entry.resource.lease_s else None

    def _enforce(self) -> None:
        current = self._guard.current
        assert current is not None
        now = self._clock.monotonic()
        self.classifier.set_clock(now, self._clock.wall())
        self.classifier.use(AclIndex(current.acl), NetworkNames(current.networks))
        self._expiries = deque(sorted(entry.expires for entry in current.acl.entries if entry.expires is not None))
        if self.classifier.blocked is Reason.LEASE_EXPIRED:
            self.classifier.blocked = None
        self._note(self.flows.end(reevaluate(self.flows.judged(), self.index, self._clock.wall())))

    def _note(self, endings: list[Ending[OpenFlow]]) -> None:
        for flow, reason in endings:
            if reason is Reason.SHUTTING_DOWN:
                continue
            target = flow.target
            self._denials().cut(target.host, target.transport, target.port, reason, target.resource, flow.traffic())
