"""From a packet's destination to the resource that it is meant for (design C8).

Only used addresses are routed into the TUN device, so whatever is not a resource here (any more) is refused, never passed
on: deny by default, and the application learns it at once.
"""

import ipaddress
from dataclasses import dataclass, field

from client.core.network_names import NetworkNames
from client.core.synthetic import SyntheticName, SyntheticPool
from protocol.acl.decide import decide
from protocol.acl.match import AclIndex
from protocol.acl.model import Acl, Entry, IPAddress, Permit, Request, Transport
from protocol.ids import NetworkId, ResourceId
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class Target:
    """What a flow is for: ``host`` (a name, or the address itself) as the connector will be told, and the entry behind it."""

    host: str | IPAddress
    transport: Transport
    port: int | None
    entry: Entry
    synthetic: SyntheticName | None = field(default=None, compare=False)

    @property
    def resource(self) -> ResourceId:
        """The resource that the snapshot permits it with."""
        return self.entry.resource.id

    @property
    def request(self) -> Request:
        """The same as the decision function takes it."""
        return Request(self.host, self.transport, self.port)


@dataclass(frozen=True, slots=True)
class Denial:
    """Refused on this host. ``resource`` is set when the user may know that it exists."""

    host: str | IPAddress
    transport: Transport
    port: int | None
    reason: Reason
    resource: ResourceId | None = None


class Classifier:
    """Judges destinations by the current snapshot. One instance is shared by TCP, UDP and ICMP.

    ``blocked``, when set, refuses everything with that reason (signed out, lease expired, tunnel impossible): resources
    stay recognised, so that nothing of them leaves in clear (T-55).
    """

    def __init__(self, pool: SyntheticPool) -> None:
        self._pool = pool
        self._wall_offset = 0.0
        self.index = AclIndex(Acl())
        self.names = NetworkNames()
        self.blocked: Reason | None = None
        self._by_network: dict[NetworkId, AclIndex] = {}

    def use(self, index: AclIndex, names: NetworkNames | None = None) -> None:
        """Judges by another snapshot from here on; ``names`` are those of its remote networks."""
        self.index = index
        self.names = names or NetworkNames()
        self._by_network.clear()

    def locate(self, name: str) -> tuple[IPAddress, AclIndex] | None:
        """Returns the address that a network's name stands for, and what is permitted there; None when it is no such name."""
        found = self.names.parse(name)
        if found is None:
            return None
        address, network = found
        index = self._by_network.get(network)
        if index is None:
            entries = tuple(entry for entry in self.index.acl.entries if entry.resource.network == network)
            index = self._by_network[network] = AclIndex(Acl(entries))
        return address, index

    def set_clock(self, now: float, wall: float) -> None:
        """Tells what Unix time it is at monotonic ``now``. Call at start and every few seconds (grants expire by it)."""
        self._wall_offset = wall - now

    def wall(self, now: float) -> float:
        """Returns Unix seconds at monotonic ``now``."""
        return now + self._wall_offset

    def classify(self, destination: bytes, transport: Transport, port: int | None, now: float) -> Target | Denial:
        """Judges one destination (packed address); ``port`` is None for ICMP."""
        host: str | IPAddress
        index = self.index
        synthetic = self._pool.find(destination)
        if synthetic is not None:
            host = synthetic.name
            located = self.locate(synthetic.name)
            if located is not None:
                host, index = located
        else:
            host = ipaddress.ip_address(destination)
            if self._pool.owns(host):
                return Denial(host, transport, port, Reason.NAME_NOT_FOUND)
        verdict = decide(index, Request(host, transport, port), self.wall(now))
        if not isinstance(verdict, Permit):
            return Denial(host, transport, port, verdict.reason, verdict.resource)
        if self.blocked is not None:
            return Denial(host, transport, port, self.blocked, verdict.entry.resource.id)
        return Target(host, transport, port, verdict.entry, synthetic)

    def begin(self, target: Target) -> None:
        """A flow to ``target`` begins: its synthetic address stays assigned."""
        if target.synthetic is not None:
            self._pool.hold(target.synthetic)

    def end(self, target: Target, now: float) -> None:
        """A flow to ``target`` has ended."""
        if target.synthetic is not None:
            self._pool.drop(target.synthetic, now)
