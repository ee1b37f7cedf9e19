"""Two legs joined: what comes from one goes out of the other (design C13).

Nothing is queued between them: a piece goes straight into the other transport, and while that is above its high-water mark
(RELAY_BUFFER_BYTES) its source is not read. An end of either leg ends the other.
"""

from collections.abc import Callable, Sequence

from protocol.reasons import Reason
from runtime.leg_frames import Piece
from runtime.leg_protocol import Leg


class PairEnd:
    """Receiver of one leg of a pair: copies towards ``other``."""

    __slots__ = ("_count", "_from", "_to")

    def __init__(self, from_leg: Leg, to_leg: Leg, count: Callable[[int], None]) -> None:
        self._from = from_leg
        self._to = to_leg
        self._count = count

    def pieces_received(self, pieces: Sequence[Piece]) -> None:
        """All payload of one read: one message out."""
        self._to.write_pieces(pieces)
        self._count(sum(map(len, pieces)))
        if self._to.paused:
            self._from.pause_reading()

    def data_received(self, data: Piece) -> None:
        """One piece."""
        self.pieces_received((data,))

    def text_received(self, text: str) -> None:
        """Paired legs carry no text."""
        self._from.close(Reason.PROTOCOL_ERROR)
        self._to.close(Reason.TUNNEL_LOST)

    def leg_lost(self, reason: Reason) -> None:
        """This leg ended: so does the other."""
        self._to.close(reason)

    def pause_writing(self) -> None:
        """This leg takes no more: its source waits."""
        self._to.pause_reading()

    def resume_writing(self) -> None:
        """This leg takes more."""
        self._to.resume_reading()


def join(first: Leg, second: Leg, count: Callable[[int], None]) -> None:
    """Copies both ways between two legs until one ends; ``count`` gets the size of each piece copied."""
    one, two = PairEnd(first, second, count), PairEnd(second, first, count)
    first.set_receiver(one, on_pieces=one.pieces_received)
    second.set_receiver(two, on_pieces=two.pieces_received)
