"""How often each address may make us do something that costs: a token bucket for each, and one for all together (T-25, T-26)."""

from protocol.mux.budget import TokenBucket


class AddressRates:
    """Buckets by address, as ``address_kinds.group_of`` names it. ``now`` is monotonic.

    Args:
        now: when it begins, with full buckets.
        per_second: over all addresses.
        per_address: each second, of one.
        burst_s: a burst may hold this many seconds' worth.
        most: addresses that are remembered; the one unheard for longest goes first.
    """

    def __init__(self, now: float, *, per_second: float, per_address: float, burst_s: float, most: int) -> None:
        self._per_address = per_address
        self._burst_s = burst_s
        self._most = most
        self._buckets: dict[str, TokenBucket] = {}
        self._all = TokenBucket(per_second, per_second * burst_s, now)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, group: str, now: float) -> bool:
        """Takes one token of the address's and one of everybody's; False: there is none."""
        bucket = self._buckets.pop(group, None)
        if bucket is None:
            bucket = TokenBucket(self._per_address, self._per_address * self._burst_s, now)
        self._buckets[group] = bucket
        if len(self._buckets) > self._most:
            del self._buckets[next(iter(self._buckets))]
        return bucket.take(now) and self._all.take(now)
