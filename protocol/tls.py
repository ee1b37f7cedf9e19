"""The inner TLS of a tunnel: TLS 1.3 between client and connector over memory BIOs (design C14; threats T-60 to T-63).

A sans-I/O machine around pyOpenSSL, which unlike the standard library has the exporter that proofs are bound to (D1).
The server shows a self-signed certificate, the client knows it by its pin alone: no CA, no client certificate, no
resumption, no early data. Feed it with ``receive_data`` and ``send``; after each call drain ``next_event`` and hand
``data_to_send`` to the transport, also after an error, because an alert may be in it.

Per-byte costs decide here: one OpenSSL write for any amount of plaintext, one large read of the outgoing BIO, one joined
event for what one ``receive_data`` brought.
"""

import hmac
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from OpenSSL import SSL

from protocol.errors import LocalError, LocalProtocolError, RemoteError
from protocol.ids import SpkiPin
from protocol.limits import LEG_MESSAGE_MAX_BYTES
from protocol.reasons import Reason
from protocol.tokens.keys import key_from_pem, pin_of

EXPORTER_LABEL: Final = b"EXPORTER-Channel-Binding"
"""RFC 9266 section 4; with an empty context and 32 bytes."""
EXPORTER_BYTES: Final = 32
PLAINTEXT_MAX_BYTES: Final = LEG_MESSAGE_MAX_BYTES
"""Plaintext that may be sent before ``data_to_send`` is called; bounds the outgoing BIO."""
HANDSHAKE_MAX_BYTES: Final = 128 * 1024
"""What a peer may send without finishing the handshake; ours has less than 4 KiB."""

_CIPHERS: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
_GROUPS: Final = frozenset({"x25519", "secp256r1", "prime256v1", "x25519mlkem768"})
"""Key exchanges that we go on with (T-62). pyOpenSSL cannot restrict the offer to them, so the outcome is checked."""
_MODE_PARTIAL_WRITE: Final = 0x1
"""SSL_MODE_ENABLE_PARTIAL_WRITE: pyOpenSSL sets it; without it one write takes any number of records."""
_RECORD_MAX_BYTES: Final = 16 * 1024 + 256 + 5
"""RFC 8446 section 5.2: part of such a record may be left from before."""
_PROBE_BYTES: Final = 4 * 1024
_COPY_BELOW_BYTES: Final = 16 * 1024
"""A smaller outcome is copied out of its buffer; a larger one is handed out in it, as a view that keeps it alive."""
_lib: Any = vars(SSL)["_lib"]
_ffi: Any = vars(SSL)["_ffi"]
"""pyOpenSSL's binding, for what its own API does too slowly: reading, writing, and moving bytes in and out of the BIOs. Around
each such call it converts, checks and asks for errors in Python, which for a small message costs more than the encryption."""
_allocate = _ffi.new_allocator(should_clear_after_alloc=False)


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """The handshake ended and, at the client, the pin matched. ``pin`` is that of the server's leaf certificate."""

    pin: SpkiPin


@dataclass(slots=True, unsafe_hash=True)
class DataReceived:
    """Plaintext from the peer. Not frozen, because it is the one event on the hot path."""

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class TlsClosed:
    """The peer will send nothing more: NORMAL after its close_notify, else TUNNEL_LOST or TLS_FAILED."""

    reason: Reason


TlsEvent = HandshakeDone | DataReceived | TlsClosed


class TunnelTls:
    """One end of a tunnel's TLS session; made by ``client`` or ``server``."""

    def __init__(self, connection: SSL.Connection, *, pins: frozenset[SpkiPin], own_pin: SpkiPin | None) -> None:
        self._connection = connection
        inside = vars(connection)
        self._handle = inside["_ssl"]
        self._incoming = inside["_into_ssl"]
        self._outgoing = inside["_from_ssl"]
        self._pins = pins
        self._own_pin = own_pin
        self._events: deque[TlsEvent] = deque()
        self._exporter: bytes | None = None
        self._failure: RemoteError | None = None
        self._handshake_bytes = 0
        self._waiting = 0
        self._drain_size = 0
        self._peer_closed = False
        self._closed = False

    @classmethod
    def client(cls, pins: Collection[SpkiPin]) -> "TunnelTls":
        """The client's end; it goes on only if the server's leaf has one of ``pins``. Call ``start`` next."""
        connection = SSL.Connection(_client_context(), None)
        connection.set_connect_state()
        return cls(connection, pins=frozenset(pins), own_pin=None)

    @classmethod
    def server(cls, key_pem: bytes, certificate_pem: bytes) -> "TunnelTls":
        """The connector's end. Raises LocalError(STATE_CORRUPT) when key and certificate do not fit."""
        context, pin = _server_context(key_pem, certificate_pem)
        connection = SSL.Connection(context, None)
        connection.set_accept_state()
        return cls(connection, pins=frozenset(), own_pin=pin)

    def start(self) -> None:
        """Makes the client's first flight; does nothing at the server."""
        if self._own_pin is None and self._exporter is None:
            self._handshake()

    def receive_data(self, data: bytes | memoryview) -> None:
        """Takes bytes from the transport.

        Raises:
            RemoteError: TLS_FAILED or PIN_MISMATCH; the session is dead and raises the same again.
        """
        if self._failure is not None:
            raise self._failure
        if not data or self._peer_closed:
            return
        size = len(data)
        if _lib.BIO_write(self._incoming, _ffi.from_buffer(data), size) != size:
            raise self._fail(Reason.TLS_FAILED, "OpenSSL has no memory for what arrived")
        if self._exporter is None:
            self._handshake_bytes += size
            self._handshake()
            if self._exporter is None:
                if self._handshake_bytes > HANDSHAKE_MAX_BYTES:
                    raise self._fail(Reason.TLS_FAILED, "the handshake does not end")
                return
        self._read_plaintext(size + _RECORD_MAX_BYTES)

    def receive_eof(self) -> None:
        """Tells that the transport ended; without a close_notify before it, that is no regular end."""
        if not self._peer_closed and self._failure is None:
            self._end(Reason.TLS_FAILED if self._exporter is None else Reason.TUNNEL_LOST)

    def send(self, data: bytes | memoryview) -> None:
        """Encrypts plaintext; 16 KiB or more at a time is cheapest.

        Raises:
            LocalProtocolError: before HandshakeDone, after ``close``, or when more than PLAINTEXT_MAX_BYTES wait.
            RemoteError: the session failed.
        """
        if self._exporter is None or self._closed or self._failure is not None:
            raise self._failure or LocalProtocolError("TLS sends only between handshake and close")
        size = len(data)
        if not size:
            return
        if self._waiting + size > PLAINTEXT_MAX_BYTES:
            raise LocalProtocolError(f"more than {PLAINTEXT_MAX_BYTES} bytes wait for data_to_send")
        written = _lib.SSL_write(self._handle, _ffi.from_buffer(data), size)
        if written != size:
            try:
                self._connection._raise_ssl_error(self._handle, written)  # noqa: SLF001 - names the error as send would
            except SSL.Error as exc:
                raise self._fail(Reason.TLS_FAILED, _describe(exc)) from exc
            raise LocalProtocolError(f"OpenSSL took {written} of {size} bytes")
        self._waiting += size
        # Records add 22 bytes to each 16 KiB: one read of this size leaves the BIO empty but after many small sends.
        self._drain_size = self._waiting + (self._waiting >> 8) + _PROBE_BYTES

    def close(self) -> None:
        """Queues a close_notify; nothing can be sent after it. Harmless at any time."""
        if self._closed or self._exporter is None or self._failure is not None:
            self._closed = True
            return
        self._closed = True
        self._drain_size = self._drain_size or _PROBE_BYTES
        try:
            self._connection.shutdown()
        except SSL.Error as exc:
            raise self._fail(Reason.TLS_FAILED, _describe(exc)) from exc

    def data_to_send(self) -> bytes | memoryview:
        """Returns everything that must go to the transport; ``b""`` when that is nothing. Nobody else writes to a view of it."""
        size = self._drain_size
        if size == 0:
            return b""
        self._drain_size = self._waiting = 0
        first = self._bio_read(size)
        if len(first) < size:
            return first
        chunks = [first]
        while len(chunks[-1]) == size:
            chunks.append(self._bio_read(size))
        return b"".join(chunks)

    def next_event(self) -> TlsEvent | None:
        """Returns the next event, or None."""
        return self._events.popleft() if self._events else None

    def exporter(self) -> bytes:
        """Returns the 32 bytes that only the two ends of this session know (RFC 9266). Handshake first."""
        if self._exporter is None:
            raise LocalProtocolError("no exporter before the handshake has ended")
        return self._exporter

    def _handshake(self) -> None:
        self._drain_size = self._drain_size or _PROBE_BYTES
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as exc:
            raise self._fail(Reason.TLS_FAILED, _describe(exc)) from exc
        group = (self._connection.get_group_name() or "").lower()
        if self._connection.get_protocol_version() != SSL.TLS1_3_VERSION or group not in _GROUPS:
            raise self._refuse(Reason.TLS_FAILED, f"TLS with key exchange {group!r}")
        pin = self._own_pin or self._matching_pin()
        self._exporter = self._connection.export_keying_material(EXPORTER_LABEL, EXPORTER_BYTES, b"")
        self._events.append(HandshakeDone(pin))

    def _matching_pin(self) -> SpkiPin:
        """Returns the pin of the leaf, which is all that a connector is known by (D3); never looks at a chain."""
        try:
            leaf = self._connection.get_peer_certificate(as_cryptography=True)
            seen = pin_of(leaf.public_key()) if leaf is not None else SpkiPin("")
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as exc:
            raise self._refuse(Reason.PIN_MISMATCH, "the certificate cannot be read") from exc
        matches = [hmac.compare_digest(seen.encode(), pin.encode()) for pin in self._pins]
        if not any(matches):
            raise self._refuse(Reason.PIN_MISMATCH, f"seen {seen}, expected {' or '.join(sorted(self._pins))}")
        return seen

    def _read_plaintext(self, most: int) -> None:
        """Reads all that is there, at most ``most`` bytes.

        Reading makes nothing to send: OpenSSL answers a KeyUpdate with its next write.
        """
        data, ended = _read_records(self._connection, self._handle, most)
        if data:
            self._events.append(DataReceived(data))
        if isinstance(ended, SSL.ZeroReturnError):
            self._end(Reason.NORMAL)
        elif ended is not None:
            raise self._fail(Reason.TLS_FAILED, _describe(ended)) from ended

    def _end(self, reason: Reason) -> None:
        self._peer_closed = True
        self._events.append(TlsClosed(reason))

    def _fail(self, reason: Reason, detail: str) -> RemoteError:
        """Makes the session dead; an alert that OpenSSL wrote still goes out."""
        self._failure = RemoteError(reason, detail)
        self._drain_size = self._drain_size or _PROBE_BYTES
        return self._failure

    def _refuse(self, reason: Reason, detail: str) -> RemoteError:
        """Makes the session dead and drops what was to go out: without our Finished the peer has no session."""
        self._bio_read(HANDSHAKE_MAX_BYTES)
        error = self._fail(reason, detail)
        self._drain_size = 0
        return error

    def _bio_read(self, size: int) -> bytes | memoryview:
        buffer = _allocate("char[]", size)
        count = _lib.BIO_read(self._outgoing, buffer, size)
        return _content(buffer, count, size) if count > 0 else b""


def _content(buffer: Any, size: int, allocated: int) -> bytes | memoryview:
    """Returns the first bytes of ``buffer``; not so that a few of them keep much memory."""
    content = _ffi.buffer(buffer, size)
    if size < _COPY_BELOW_BYTES or size < allocated // 2:
        return cast(bytes, content[:])
    return memoryview(content)


def _read_records(connection: SSL.Connection, handle: Any, most: int) -> tuple[bytes | memoryview, SSL.Error | None]:
    """Returns the plaintext of all complete records, and what stopped the reading unless it was want of data.

    SSL_read gives one record of 16 KiB. ``Connection.recv`` would allocate twice, copy twice and look for errors for each
    of them, which costs half as much as decrypting does; here that is done once for all.
    """
    buffer = _allocate("char[]", most)
    size, count = 0, 1
    while count > 0 and size < most:
        count = _lib.SSL_read(handle, buffer + size, most - size)
        size += max(count, 0)
    ended: SSL.Error | None = None
    if count <= 0 and _lib.SSL_get_error(handle, count) != _lib.SSL_ERROR_WANT_READ:
        try:
            connection._raise_ssl_error(handle, count)  # noqa: SLF001 - names the error as recv would
        except SSL.Error as exc:
            ended = exc
    return _content(buffer, size, most), ended


def _base_context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(_CIPHERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(
        SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    # pyOpenSSL cannot set the number of tickets to zero: OpenSSL still sends two, but they name sessions that no cache
    # holds, so that every resumption falls back to a full handshake (S-5).
    context.clear_mode(_MODE_PARTIAL_WRITE)
    # Verification by chains is off on purpose: the pin of the leaf is the whole identity (D3).
    context.set_verify(SSL.VERIFY_NONE)
    return context


@lru_cache(maxsize=1)
def _client_context() -> SSL.Context:
    return _base_context(SSL.TLS_CLIENT_METHOD)


@lru_cache(maxsize=4)
def _server_context(key_pem: bytes, certificate_pem: bytes) -> tuple[SSL.Context, SpkiPin]:
    """Built once for each key: a new context per tunnel would cost more than the handshake."""
    key = key_from_pem(key_pem)
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        pin = pin_of(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise LocalError(Reason.STATE_CORRUPT, "the certificate cannot be read") from exc
    if pin != pin_of(key.public_key()):
        raise LocalError(Reason.STATE_CORRUPT, "the certificate is not for the private key")
    context = _base_context(SSL.TLS_SERVER_METHOD)
    context.use_privatekey(key)
    context.use_certificate(certificate)
    return context, pin


def _describe(error: SSL.Error) -> str:
    """Returns OpenSSL's own words: never payload."""
    match error.args:
        case ([*entries],) if entries:
            return "; ".join(str(entry[-1]) for entry in entries)
    return type(error).__name__
