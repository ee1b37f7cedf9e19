"""Two bare connections joined in the kernel (splice(2)): no byte of a pair comes into this process.

A pipe is needed only while bytes are on their way through it, so idle pairs have none. One direction reads no more before its
pipe is empty: what a peer does not take stays in the kernel's buffers of the other one, and TCP makes that wait.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import Callable
from typing import Final

from protocol.limits import RELAY_BUFFER_BYTES
from protocol.reasons import Reason
from runtime.accepting import RELIEF_PAUSE_S

PIPE_BYTES: Final = 1024 * 1024
"""The most that a process without privileges may ask for. Not to be filled (RELAY_BUFFER_BYTES): it has a place for each piece
of a packet, however small, and in a smaller one those run out before the bytes do."""
LARGE_PIPES_MAX: Final = 48
"""The others have what the kernel gives, 64 KiB at most: a peer that takes nothing keeps its pipe full (T-25).

One user has 64 MiB of pipes (fs.pipe-user-pages-soft), and 8 KiB for each one beyond: a quarter is left to the small ones.
"""
IDLE_PIPES_MAX: Final = 8
_ROUNDS: Final = 4
"""Reads of one connection before the others have their turn."""
_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_SIOCATMARK: Final = 0x8905


class Pipe:
    """Where to write, where to read. Raises OSError."""

    __slots__ = ("large", "sink", "source")

    def __init__(self, *, large: bool) -> None:
        self.source, self.sink = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.large = large
        if large:
            # Refused when this user has very many (fs.pipe-user-pages-soft): a small one does, too.
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.sink, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def close(self) -> None:
        """What it holds is lost."""
        os.close(self.source)
        os.close(self.sink)


class Pipes:
    """Empty pipes for whoever needs one at the moment."""

    def __init__(self) -> None:
        self._idle: list[Pipe] = []
        self._large = 0

    def take(self) -> Pipe:
        """Returns an empty pipe. Raises OSError."""
        if self._idle:
            return self._idle.pop()
        pipe = Pipe(large=self._large < LARGE_PIPES_MAX)
        self._large += pipe.large
        return pipe

    def give(self, pipe: Pipe, *, empty: bool) -> None:
        """Takes a pipe back; only an empty one is used again."""
        if empty and pipe.large and len(self._idle) < IDLE_PIPES_MAX:
            self._idle.append(pipe)
        else:
            self._large -= pipe.large
            pipe.close()


class Splice:
    """Copies between two sockets, which it owns, until one direction ends or ``stop``.

    Args:
        first: One connection, non-blocking.
        second: The other.
        pipes: Where pipes come from.
        count: Gets the size of what was passed on.
        on_end: Called once when a direction has ended, with the reason; not after ``stop``.
        dead_after_s: A direction that brought nothing for so long, though it could, is dead.
    """

    def __init__(
        self,
        first: socket.socket,
        second: socket.socket,
        *,
        pipes: Pipes,
        count: Callable[[int], None],
        on_end: Callable[[Reason], None],
        dead_after_s: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = (first, second)
        self._on_end = on_end
        self._dead_after_s = dead_after_s
        self._stopped = False
        self._directions = tuple(
            _Direction(self._loop, source, sink, pipes, count, self._end)
            for source, sink in ((first, second), (second, first))
        )
        self._timer = self._loop.call_later(dead_after_s, self._look)
        for direction in self._directions:
            direction.read()

    def stop(self) -> None:
        """Leaves both connections alone; bytes in a pipe are lost."""
        if self._stopped:
            return
        self._stopped = True
        self._timer.cancel()
        for direction in self._directions:
            direction.stop()
        for sock in self._sockets:
            sock.close()

    def _end(self, reason: Reason) -> None:
        if not self._stopped:
            self.stop()
            self._on_end(reason)

    def _look(self) -> None:
        silent = max(direction.silent_s for direction in self._directions)
        if silent >= self._dead_after_s:
            self._end(Reason.PEER_SILENT)
        else:
            self._timer = self._loop.call_later(self._dead_after_s - silent, self._look)


class _Direction:
    """From ``source`` to ``sink``."""

    __slots__ = ("_again", "_count", "_end", "_heard_at", "_held", "_loop", "_pipe", "_pipes", "_sink", "_source")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: socket.socket,
        sink: socket.socket,
        pipes: Pipes,
        count: Callable[[int], None],
        end: Callable[[Reason], None],
    ) -> None:
        self._loop = loop
        self._source = source.fileno()
        self._sink = sink.fileno()
        self._pipes = pipes
        self._count = count
        self._end = end
        self._pipe: Pipe | None = None
        self._held = 0
        self._heard_at = loop.time()
        self._again: asyncio.TimerHandle | None = None

    @property
    def silent_s(self) -> float:
        """For how long the source has brought nothing; 0 while it is not asked."""
        return 0.0 if self._held else self._loop.time() - self._heard_at

    def read(self) -> None:
        """Passes on whatever comes."""
        self._loop.add_reader(self._source, self._on_readable)

    def stop(self) -> None:
        """Gives up the sockets and the pipe."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._sink)
        self._release()

    def _on_readable(self) -> None:
        self._heard_at = self._loop.time()
        try:
            pipe = self._pipe = self._pipes.take()
        except OSError:
            # No descriptors at the moment. Whoever opened so many must not end those that stand, so the bytes wait (T-25).
            self._loop.remove_reader(self._source)
            self._again = self._loop.call_later(RELIEF_PAUSE_S, self.read)
            return
        taken = 0
        try:
            for _ in range(_ROUNDS):
                self._held = taken = os.splice(self._source, pipe.sink, RELAY_BUFFER_BYTES, flags=_FLAGS)
                if not self._held:
                    self._end(Reason.NORMAL)
                    return
                if not self._pass_on(pipe):
                    self._loop.remove_reader(self._source)
                    self._loop.add_writer(self._sink, self._on_writable)
                    return
        except BlockingIOError:
            if not taken and self._is_urgent():
                self._end(Reason.PROTOCOL_ERROR)
                return
        except OSError:
            self._end(Reason.TUNNEL_LOST)
            return
        self._release()

    def _is_urgent(self) -> bool:
        """Whether TCP's urgent byte is next: splice(2) never gets beyond it, while the socket stays readable (T-26)."""
        return fcntl.ioctl(self._source, _SIOCATMARK, bytes(4)) != bytes(4)

    def _on_writable(self) -> None:
        try:
            if self._pipe is not None and not self._pass_on(self._pipe):
                return
        except OSError:
            self._end(Reason.TUNNEL_LOST)
            return
        self._heard_at = self._loop.time()
        self._loop.remove_writer(self._sink)
        self._release()
        self.read()

    def _pass_on(self, pipe: Pipe) -> bool:
        """Empties the pipe; False: the sink takes no more at the moment. Raises OSError."""
        while self._held:
            try:
                moved = os.splice(pipe.source, self._sink, self._held, flags=_FLAGS)
            except BlockingIOError:
                return False
            self._held -= moved
            self._count(moved)
        return True

    def _release(self) -> None:
        if self._pipe is not None:
            pipe, self._pipe = self._pipe, None
            self._pipes.give(pipe, empty=not self._held)
            self._held = 0
