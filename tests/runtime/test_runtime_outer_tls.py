"""The TLS of a leg as a machine: it ends in one direction, in the other, and loses nothing on the way."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tls_material import tls_material

from runtime.outer_tls import OuterTls
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
