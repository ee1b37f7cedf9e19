"""Round-trip time of a session, by yamux pings: every 10 s while there is traffic, or when the owner asks."""

from typing import Final

from protocol.errors import RemoteProtocolError
from protocol.limits import MUX_PINGS_PER_SECOND
from protocol.mux.budget import TokenBucket
from protocol.reasons import Reason

RTT_INTERVAL_S: Final = 10.0
OUTSTANDING_MAX: Final = 16
"""Unanswered pings; with one every 10 s the tunnel is dead (TUNNEL_DEAD_AFTER_S) long before."""


class Pinger:
    """Counts pings both ways. ``srtt`` is the smoothed round-trip time in seconds (RFC 6298: 7/8 old, 1/8 new)."""

    def __init__(self, now: float) -> None:
        self.srtt: float | None = None
        self._active = False
        self._next = now
        self._opaque = 0
        self._sent: dict[int, float] = {}
        self._from_peer = TokenBucket(MUX_PINGS_PER_SECOND, MUX_PINGS_PER_SECOND, now)
        self._own = TokenBucket(MUX_PINGS_PER_SECOND / 2, MUX_PINGS_PER_SECOND / 2, now)

    def saw_traffic(self) -> None:
        """Stream data passed: a measurement is due if the last one is old."""
        self._active = True

    def deadline(self) -> float | None:
        """When the next measurement is due; None while there is no traffic."""
        return self._next if self._active else None

    def ping(self, now: float) -> int | None:
        """Returns the value for a ping to send, or None if pings are outstanding or were sent too often."""
        self._active = False
        self._next = now + RTT_INTERVAL_S
        if len(self._sent) >= OUTSTANDING_MAX or not self._own.take(now):
            return None
        self._opaque = (self._opaque + 1) & 0xFFFFFFFF
        self._sent[self._opaque] = now
        return self._opaque

    def peer_pinged(self, now: float) -> None:
        """Raises RemoteProtocolError (LIMIT_EXCEEDED) if the peer pings too often (T-39)."""
        if not self._from_peer.take(now):
            raise RemoteProtocolError("too many mux pings per second", Reason.LIMIT_EXCEEDED)

    def ponged(self, opaque: int, now: float) -> float:
        """Returns the round-trip time. Raises RemoteProtocolError for an answer to no ping of ours."""
        sent = self._sent.pop(opaque, None)
        if sent is None:
            raise RemoteProtocolError("answer to a mux ping that was not sent")
        rtt = max(0.0, now - sent)
        self.srtt = rtt if self.srtt is None else self.srtt + (rtt - self.srtt) / 8
        return rtt
