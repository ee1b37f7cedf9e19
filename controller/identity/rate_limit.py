"""Token buckets that slow guessing down (S-9, D10). Bounded in memory, one table per replica.

A caller names what it limits by a key: an address prefix, an account, a user code. Every key owns a bucket; when the
table is full of buckets that still refill, newcomers share one bucket, so that a flood of made-up keys neither grows the
table nor frees anybody from his own limit.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from protocol.errors import RefusedError
from protocol.reasons import Reason

TABLE_MAX: Final = 20_000
"""Keys per limiter; about 4 MiB."""
SWEEP_INTERVAL_S: Final = 1.0
PROVEN_MAX: Final = 100_000
"""Credentials that are remembered as right."""


class RateLimitedError(RefusedError):
    """Too many attempts; ``retry_after_s`` is when the next one may succeed."""

    def __init__(self, retry_after_s: float, detail: str = "") -> None:
        super().__init__(Reason.RATE_LIMITED, detail)
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """Admits ``burst`` attempts at once and ``per_minute`` in the long run, for every key.

    Args:
        name: what is limited; appears in the error's detail.
        per_minute: refill.
        burst: size of a bucket.
        capacity: keys that are remembered at most.
    """

    def __init__(self, name: str, *, per_minute: float, burst: int, capacity: int = TABLE_MAX) -> None:
        self._name = name
        self._rate = per_minute / 60.0
        self._burst = float(burst)
        self._capacity = capacity
        self._buckets: dict[str, _Bucket] = {}
        self._shared = _Bucket(self._burst, 0.0)
        self._swept_at = float("-inf")

    def __len__(self) -> int:
        return len(self._buckets)

    def spend(self, key: str, now: float, cost: float = 1.0) -> None:
        """Counts one attempt. Raises RateLimitedError when the bucket of ``key`` is empty.

        What an attempt costs beyond what is in the bucket is owed, so that none is too large for ever.
        """
        self._filled(key, now).tokens -= cost

    def peek(self, key: str, now: float) -> None:
        """Counts nothing. Raises RateLimitedError when ``spend`` would."""
        self._filled(key, now)

    def refund(self, key: str, now: float) -> None:
        """Gives one attempt back: it turned out to be a right one."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            self._refill(bucket, now)
            bucket.tokens = min(self._burst, bucket.tokens + 1.0)

    def _filled(self, key: str, now: float) -> _Bucket:
        bucket = self._bucket(key, now)
        if bucket.tokens < 1.0:
            raise RateLimitedError((1.0 - bucket.tokens) / self._rate, f"{self._name} limit")
        return bucket

    def _bucket(self, key: str, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._capacity:
                self._sweep(now)
            if len(self._buckets) >= self._capacity:
                self._refill(self._shared, now)
                return self._shared
            bucket = self._buckets[key] = _Bucket(self._burst, now)
        self._refill(bucket, now)
        return bucket

    def _refill(self, bucket: _Bucket, now: float) -> None:
        bucket.tokens = min(self._burst, bucket.tokens + max(0.0, now - bucket.at) * self._rate)
        bucket.at = now

    def _sweep(self, now: float) -> None:
        """Forgets full buckets: a fresh one would be the same. At most once in SWEEP_INTERVAL_S, as it is linear."""
        if now - self._swept_at < SWEEP_INTERVAL_S:
            return
        self._swept_at = now
        full_after = self._burst / self._rate
        idle = [
            key
            for key, bucket in self._buckets.items()
            if bucket.tokens + (now - bucket.at) * self._rate >= self._burst or now - bucket.at >= full_after
        ]
        for key in idle:
            del self._buckets[key]


class Proven:
    """Which credentials were right at this process lately, by digest: what others at their address try does not delay them."""

    def __init__(self, *, capacity: int = PROVEN_MAX) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()
        self._capacity = capacity

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self._known

    def add(self, fingerprint: str) -> None:
        """Remembers one that was right; beyond the capacity the one that was not used for longest is forgotten."""
        self._known[fingerprint] = None
        self._known.move_to_end(fingerprint)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)

    def discard(self, fingerprint: str) -> None:
        """Forgets one that is right no longer."""
        self._known.pop(fingerprint, None)


def address_key(address: str) -> str:
    """Returns what attempts from ``address`` are counted under: the IPv4 address, or the /64 that one IPv6 host owns."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
