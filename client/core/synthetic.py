"""Synthetic addresses: what the host sees in place of a name's real address, which stays unknown to it (design C18).

A name keeps its pair of addresses while it is used; for SYNTHETIC_RELEASE_S after its last use nobody else gets them,
because applications keep answers longer than their TTL. The place in the pool begins at a hash of the name, so that it is
usually the same after a restart of the daemon.
"""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from client.core.addresses import AddressPlan
from protocol.acl.model import IPAddress
from protocol.errors import LocalError
from protocol.limits import SYNTHETIC_RELEASE_S
from protocol.reasons import Reason

_PROBES_MAX = 64
"""Neighbours that are tried before released ones are collected; keeps the work per new name bounded."""


@dataclass(slots=True, eq=False)
class SyntheticName:
    """A name and its addresses. ``flows`` open flows use it; ``last_used`` is monotonic."""

    name: str
    v4: IPv4Address
    v6: IPv6Address | None
    index: int
    last_used: float
    flows: int = 0

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """What has to be routed into the TUN device."""
        return (self.v4,) if self.v6 is None else (self.v4, self.v6)


class SyntheticPool:
    """Names and their addresses, both ways."""

    def __init__(self, plan: AddressPlan) -> None:
        self._plan = plan
        self._by_name: dict[str, SyntheticName] = {}
        self._by_index: dict[int, SyntheticName] = {}
        self._by_packed: dict[bytes, SyntheticName] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def assign(self, name: str, now: float) -> SyntheticName:
        """Returns the addresses of ``name`` (canonical), new ones if it has none, and counts as a use.

        Raises:
            LocalError: LIMIT_EXCEEDED when every address is in use.
        """
        known = self._by_name.get(name)
        if known is not None:
            known.last_used = now
            return known
        index = self._free_index(name)
        v4, v6 = self._plan.synthetic(index)
        item = SyntheticName(name, v4, v6, index, now)
        self._by_name[name] = self._by_index[index] = item
        for address in item.addresses:
            self._by_packed[address.packed] = item
        return item

    def find(self, address: bytes) -> SyntheticName | None:
        """Returns the name behind a packed address."""
        return self._by_packed.get(address)

    def owns(self, address: IPAddress) -> bool:
        """Tells whether ``address`` lies in the pool, assigned or not."""
        return self._plan.contains(address)

    def hold(self, item: SyntheticName) -> None:
        """A flow to the name begins."""
        item.flows += 1

    def drop(self, item: SyntheticName, now: float) -> None:
        """A flow to the name has ended."""
        item.flows -= 1
        item.last_used = now

    def tick(self, now: float) -> tuple[SyntheticName, ...]:
        """Releases what was not used for SYNTHETIC_RELEASE_S and returns it: its routes can go. Call every minute or so."""
        released = tuple(
            item for item in self._by_name.values() if item.flows == 0 and now - item.last_used >= SYNTHETIC_RELEASE_S
        )
        for item in released:
            del self._by_name[item.name], self._by_index[item.index]
            for address in item.addresses:
                del self._by_packed[address.packed]
        return released

    def routes(self) -> tuple[IPAddress, ...]:
        """Returns every address that is assigned."""
        return tuple(address for item in self._by_name.values() for address in item.addresses)

    def _free_index(self, name: str) -> int:
        capacity = self._plan.capacity
        start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % capacity
        for step in range(min(_PROBES_MAX, capacity)):
            index = (start + step) % capacity
            if index not in self._by_index:
                return index
        if len(self._by_index) < capacity:
            return next(index for index in range(capacity) if index not in self._by_index)
        raise LocalError(Reason.LIMIT_EXCEEDED, f"all {capacity} synthetic addresses are in use")
