"""The TLS of a leg, which may end before the connection does (design C12; protocol/SPEC.md section 7.7).

A sans-I/O machine around the standard library's TLS over memory BIOs. What the library's own transports cannot do, this does:
each direction can be ended by itself with a close_notify (RFC 8446 section 6.1), and what follows on the connection is the
leg's bare bytes. Both ends must have agreed on that inside this very session, for which ``session_name`` is the proof.

Feed it with ``receive_data``, take plaintext with ``read_into``; after each call hand ``data_to_send`` to the transport, also
after an error, because an alert may be in it.
"""

import hashlib
import os
import ssl
from typing import Final, cast

_NAME_PREFIX: Final = b"ostiary outer tls\x00"
_READ_BYTES: Final = 64 * 1024
ANSWERS_MAX_BYTES: Final = 8 * 1024
"""TLS itself answers a KeyUpdate, and the answer waits for the next write: about 300 before that are a flood (T-25)."""


class OuterTls:
    """One end of a leg's TLS session; made by ``client`` or ``server``, then ``handshake`` until it says True.

    Attributes:
        sending_ended: Our close_notify is queued: nothing more can be sent in this session.
        receiving_ended: The peer's close_notify was read: ``rest`` has what came behind it.
    """

    def __init__(self, context: ssl.SSLContext, *, host: str | None) -> None:
        self.sending_ended = False
        self.receiving_ended = False
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._backlog = bytearray()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=host is None, server_hostname=host)

    @classmethod
    def client(cls, context: ssl.SSLContext, host: str) -> "OuterTls":
        """The dialling end; ``context`` decides how ``host`` has to prove itself."""
        return cls(context, host=host)

    @classmethod
    def server(cls, context: ssl.SSLContext) -> "OuterTls":
        """The accepting end."""
        return cls(context, host=None)

    def handshake(self) -> bool:
        """Goes as far as it can; True when the session stands. Raises ssl.SSLError, among them of verification."""
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def receive_data(self, data: bytes | memoryview) -> None:
        """Takes bytes from the transport, before ``receiving_ended``."""
        self._incoming.write(data)

    def read_into(self, buffer: memoryview) -> int:
        """Fills ``buffer`` with plaintext; 0: there is none for now, or ``receiving_ended``. Raises ssl.SSLError."""
        if self._backlog:
            size = min(len(self._backlog), len(buffer))
            buffer[:size] = self._backlog[:size]
            del self._backlog[:size]
            return size
        size, most = 0, len(buffer)
        while size < most and (count := self._read_record(buffer[size:])):
            size += count
        if self._outgoing.pending > ANSWERS_MAX_BYTES:
            raise ssl.SSLError("more key updates than anybody needs")
        return size

    def rest(self) -> bytes:
        """Returns what came behind the peer's close_notify, once."""
        return self._incoming.read()

    def send(self, data: bytes | memoryview) -> None:
        """Encrypts plaintext, before ``end_sending``."""
        view = memoryview(data)
        while view:
            view = view[self._session.write(view) :]

    def end_sending(self) -> None:
        """Queues a close_notify. The peer's direction goes on. Raises ssl.SSLError."""
        if self.sending_ended:
            return
        # The library looks for the peer's close_notify in the same call, and holds any other record to be an error.
        block = memoryview(bytearray(_READ_BYTES))
        while count := self._read_record(block):
            self._backlog += block[:count]
        self.sending_ended = True
        try:
            self._session.unwrap()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            if not self.receiving_ended:
                raise

    def data_to_send(self) -> bytes:
        """Returns everything that must go to the transport."""
        return self._outgoing.read()

    def release(self) -> None:
        """Gives the session's memory back, after both directions ended and ``rest`` was taken; nothing else may follow."""
        del self._session, self._incoming, self._outgoing

    def session_name(self) -> str:
        """Returns a name of this session that both ends, and nobody else, can compute; hexadecimal.

        It is made of the handshake's Finished message, which differs in each session and travels encrypted. Somebody who ends
        the TLS of both sides and passes on what is said in it, as some balancers and inspecting proxies do, has two sessions.
        """
        # Without a Finished message the name is one that nobody else has.
        finished = self._session.get_channel_binding("tls-unique") or os.urandom(32)
        return hashlib.sha256(_NAME_PREFIX + finished).hexdigest()

    def _read_record(self, buffer: memoryview) -> int:
        if self.receiving_ended:
            return 0
        try:
            # At most one record of 16 KiB for each call.
            count = cast(int, self._session.read(len(buffer), buffer))
        except ssl.SSLWantReadError:
            return 0
        except ssl.SSLZeroReturnError:
            count = 0
        if count == 0:
            self.receiving_ended = True
        return count
