"""Who is at the two ends of a leg within a process: what gets its bytes, and what a tunnel needs of it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from protocol.reasons import Reason
from runtime.leg_frames import Piece


class LegReceiver(Protocol):
    """Who gets what arrives on a leg. All calls come from the event loop."""

    def data_received(self, data: Piece) -> None:
        """The next bytes of the stream; a memoryview is valid during the call only."""

    def text_received(self, text: str) -> None:
        """A text message of a control leg."""

    def leg_lost(self, reason: Reason) -> None:
        """The leg ended, and not by our own close(); called once, nothing follows."""

    def pause_writing(self) -> None:
        """The transport is above its high-water mark: stop writing."""

    def resume_writing(self) -> None:
        """Go on writing."""


class LegLike(Protocol):
    """What a tunnel needs of a leg; ``Leg`` is one, a direct connection another."""

    paused: bool

    def set_receiver(
        self, receiver: LegReceiver, *, on_pieces: Callable[[Sequence[Piece]], None] | None = None
    ) -> None: ...

    def write(self, data: Piece) -> None: ...

    def end_tls(self) -> None: ...

    def close(self, reason: Reason = ...) -> None: ...
