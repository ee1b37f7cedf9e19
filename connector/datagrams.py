"""UDP associations and ICMP echo over a stream (C21): datagrams with a 2-byte length, both ways, nothing queued without bound.

Towards the client, datagrams for which there is no credit wait in a queue of DATAGRAM_QUEUE; the oldest is dropped first.
Towards the resource, what the kernel does not take at once is dropped, as a network would.
"""

import asyncio
import contextlib
import errno
import socket
import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from connector.dialer import PingSocket
from protocol.datagrams import ICMP_HEAD_BYTES, DatagramReader, bursts, encode_datagram, encode_datagrams
from protocol.limits import DATAGRAM_QUEUE, ICMP_IDLE_S, UDP_IDLE_S
from protocol.reasons import Reason
from runtime.sockets import reason_of_os_error
from runtime.tunnel import TunnelStream

_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25
"""linux/in.h, linux/in6.h: Python's ``socket`` does not name them before 3.14."""
_SO_RCVBUFFORCE: Final = 33
_UDP_SEGMENT: Final = 103
"""asm-generic/socket.h, linux/udp.h: Python's ``socket`` does not name them."""
_SEGMENT: Final = struct.Struct("=H")
_NO_SEGMENTATION: Final = frozenset({errno.EINVAL, errno.EMSGSIZE, errno.EIO, errno.ENOPROTOOPT, errno.EOPNOTSUPP})
"""EINVAL, EMSGSIZE: one datagram is larger than the path's MTU, and has to be fragmented. EIO: the device makes no checksums."""
_received = memoryview(bytearray(65_535))
"""One read at a time is taken out of it before the next; a buffer for each would be 64 KiB to get and to shrink."""

Done = Callable[[int, int, Reason], None]

READS_PER_TURN: Final = 64
"""Datagrams taken from one socket before other sockets get their turn."""
BURST_DATAGRAMS: Final = 64
"""Sent by one call: what Linux takes (UDP_MAX_SEGMENTS of include/linux/udp.h before 6.9)."""
BURST_BYTES: Final = 65_000
RECEIVE_BUFFER_BYTES: Final = 1024 * 1024
"""Asked for; without CAP_NET_ADMIN the kernel gives no more than net.core.rmem_max. What comes while other sockets have their
turn waits there: 1 MiB is some 10 ms of 300 Mbit/s in datagrams of 1,200 bytes, each of which counts for its memory."""
ECHOES_IN_FLIGHT: Final = 1024
"""Echo requests whose reply is still of interest, per stream."""


_OF_ONE_DATAGRAM: Final = frozenset({Reason.DATAGRAM_TOO_LARGE, Reason.LIMIT_EXCEEDED})
"""One datagram that does not fit is no end of its association."""
_ERRORS_PER_TURN: Final = 64


class DatagramSocket(Protocol):
    """What an association needs of its far side."""

    def fileno(self) -> int: ...

    def send(self, datagram: bytes) -> None:
        """Sends one datagram. Raises OSError."""

    def send_burst(self, datagrams: Sequence[bytes]) -> bool:
        """Sends datagrams of one size, the last may be shorter, by one call; False: none was sent, each has to be by itself.

        Raises OSError for what is no matter of segmentation.
        """

    def receive(self) -> bytes | None:
        """Returns one datagram, None for one that is not for us. Raises BlockingIOError, OSError."""

    def forget_errors(self) -> bool:
        """Empties the socket's queue of errors, which would keep it readable for ever; tells whether it held any."""

    def close(self) -> None: ...


class Association:
    """Joins a stream and a datagram socket. Becomes the stream's receiver at once.

    Args:
        stream: already answered.
        far: the socket; closed at the end.
        idle_s: ends after this long without a datagram.
        smallest: bytes that a datagram on the stream has at least.
        on_done: called once with bytes up, bytes down and why it ended.
    """

    def __init__(
        self, stream: TunnelStream, far: DatagramSocket, *, idle_s: float, smallest: int, on_done: Done
    ) -> None:
        self.bytes_up = 0
        self.bytes_down = 0
        self.dropped = 0
        """Datagrams lost here, either way."""
        self._stream = stream
        self._far = far
        self._idle_s = idle_s
        self._on_done: Done | None = on_done
        self._reader = DatagramReader(smallest=smallest)
        self._queue: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()
        self._used_at = self._loop.time()
        self._timer = self._loop.call_later(idle_s, self._look_at_clock)
        self._loop.add_reader(far.fileno(), self._readable)
        stream.set_receiver(self)

    def abort(self, reason: Reason) -> None:
        """Ends both sides at once; the client learns ``reason``."""
        self._stream.reset(reason)
        self._finish(reason)

    # From the client

    def data_received(self, data: bytes) -> None:
        """Takes datagrams out of the stream and sends them. Raises RemoteProtocolError."""
        for burst in bursts(self._reader.receive_data(data), BURST_DATAGRAMS, BURST_BYTES):
            if len(burst) == 1 or not self._send_burst(burst):
                for datagram in burst:
                    self._send(datagram)
        # UDP has no backpressure: what is not taken is lost, so credit is due at once.
        self._stream.consumed(len(data))

    def eof_received(self) -> None:
        """The client ended the association."""
        self._stream.write_eof()
        self._finish(Reason.NORMAL)

    def stream_reset(self, reason: Reason) -> None:
        """The client, or its tunnel, is gone."""
        self._finish(reason)

    def pause_writing(self) -> None:
        """No credit: what arrives waits in the queue."""

    def resume_writing(self) -> None:
        """Credit is back."""
        while self._queue and not self._stream.paused:
            self._stream.write(self._queue.popleft())

    # From the resource

    def _readable(self) -> None:
        datagrams: list[bytes] = []
        try:
            self._read_waiting(datagrams)
        except OSError as exc:
            self._deliver(datagrams)
            self._failed(exc)
            return
        self._deliver(datagrams)
        # An error may be in the queue alone, and ``receive`` knows nothing of it.
        if self._far.forget_errors():
            self._listen_again()

    def _read_waiting(self, datagrams: list[bytes]) -> None:
        for _ in range(READS_PER_TURN):
            try:
                datagram = self._far.receive()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as exc:
                self._far.forget_errors()
                if reason_of_os_error(exc) not in _OF_ONE_DATAGRAM:
                    raise
                self._listen_again()  # ``send`` has said so, and counted it
            else:
                if datagram is not None:
                    datagrams.append(datagram)

    def _listen_again(self) -> None:
        """uvloop stops watching a socket with an error for good; asyncio does not."""
        self._loop.remove_reader(self._far.fileno())
        self._loop.add_reader(self._far.fileno(), self._readable)

    def _deliver(self, datagrams: list[bytes]) -> None:
        if not datagrams:
            return
        self._used_at = self._loop.time()
        self.bytes_down += sum(map(len, datagrams))
        if not self._stream.paused:
            self._stream.write(encode_datagrams(datagrams))
            return
        self._queue.extend(map(encode_datagram, datagrams))
        while len(self._queue) > DATAGRAM_QUEUE:
            self._queue.popleft()
            self.dropped += 1

    # Inside

    def _send_burst(self, burst: Sequence[bytes]) -> bool:
        try:
            sent = self._far.send_burst(burst)
        except OSError as exc:
            self._failed(exc)
            return True
        if sent:
            self._used_at = self._loop.time()
            self.bytes_up += sum(map(len, burst))
        return sent

    def _send(self, datagram: bytes) -> None:
        self._used_at = self._loop.time()
        try:
            self._far.send(datagram)
        except (BlockingIOError, InterruptedError):
            self.dropped += 1
        except OSError as exc:
            if reason_of_os_error(exc) in _OF_ONE_DATAGRAM:
                self.dropped += 1
                # The error is told once: ``receive`` will not hear of it any more.
                self._far.forget_errors()
                self._listen_again()
            else:
                self._failed(exc)
        else:
            self.bytes_up += len(datagram)

    def _failed(self, error: OSError) -> None:
        """The kernel reports an ICMP error for what was sent (F-33)."""
        if self._on_done is not None:
            self.abort(reason_of_os_error(error))

    def _look_at_clock(self) -> None:
        left = self._used_at + self._idle_s - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look_at_clock)
        else:
            self.abort(Reason.NORMAL)

    def _finish(self, reason: Reason) -> None:
        if self._on_done is None:
            return
        on_done, self._on_done = self._on_done, None
        self._timer.cancel()
        self._loop.remove_reader(self._far.fileno())
        self._far.close()
        self._queue.clear()
        on_done(self.bytes_up, self.bytes_down, reason)


class UdpSocket:
    """A connected UDP socket as the far side of an association."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.fileno = sock.fileno
        self.close = sock.close
        self.forget_errors = partial(_forget_errors, sock)
        self._takes_bursts = True
        _want_errors(sock)
        _want_room(sock)

    def send(self, datagram: bytes) -> None:
        """Sends one datagram. Raises OSError."""
        self._sock.send(datagram)

    def send_burst(self, datagrams: Sequence[bytes]) -> bool:
        """See DatagramSocket."""
        if not self._takes_bursts:
            return False
        size = _SEGMENT.pack(len(datagrams[0]))
        try:
            self._sock.sendmsg(datagrams, [(socket.IPPROTO_UDP, _UDP_SEGMENT, size)])
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            if exc.errno not in _NO_SEGMENTATION:
                raise
            self._takes_bursts = False
            return False
        return True

    def receive(self) -> bytes | None:
        """Returns one datagram. Raises BlockingIOError, OSError."""
        size = self._sock.recv_into(_received)
        return bytes(_received[:size])


class EchoSocket:
    """A ping socket as the far side: translates the client's identifiers and sequence numbers to ours and back.

    Several programs on one client may ping one host with overlapping sequence numbers; ours are unique on the socket.
    """

    def __init__(self, ping: PingSocket) -> None:
        self._ping = ping
        self.fileno = ping.sock.fileno
        self.close = ping.close
        self.forget_errors = partial(_forget_errors, ping.sock)
        _want_errors(ping.sock)
        self._next = 0
        self._in_flight: OrderedDict[int, bytes] = OrderedDict()
        """Our sequence number -> the client's identifier and sequence number."""

    def send(self, datagram: bytes) -> None:
        """Sends ``identifier, sequence, payload`` as an echo request. Raises OSError."""
        self._next = (self._next + 1) & 0xFFFF
        self._in_flight[self._next] = datagram[:ICMP_HEAD_BYTES]
        self._in_flight.move_to_end(self._next)
        if len(self._in_flight) > ECHOES_IN_FLIGHT:
            self._in_flight.popitem(last=False)
        self._ping.send(self._next, datagram[ICMP_HEAD_BYTES:])

    def send_burst(self, datagrams: Sequence[bytes]) -> bool:
        """Each needs a number of its own."""
        return False

    def receive(self) -> bytes | None:
        """Returns ``identifier, sequence, payload`` of a reply. Raises BlockingIOError, OSError."""
        reply = self._ping.receive()
        if reply is None:
            return None
        sequence, payload = reply
        # A second reply (a duplicate, or a broadcast's) finds nothing any more.
        head = self._in_flight.pop(sequence, None)
        return None if head is None else head + payload


def _want_errors(sock: socket.socket) -> None:
    """Without this Linux keeps to itself that a host or network cannot be reached, and the application waits in vain (F-33)."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)


def _want_room(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def _forget_errors(sock: socket.socket) -> bool:
    found = False
    with contextlib.suppress(OSError):
        for _ in range(_ERRORS_PER_TURN):
            sock.recvmsg(1, 0, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            found = True
    return found


def udp_association(
    stream: TunnelStream, sock: socket.socket, on_done: Done, *, idle_s: float = UDP_IDLE_S
) -> Association:
    """Joins ``stream`` with a connected UDP socket; it ends after ``idle_s`` seconds of silence in both directions."""
    return Association(stream, UdpSocket(sock), idle_s=idle_s, smallest=0, on_done=on_done)


def echo_association(stream: TunnelStream, ping: PingSocket, on_done: Done) -> Association:
    """Joins ``stream`` with a ping socket."""
    return Association(stream, EchoSocket(ping), idle_s=ICMP_IDLE_S, smallest=ICMP_HEAD_BYTES, on_done=on_done)
