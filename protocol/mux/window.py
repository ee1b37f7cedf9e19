"""Receive window of one stream: what the peer may still send, and how that grows with the bandwidth-delay product.

yamux starts every stream at 256 KiB, which caps it at window / RTT (21 Mbit/s at 100 ms). So the window doubles while
half of it is consumed in less than 2 * RTT * (window / initial). The last factor matters: the time to fill half a window
grows with the window, and a fixed threshold blocks its own growth after one doubling.
"""

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import MUX_WINDOW_INITIAL, MUX_WINDOW_MAX
from protocol.mux.budget import WindowBudget


class ReceiveWindow:
    """Counts credit (``left``: what the peer may send) and ``held`` (delivered to our owner, not consumed by it)."""

    __slots__ = ("_budget", "_measured", "_pending", "_since", "held", "left", "size")

    def __init__(self, budget: WindowBudget, now: float) -> None:
        self._budget = budget
        self._since = now
        self._measured = 0
        self._pending = 0
        self.held = 0
        self.left = MUX_WINDOW_INITIAL
        self.size = MUX_WINDOW_INITIAL

    def announce(self, length: int) -> None:
        """Takes the length of a data frame. Raises RemoteProtocolError if it exceeds the credit (T-40)."""
        if length > self.left:
            raise RemoteProtocolError(f"mux data frame of {length} bytes, credit {self.left}")
        self.left -= length

    def release(self, count: int) -> None:
        """Notes that ``count`` delivered bytes were consumed. Raises LocalProtocolError if there are not so many."""
        if not 0 <= count <= self.held:
            raise LocalProtocolError(f"consumed {count} bytes of {self.held}")
        self.held -= count

    def consume(self, count: int, now: float, srtt: float | None) -> int:
        """Like ``release``, and returns the credit to advertise: 0 until a quarter of the window is consumed."""
        self.release(count)
        self._pending += count
        self._measured += count
        if self._measured * 2 >= self.size:
            if srtt is not None and now - self._since < 2 * srtt * (self.size / MUX_WINDOW_INITIAL):
                grown = self._budget.take(min(self.size, MUX_WINDOW_MAX - self.size))
                self.size += grown
                self._pending += grown
            self._measured = 0
            self._since = now
        if self._pending * 4 < self.size:
            return 0
        credit, self._pending = self._pending, 0
        self.left += credit
        return credit

    def close(self) -> None:
        """Gives what it had grown back to the session's budget."""
        self._budget.release(self.size - MUX_WINDOW_INITIAL)
        self.size = MUX_WINDOW_INITIAL
