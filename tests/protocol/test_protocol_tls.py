"""The inner TLS against honest and hostile peers (S-3, S-5, S-12, T-60, T-62, T-63)."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from protocol.errors import LocalError, LocalProtocolError, RemoteError
from protocol.ids import SpkiPin
from protocol.reasons import Reason
from protocol.tls import PLAINTEXT_MAX_BYTES, DataReceived, HandshakeDone, TlsClosed, TlsEvent, TunnelTls
from protocol.tokens.keys import key_to_pem, pin_of, self_signed_certificate

NOW = datetime(2027, 1, 1, tzinfo=UTC)
KEY = ec.derive_private_key(0x5005, ec.SECP256R1())
NEXT_KEY = ec.derive_private_key(0x6006, ec.SECP256R1())
EVIL_KEY = ec.derive_private_key(0x7007, ec.SECP256R1())
PIN, NEXT_PIN, EVIL_PIN = (pin_of(key.public_key()) for key in (KEY, NEXT_KEY, EVIL_KEY))


def certificate(key: ec.EllipticCurvePrivateKey, *, days: int = 365, serial: int = 1) -> bytes:
    return self_signed_certificate(
        key, common_name="connector", serial=serial, not_before=NOW, not_after=NOW + timedelta(days=days)
    )


def make_server(key: ec.EllipticCurvePrivateKey = KEY) -> TunnelTls:
    return TunnelTls.server(key_to_pem(key), certificate(key))


def drain(tls: TunnelTls) -> list[TlsEvent]:
    events = []
    while (event := tls.next_event()) is not None:
        events.append(event)
    return events


def plaintext(tls: TunnelTls) -> bytes:
    return b"".join(event.data for event in drain(tls) if isinstance(event, DataReceived))


def pump(one: TunnelTls, two: TunnelTls) -> None:
    """Carries bytes both ways until neither has any."""
    while True:
        up, down = one.data_to_send(), two.data_to_send()
        if not up and not down:
            return
        two.receive_data(up)
        one.receive_data(down)


def connected(pins: list[SpkiPin] | None = None) -> tuple[TunnelTls, TunnelTls]:
    client, server = TunnelTls.client(pins or [PIN]), make_server()
    client.start()
    pump(client, server)
    assert drain(client) == drain(server) == [HandshakeDone(PIN)]
    return client, server


class RawPeer:
    """Somebody else's TLS: any version, any certificates; speaks bytes with a TunnelTls."""

    def __init__(self, context: SSL.Context, *, server: bool) -> None:
        self.connection = SSL.Connection(context, None)
        if server:
            self.connection.set_accept_state()
        else:
            self.connection.set_connect_state()

    def step(self, data: bytes = b"") -> bytes:
        """Takes bytes, goes on with the handshake, returns its bytes. Raises SSL.Error when it fails."""
        if data:
            self.connection.bio_write(data)
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error:
            self.output()
            raise
        return self.output()

    def output(self) -> bytes:
        try:
            return self.connection.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""


def evil_server(key: ec.EllipticCurvePrivateKey, *more: bytes) -> RawPeer:
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_privatekey(key)
    context.use_certificate(x509.load_pem_x509_certificate(certificate(key)))
    for pem in more:
        context.add_extra_chain_cert(x509.load_pem_x509_certificate(pem))
    return RawPeer(context, server=True)


def refusal_at_client(server: RawPeer, pins: list[SpkiPin]) -> tuple[RemoteError, TunnelTls]:
    client = TunnelTls.client(pins)
    client.start()
    with pytest.raises(RemoteError) as caught:
        client.receive_data(server.step(client.data_to_send()))
    assert drain(client) == []
    return caught.value, client


def test_both_ends_finish_and_share_the_exporter() -> None:
    client, server = connected()
    assert client.exporter() == server.exporter()
    assert len(client.exporter()) == 32


def test_two_sessions_never_share_an_exporter() -> None:
    assert connected()[0].exporter() != connected()[0].exporter()


@pytest.mark.parametrize("size", [1, 100, 16_384, 16_385, 300_000, PLAINTEXT_MAX_BYTES])
def test_data_goes_both_ways(size: int) -> None:
    client, server = connected()
    data = bytes(range(256)) * (size // 256 + 1)
    client.send(memoryview(data)[:size])
    server.send(data[:size])
    pump(client, server)
    assert plaintext(server) == plaintext(client) == data[:size]
    client.send(b"")
    assert client.data_to_send() == b""


def test_many_small_sends_leave_nothing_behind() -> None:
    client, server = connected()
    for number in range(1000):
        client.send(number.to_bytes(2, "big"))
    server.receive_data(client.data_to_send())
    assert client.data_to_send() == b""
    assert plaintext(server) == b"".join(number.to_bytes(2, "big") for number in range(1000))


def test_records_of_one_feed_become_one_event() -> None:
    client, server = connected()
    client.send(bytes(64 * 1024))
    server.receive_data(memoryview(client.data_to_send()))
    assert drain(server) == [DataReceived(bytes(64 * 1024))]


def test_data_right_behind_the_finished_is_taken_in_one_feed() -> None:
    client, server = TunnelTls.client([PIN]), make_server()
    client.start()
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    client.send(b"proof")
    server.receive_data(client.data_to_send())
    assert drain(server) == [HandshakeDone(PIN), DataReceived(b"proof")]


def test_bytes_may_come_one_by_one() -> None:
    client, server = TunnelTls.client([PIN]), make_server()
    client.start()
    for _ in range(3):
        for sender, receiver in ((client, server), (server, client)):
            for byte in sender.data_to_send():
                receiver.receive_data(bytes([byte]))
    assert drain(client) == drain(server) == [HandshakeDone(PIN)]


def test_the_outgoing_buffer_is_bounded() -> None:
    client, _ = connected()
    client.send(bytes(PLAINTEXT_MAX_BYTES))
    with pytest.raises(LocalProtocolError):
        client.send(b"x")
    assert len(client.data_to_send()) > PLAINTEXT_MAX_BYTES
    client.send(b"x")


def test_nothing_is_sent_or_exported_before_the_handshake_or_after_close() -> None:
    client = TunnelTls.client([PIN])
    client.start()
    for use in (client.exporter, lambda: client.send(b"x")):
        with pytest.raises(LocalProtocolError):
            use()
    client.close()
    done, _ = connected()
    done.close()
    with pytest.raises(LocalProtocolError):
        done.send(b"x")
    assert len(done.exporter()) == 32


def test_close_notify_is_a_regular_end_and_half_a_connection_goes_on() -> None:
    client, server = connected()
    client.send(b"last words")
    client.close()
    client.close()
    server.receive_data(client.data_to_send())
    assert drain(server) == [DataReceived(b"last words"), TlsClosed(Reason.NORMAL)]
    server.receive_data(b"ignored")
    server.receive_eof()
    server.send(b"answer")
    client.receive_data(server.data_to_send())
    assert plaintext(client) == b"answer"
    assert drain(server) == []


def test_a_cut_is_no_regular_end() -> None:
    client, server = connected()
    client.receive_eof()
    assert drain(client) == [TlsClosed(Reason.TUNNEL_LOST)]
    fresh = TunnelTls.client([PIN])
    fresh.start()
    fresh.receive_eof()
    assert drain(fresh) == [TlsClosed(Reason.TLS_FAILED)]
    assert drain(server) == []


@pytest.mark.parametrize("position", [0, 3, 5, 20, -1])
def test_a_changed_record_kills_the_session(position: int) -> None:
    client, server = connected()
    client.send(b"some bytes of a request")
    record = bytearray(client.data_to_send())
    record[position] ^= 1
    if position == 3:
        record[3] = 0xFF
    with pytest.raises(RemoteError) as caught:
        server.receive_data(bytes(record))
    assert caught.value.reason is Reason.TLS_FAILED
    with pytest.raises(RemoteError):
        server.receive_data(b"more")
    with pytest.raises(RemoteError):
        server.send(b"more")
    server.close()
    server.receive_eof()
    assert drain(server) == []


def test_records_cannot_be_replayed_or_dropped() -> None:
    for replay in (True, False):
        client, server = connected()
        client.send(b"first")
        first = client.data_to_send()
        client.send(b"second")
        with pytest.raises(RemoteError):
            server.receive_data(first + first if replay else client.data_to_send())


def expand_label(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 section 7.1)."""
    name = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(name)]) + name + b"\x00"
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


def test_a_key_update_is_answered_with_the_next_bytes() -> None:
    secrets: dict[str, bytes] = {}

    def remember(_connection: SSL.Connection, line: bytes) -> None:
        label, _random, secret = line.decode().split()
        secrets[label] = bytes.fromhex(secret)

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_keylog_callback(remember)
    raw, server = RawPeer(context, server=False), make_server()
    server.receive_data(raw.step())
    server.receive_data(raw.step(server.data_to_send()))
    raw.connection.bio_write(server.data_to_send())
    assert raw.connection.get_cipher_name() == "TLS_AES_128_GCM_SHA256"

    secret = secrets["CLIENT_TRAFFIC_SECRET_0"]
    aead, nonce = AESGCM(expand_label(secret, b"key", 16)), expand_label(secret, b"iv", 12)
    update_requested = b"\x18\x00\x00\x01\x01" + b"\x16"
    head = b"\x17\x03\x03" + (len(update_requested) + 16).to_bytes(2, "big")
    server.receive_data(head + aead.encrypt(nonce, update_requested, head))
    assert drain(server) == [HandshakeDone(PIN)]
    server.send(b"answer")
    records = server.data_to_send()
    assert len(records) == len(head) + len(update_requested) + 16 + 5 + len(b"answer") + 1 + 16
    raw.connection.bio_write(records)
    assert raw.connection.recv(100) == b"answer"


# --- pins -------------------------------------------------------------------------------------------------------------


def test_s12_current_and_next_pin_both_pass() -> None:
    for key, pin in ((KEY, PIN), (NEXT_KEY, NEXT_PIN)):
        client, server = TunnelTls.client([PIN, NEXT_PIN]), make_server(key)
        client.start()
        pump(client, server)
        assert drain(client) == [HandshakeDone(pin)]


def test_s12_a_renewed_and_even_an_expired_certificate_of_the_same_key_passes() -> None:
    for days in (1, 3650):
        client = TunnelTls.client([PIN])
        server = TunnelTls.server(key_to_pem(KEY), certificate(KEY, days=days, serial=days))
        client.start()
        pump(client, server)
        assert drain(client) == [HandshakeDone(PIN)]


def test_t60_another_key_is_refused_before_a_byte_is_sent() -> None:
    error, client = refusal_at_client(evil_server(EVIL_KEY), [PIN, NEXT_PIN])
    assert error.reason is Reason.PIN_MISMATCH
    assert EVIL_PIN in error.detail
    assert client.data_to_send() == b""
    for use in (client.exporter, lambda: client.send(b"secret"), lambda: client.receive_data(b"x")):
        with pytest.raises((RemoteError, LocalProtocolError)):
            use()
    assert client.data_to_send() == b""


def test_t60_the_right_certificate_second_in_the_chain_is_refused() -> None:
    error, client = refusal_at_client(evil_server(EVIL_KEY, certificate(KEY)), [PIN])
    assert error.reason is Reason.PIN_MISMATCH
    assert client.data_to_send() == b""


def test_t60_extra_certificates_behind_the_right_leaf_change_nothing() -> None:
    client, server = TunnelTls.client([PIN]), evil_server(KEY, certificate(EVIL_KEY))
    client.start()
    client.receive_data(server.step(client.data_to_send()))
    assert drain(client) == [HandshakeDone(PIN)]


def test_t60_the_right_certificate_with_another_key_cannot_finish() -> None:
    with pytest.raises(LocalError) as caught:
        TunnelTls.server(key_to_pem(EVIL_KEY), certificate(KEY))
    assert caught.value.reason is Reason.STATE_CORRUPT
    # A hostile one signs with its own key over our certificate: the flight is spliced byte by byte.
    client = TunnelTls.client([PIN])
    client.start()
    flight = bytearray(evil_server(KEY).step(client.data_to_send()))
    flight[-100] ^= 1
    with pytest.raises(RemoteError) as refused:
        client.receive_data(bytes(flight))
    assert refused.value.reason is Reason.TLS_FAILED


def test_t60_no_pins_means_nobody() -> None:
    assert refusal_at_client(evil_server(KEY), [])[0].reason is Reason.PIN_MISMATCH


def test_a_server_needs_readable_files() -> None:
    for key, pem in ((b"", certificate(KEY)), (key_to_pem(KEY), b"garbage")):
        with pytest.raises(LocalError) as caught:
            TunnelTls.server(key, pem)
        assert caught.value.reason is Reason.STATE_CORRUPT


# --- somebody in between ----------------------------------------------------------------------------------------------


def test_s03_a_relay_that_ends_tls_makes_two_exporters() -> None:
    """Even one that holds the connector's key: both legs are valid, the proof's exporter is not the connector's."""
    client, to_client = TunnelTls.client([PIN]), make_server()
    to_connector, connector = TunnelTls.client([PIN]), make_server()
    for one, two in ((client, to_client), (to_connector, connector)):
        one.start()
        pump(one, two)
    assert client.exporter() != connector.exporter()


def test_s03_a_relay_without_the_key_cannot_end_tls() -> None:
    assert refusal_at_client(evil_server(EVIL_KEY), [PIN])[0].reason is Reason.PIN_MISMATCH


def old_context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    return context


def test_t62_s03_tls_1_2_is_refused_at_both_ends() -> None:
    server = make_server()
    with pytest.raises(RemoteError) as caught:
        server.receive_data(RawPeer(old_context(SSL.TLS_CLIENT_METHOD), server=False).step())
    assert caught.value.reason is Reason.TLS_FAILED
    assert server.data_to_send()[:1] == b"\x15"  # an alert, so that the other side knows why

    context = old_context(SSL.TLS_SERVER_METHOD)
    context.use_privatekey(KEY)
    context.use_certificate(x509.load_pem_x509_certificate(certificate(KEY)))
    client = TunnelTls.client([PIN])
    client.start()
    with pytest.raises(SSL.Error):
        RawPeer(context, server=True).step(client.data_to_send())
    assert drain(client) == []


def test_t62_an_unwanted_key_exchange_is_refused_at_both_ends() -> None:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_privatekey(KEY)
    context.use_certificate(x509.load_pem_x509_certificate(certificate(KEY)))
    context.set_tmp_ecdh(ec.SECP384R1())
    client, raw = TunnelTls.client([PIN]), RawPeer(context, server=True)
    client.start()
    client.receive_data(raw.step(client.data_to_send()))
    with pytest.raises(RemoteError) as caught:
        client.receive_data(raw.step(client.data_to_send()))
    assert caught.value.reason is Reason.TLS_FAILED
    assert client.data_to_send() == b""

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_tmp_ecdh(ec.SECP384R1())
    server, raw = make_server(), RawPeer(context, server=False)
    server.receive_data(raw.step())
    with pytest.raises(RemoteError) as caught:
        server.receive_data(raw.step(server.data_to_send()))
    assert caught.value.reason is Reason.TLS_FAILED
    assert drain(server) == []


@pytest.mark.parametrize(
    ("suites", "expected"),
    [
        (b"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        (b"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
        (b"TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    ],
)
def test_t62_the_server_chooses_the_cipher(suites: bytes, expected: str) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_tls13_ciphersuites(suites)
    raw, server = RawPeer(context, server=False), make_server()
    server.receive_data(raw.step())
    raw.step(server.data_to_send())
    assert raw.connection.get_cipher_name() == expected


def test_s05_a_session_cannot_be_resumed() -> None:
    """A resumed handshake shows no certificate: the second flight would be far smaller and would say so."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    session: SSL.Session | None = None
    sizes = []
    for _ in range(2):
        raw, server = RawPeer(context, server=False), make_server()
        if session is not None:
            raw.connection.set_session(session)
        server.receive_data(raw.step())
        flight = server.data_to_send()
        sizes.append(len(flight))
        server.receive_data(raw.step(flight))
        raw.connection.bio_write(server.data_to_send())
        with pytest.raises(SSL.WantReadError):
            raw.connection.recv(1)
        session = raw.connection.get_session()
        assert drain(server) == [HandshakeDone(PIN)]
    assert abs(sizes[0] - sizes[1]) < 16


def test_s05_early_data_is_never_accepted() -> None:
    """Application data behind a ClientHello, before our flight was answered, breaks the session."""
    client, server = TunnelTls.client([PIN]), make_server()
    client.start()
    with pytest.raises(RemoteError):
        server.receive_data(client.data_to_send() + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert drain(server) == []


def test_a_handshake_that_does_not_end_is_cut() -> None:
    hello = b"\x01\x01\xff\xf0"
    records = [b"\x16\x03\x01\x10\x00" + hello + bytes(4092)] + [b"\x16\x03\x01\x10\x00" + bytes(4096)] * 31
    server = make_server()
    for record in records[:30]:
        server.receive_data(record)
    with pytest.raises(RemoteError):
        server.receive_data(b"".join(records[30:]))
    for byte in (b"\x16", b"\x80", b"G"):
        other = make_server()
        with pytest.raises(RemoteError):
            other.receive_data(byte * 200_000)


def test_t63_no_key_log_is_written(tmp_path: Path) -> None:
    log = tmp_path / "keys.log"
    script = (
        "import test_protocol_tls as t\n"
        "client, server = t.connected()\n"
        "client.send(b'x'); server.receive_data(client.data_to_send())\n"
        "assert t.plaintext(server) == b'x'\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "SSLKEYLOGFILE": str(log), "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=60)
    assert not log.exists() or log.read_bytes() == b""


# --- any bytes --------------------------------------------------------------------------------------------------------


def feed(tls: TunnelTls, data: bytes) -> None:
    try:
        tls.receive_data(data)
    except RemoteError as exc:
        failure: RemoteError | None = exc
    else:
        failure = None
    assert failure is None or failure.reason in {Reason.TLS_FAILED, Reason.PIN_MISMATCH}
    assert not any(isinstance(event, DataReceived) for event in drain(tls))
    tls.data_to_send()


RECORDS = st.builds(
    lambda kind, body, lie: bytes([kind, 3, 3]) + (len(body) + lie).to_bytes(2, "big") + body,
    st.sampled_from([20, 21, 22, 23, 24]),
    st.binary(max_size=60),
    st.sampled_from([0, 0, 0, 1]),
)


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=80) | RECORDS, max_size=4))
def test_any_bytes_yield_our_errors_or_nothing(pieces: list[bytes]) -> None:
    client, server = TunnelTls.client([PIN]), make_server()
    client.start()
    for piece in pieces:
        feed(client, piece)
        feed(server, piece)


@settings(max_examples=40)
@given(st.lists(st.binary(min_size=1, max_size=80) | RECORDS, min_size=1, max_size=3))
def test_any_bytes_after_the_handshake_yield_our_errors_or_nothing(pieces: list[bytes]) -> None:
    client, server = connected()
    for piece in pieces:
        feed(client, piece)
        feed(server, piece)


POSITIONS = st.integers(0, 4095)


@settings(max_examples=60)
@given(st.data())
def test_any_changed_flight_yields_our_errors_or_nothing(data: st.DataObject) -> None:
    client, server = TunnelTls.client([PIN]), make_server()
    client.start()
    hello = bytearray(client.data_to_send())
    hello[data.draw(POSITIONS) % len(hello)] ^= data.draw(st.integers(1, 255))
    feed(server, bytes(hello))
    client, server = TunnelTls.client([PIN]), make_server()
    client.start()
    server.receive_data(client.data_to_send())
    flight = bytearray(server.data_to_send())
    flight[data.draw(POSITIONS) % len(flight)] ^= data.draw(st.integers(1, 255))
    feed(client, bytes(flight))
