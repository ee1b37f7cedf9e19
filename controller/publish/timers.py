"""The moments at which time alone changes an answer: grants and sessions that end (``evaluate.next_change_at``)."""

import heapq

from protocol.ids import DeviceId


class Timers:
    """At most one due moment per device; setting it again replaces it unless it has come. Times are Unix seconds."""

    def __init__(self) -> None:
        self._due: dict[DeviceId, int] = {}
        self._heap: list[tuple[int, DeviceId]] = []

    def set(self, device: DeviceId, when: int | None, *, now: float) -> None:
        """Sets, moves or (None) clears the device's next moment. One that has come stays until it is taken."""
        if self.overdue(device, now) is not None:
            return
        if when is None:
            self._due.pop(device, None)
        elif self._due.get(device) != when:
            self._due[device] = when
            heapq.heappush(self._heap, (when, device))

    def overdue(self, device: DeviceId, now: float) -> int | None:
        """Returns the device's moment if it has come and was not taken yet."""
        when = self._due.get(device)
        return when if when is not None and when <= now else None

    def next(self) -> int | None:
        """Returns the earliest moment."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> list[tuple[DeviceId, int]]:
        """Removes and returns the devices whose moment has come, with that moment."""
        due: list[tuple[DeviceId, int]] = []
        while (when := self.next()) is not None and when <= now:
            _, device = heapq.heappop(self._heap)
            del self._due[device]
            due.append((device, when))
        return due
