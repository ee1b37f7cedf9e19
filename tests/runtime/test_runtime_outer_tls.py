"""The TLS of a leg as a machine: it ends in one direction, in the other, and loses nothing on the way."""

import _ssl
import ctypes
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tls_material import tls_material

from runtime.outer_tls import ANSWERS_MAX_BYTES, OuterTls
from runtime.trust import client_context, server_context


class End:
    """One end and what it was told."""

    def __init__(self, tls: OuterTls) -> None:
        self.tls = tls
        self.heard = b""
        self.buffer = memoryview(bytearray(100_000))

    def receive(self, wire: bytes) -> None:
        """Takes bytes of the connection, whatever they are."""
        if self.tls.receiving_ended:
            self.heard += wire
            return
        self.tls.receive_data(wire)
        while count := self.tls.read_into(self.buffer):
            self.heard += self.buffer[:count]
        if self.tls.receiving_ended:
            self.heard += self.tls.rest()

    def say(self, data: bytes) -> bytes:
        """Returns what goes on the wire for ``data``."""
        if self.tls.sending_ended:
            return data
        self.tls.send(data)
        return self.tls.data_to_send()

    def end(self) -> bytes:
        """Returns the end of TLS."""
        self.tls.end_sending()
        return self.tls.data_to_send()


def session(host: str = "localhost") -> tuple[End, End]:
    """Returns both ends of a new session."""
    material = tls_material()
    client = End(OuterTls.client(client_context(material.ca_pem), host))
    server = End(OuterTls.server(server_context(material.cert_pem, material.key_pem)))
    done = False
    while not done:
        done = client.tls.handshake()
        server.tls.receive_data(client.tls.data_to_send())
        done = server.tls.handshake() and done
        client.tls.receive_data(server.tls.data_to_send())
    return client, server


def test_each_direction_ends_by_itself() -> None:
    client, server = session()
    server.receive(client.say(b"encrypted, ") + client.end() + client.say(b"bare"))
    assert server.heard == b"encrypted, bare"
    assert server.tls.receiving_ended
    assert not server.tls.sending_ended
    wire = server.say(b"still encrypted")
    assert b"encrypted" not in wire
    client.receive(wire)
    client.receive(server.end() + b" no more")
    assert client.heard == b"still encrypted no more"


def test_what_came_before_the_end_and_was_not_read_is_kept() -> None:
    client, server = session()
    client.tls.receive_data(server.say(b"a" * 50_000))
    client.end()
    client.receive(server.say(b"b"))
    assert client.heard == b"a" * 50_000 + b"b"


def test_a_record_cut_in_two_by_our_end_arrives() -> None:
    client, server = session()
    wire = server.say(b"one record")
    client.tls.receive_data(wire[:9])
    server.receive(client.end())
    client.receive(wire[9:])
    assert client.heard == b"one record"


def test_both_ends_name_their_session_alike_and_no_other() -> None:
    client, server = session()
    assert client.tls.session_name() == server.tls.session_name()
    assert client.tls.session_name() != session()[0].tls.session_name()


def test_another_host_is_refused() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        session("elsewhere.example")


def test_a_changed_record_is_an_error() -> None:
    client, server = session()
    wire = bytearray(client.say(b"hello"))
    wire[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        server.receive(bytes(wire))


@given(
    steps=st.lists(st.tuples(st.booleans(), st.one_of(st.none(), st.binary(max_size=40_000))), max_size=30),
    cut=st.integers(1, 5_000),
)
def test_any_order_of_words_and_ends_arrives_whole(steps: list[tuple[bool, bytes | None]], cut: int) -> None:
    client, server = session()
    said = {True: b"", False: b""}
    for by_client, data in steps:
        speaker, listener = (client, server) if by_client else (server, client)
        wire = speaker.end() if data is None else speaker.say(data)
        said[by_client] += data or b""
        listener.receive(wire[:cut])
        listener.receive(wire[cut:])
    assert (server.heard, client.heard) == (said[True], said[False])


class KeyUpdater:
    """A client that can ask for new keys, which Python's own cannot: OpenSSL as it is, over memory."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(_ssl.__file__)
        self._session = self._pointer("SSL_new", self._pointer("SSL_CTX_new", self._pointer("TLS_client_method")))
        self._incoming, self._outgoing = (self._pointer("BIO_new", self._pointer("BIO_s_mem")) for _ in range(2))
        self._lib.SSL_set_bio(self._session, self._incoming, self._outgoing)
        self._lib.SSL_set_connect_state(self._session)

    def handshake(self, answer: bytes) -> bytes:
        """Takes what the server said; returns what it is told."""
        self._lib.BIO_write(self._incoming, answer, len(answer))
        self._lib.SSL_do_handshake(self._session)
        return self._sent()

    def ask(self) -> bytes:
        """Returns one KeyUpdate that asks for one in return."""
        assert self._lib.SSL_key_update(self._session, 1) == 1
        assert self._lib.SSL_do_handshake(self._session) == 1
        return self._sent()

    def _sent(self) -> bytes:
        block = ctypes.create_string_buffer(16_384)
        count = self._lib.BIO_read(self._outgoing, block, len(block))
        return block.raw[: max(0, count)]

    def _pointer(self, name: str, *arguments: ctypes.c_void_p) -> ctypes.c_void_p:
        function = self._lib[name]
        function.restype = ctypes.c_void_p
        return ctypes.c_void_p(function(*arguments))


@pytest.mark.parametrize("ended", [False, True], ids=["sending", "after our end"])
def test_t25_answers_that_nobody_takes_do_not_pile_up(ended: bool) -> None:
    material = tls_material()
    server = OuterTls.server(server_context(material.cert_pem, material.key_pem))
    client, answer = KeyUpdater(), b""
    done = False
    while not done:
        server.receive_data(client.handshake(answer))
        done = server.handshake()
        answer = server.data_to_send()
    buffer = memoryview(bytearray(100))
    for _ in range(50):
        server.receive_data(client.ask())
        assert server.read_into(buffer) == 0, "a few are in order"
    server.send(b"takes the answers along")
    assert server.data_to_send()
    if ended:
        server.end_sending()
        server.data_to_send()
    with pytest.raises(ssl.SSLError):  # noqa: PT012 - which one it is that is too many, is not said
        for _ in range(ANSWERS_MAX_BYTES):
            server.receive_data(client.ask())
            server.read_into(buffer)
    assert len(server.data_to_send()) < ANSWERS_MAX_BYTES + 100
