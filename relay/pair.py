"""Two legs joined: what comes from one goes out of the other (design C13).

Nothing is queued between them: a piece goes straight into the other transport, and while that is above its high-water mark
(RELAY_BUFFER_BYTES) its source is not read. An end of either leg ends the other.

A peer that ends the TLS of its leg gets its bytes passed on without TLS in the other leg, too, as far as that one agreed. When
nothing is encrypted for this relay any more, the kernel joins the two connections (``relay.splice``).
"""

import asyncio
import socket
from collections.abc import Callable, Sequence

from protocol.limits import LEG_DEAD_AFTER_S
from protocol.reasons import Reason
from relay.splice import Pipes, Splice
from runtime.leg_frames import Piece
from runtime.leg_protocol import Leg


class Quiet:
    """Receiver of attachments and parked legs: the connector sends nothing there but pongs."""

    __slots__ = ("_leg",)

    def __init__(self, leg: Leg) -> None:
        self._leg = leg

    def data_received(self, data: Piece) -> None:
        """Before a client is paired there is nobody to talk to."""
        self._leg.close(Reason.PROTOCOL_ERROR)

    def text_received(self, text: str) -> None:
        """Nothing is defined that a connector could say."""
        self._leg.close(Reason.PROTOCOL_ERROR)

    def leg_lost(self, reason: Reason) -> None:
        """The server hears it by ``on_closed``."""

    def pause_writing(self) -> None:
        """The server looks at ``paused``."""

    def resume_writing(self) -> None:
        """Nothing waits."""


class Pair:
    """Made by ``join``."""

    def __init__(
        self,
        first: Leg,
        second: Leg,
        *,
        count: Callable[[int], None],
        pipes: Pipes,
        on_spliced: Callable[[], None],
        dead_after_s: float,
    ) -> None:
        self._legs = (first, second)
        self._count = count
        self._pipes = pipes
        self._on_spliced = on_spliced
        self._dead_after_s = dead_after_s
        self._splice: Splice | None = None
        self.wants_splice = False
        """Both legs are bare and not read any more: what was written has to leave before the kernel goes on."""

    def bared(self, to_leg: Leg) -> None:
        """What goes to ``to_leg`` came without TLS."""
        to_leg.end_tls()
        if all(leg.sends_bare and leg.receives_bare for leg in self._legs):
            self.wants_splice = True
            for leg in self._legs:
                leg.pause_reading()
                # The last byte that leaves resumes the writer, and so comes back to ``try_splice``.
                leg.set_high_water(0)
            # What came right behind the end of TLS is handed up in this turn.
            asyncio.get_running_loop().call_soon(self.try_splice)

    def try_splice(self) -> None:
        """Hands the connections to the kernel as soon as both are empty."""
        if self._splice is not None or not self.wants_splice or not all(leg.empty for leg in self._legs):
            return
        lent: list[socket.socket] = []
        try:
            for leg in self._legs:
                if (sock := leg.lend_socket(self._stop)) is not None:
                    lent.append(sock)
        except OSError:
            # Without descriptors the pair goes on as it is.
            pass
        if len(lent) < len(self._legs):
            for sock in lent:
                sock.close()
            self.wants_splice = False
            for leg in self._legs:
                leg.set_high_water()
                leg.resume_reading()
            return
        self._splice = Splice(
            lent[0],
            lent[1],
            pipes=self._pipes,
            count=self._count,
            on_end=self._ended,
            dead_after_s=self._dead_after_s,
        )
        self._on_spliced()

    def _stop(self) -> None:
        """One leg is closed from here: the other one at once, too."""
        if self._splice is not None:
            self._splice.stop()
            self._ended(Reason.TUNNEL_LOST)

    def _ended(self, reason: Reason) -> None:
        for leg in self._legs:
            leg.close(reason)


class PairEnd:
    """Receiver of one leg of a pair: copies towards the other."""

    __slots__ = ("_count", "_from", "_pair", "_to")

    def __init__(self, pair: Pair, from_leg: Leg, to_leg: Leg, count: Callable[[int], None]) -> None:
        self._pair = pair
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

    def tls_ended(self) -> None:
        """The peer of this leg sends without TLS from here on."""
        self._pair.bared(self._to)

    def leg_lost(self, reason: Reason) -> None:
        """This leg ended: so does the other."""
        self._to.close(reason)

    def pause_writing(self) -> None:
        """This leg takes no more: its source waits."""
        self._to.pause_reading()

    def resume_writing(self) -> None:
        """This leg takes more."""
        if self._pair.wants_splice:
            self._pair.try_splice()
        else:
            self._to.resume_reading()


def join(
    first: Leg,
    second: Leg,
    count: Callable[[int], None],
    *,
    pipes: Pipes,
    on_spliced: Callable[[], None] = lambda: None,
    dead_after_s: float = LEG_DEAD_AFTER_S,
) -> None:
    """Copies both ways between two legs until one ends.

    Args:
        first: One leg.
        second: The other.
        count: Gets the size of each piece copied.
        pipes: For the kernel's part of the work.
        on_spliced: Called when the kernel has taken over.
        dead_after_s: A leg that is silent for so long then is dead.
    """
    pair = Pair(first, second, count=count, pipes=pipes, on_spliced=on_spliced, dead_after_s=dead_after_s)
    for one, other in ((first, second), (second, first)):
        end = PairEnd(pair, one, other, count)
        one.set_receiver(end, on_pieces=end.pieces_received, on_bare=end.tls_ended)
