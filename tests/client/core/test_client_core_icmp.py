"""Echo requests and their replies."""

import pytest
from client_packets import APP, SERVER, World, opened, written
from packet_reference import assert_valid, echo, packed

from client.core.commands import CloseAssociation, WriteFrame
from client.packet.model import Echo
from protocol.limits import ICMP_IDLE_S
from protocol.reasons import Reason

VERSIONS = [4, 6]


@pytest.mark.parametrize("version", VERSIONS)
def test_request_and_reply(version: int) -> None:
    world = World()
    table = world.interceptor.icmp
    association = opened(world.send_echo(b"payload", version, identifier=0x1234, sequence=2)).association
    assert association.target.port is None
    assert str(association.target.host) == SERVER[version]
    assert list(association.outgoing) == [b"\x12\x34\x00\x02payload"]
    table.opened(association)
    (command,) = table.reply(association, b"\x12\x34\x00\x02payload", world.now)
    assert isinstance(command, WriteFrame)
    assert_valid(command.frame[10:])
    expected = Echo(packed(SERVER[version]), packed(APP[version]), 0x1234, 2, b"payload", reply=True)
    assert written([command]) == [expected]


def test_one_ping_is_one_association() -> None:
    world = World()
    association = opened(world.send_echo(b"", sequence=1)).association
    assert world.send_echo(b"", sequence=2) == ()
    assert len(association.outgoing) == 2
    assert opened(world.send_echo(b"", identifier=8)).association is not association


def test_reply_keeps_our_identifier_whatever_the_connector_says() -> None:
    world = World()
    association = opened(world.send_echo(b"", identifier=7)).association
    world.interceptor.icmp.opened(association)
    (reply,) = written(world.interceptor.icmp.reply(association, b"\xff\xff\x00\x01x", world.now))
    assert isinstance(reply, Echo)
    assert reply.identifier == 7


@pytest.mark.parametrize("datagram", [b"", b"\x00\x07\x00", bytes(65001)])
def test_malformed_reply_is_dropped(datagram: bytes) -> None:
    world = World()
    association = opened(world.send_echo(b"")).association
    world.interceptor.icmp.opened(association)
    assert world.interceptor.icmp.reply(association, datagram, world.now) == []


def test_reply_before_opening_and_after_the_end_is_dropped() -> None:
    world = World()
    association = opened(world.send_echo(b"")).association
    assert world.interceptor.icmp.reply(association, bytes(4), world.now) == []
    assert world.interceptor.tick(world.now + ICMP_IDLE_S) == [CloseAssociation(association, Reason.NORMAL)]
    assert world.interceptor.icmp.reply(association, bytes(4), world.now) == []


def test_replies_of_applications_are_of_no_use() -> None:
    world = World()
    assert world.send_packet(echo(APP[4], SERVER[4], 1, 1, b"", reply=True)) == ()
