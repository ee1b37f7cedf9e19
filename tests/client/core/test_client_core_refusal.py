"""What the application gets for each Reason."""

import pytest
from packet_reference import Tcp, assert_valid, udp

from client.core.refusal import refuse_datagram, refuse_tcp, unreachable_for
from client.packet.build import Unreachable
from client.packet.model import TcpFlag, TcpSegment
from client.packet.parse import parse
from protocol.reasons import Reason

PAIRS = [("100.96.0.1", "10.99.0.5"), ("fd6f::1", "fd99::5")]


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        (Reason.CONNECTION_REFUSED, Unreachable.PORT),
        (Reason.HOST_UNREACHABLE, Unreachable.HOST),
        (Reason.CONNECT_TIMEOUT, Unreachable.HOST),
        (Reason.TIMEOUT, Unreachable.HOST),
        (Reason.NO_CONNECTOR, Unreachable.HOST),
        (Reason.TUNNEL_LOST, Unreachable.HOST),
        (Reason.NAME_NOT_FOUND, Unreachable.HOST),
        (Reason.LIMIT_EXCEEDED, Unreachable.HOST),
        (Reason.NETWORK_UNREACHABLE, Unreachable.NETWORK),
        (Reason.CONTROLLER_UNREACHABLE, Unreachable.NETWORK),
        (Reason.NOT_A_RESOURCE, Unreachable.PROHIBITED),
        (Reason.PORT_NOT_ALLOWED, Unreachable.PROHIBITED),
        (Reason.ACCESS_REVOKED, Unreachable.PROHIBITED),
        (Reason.EGRESS_FORBIDDEN, Unreachable.PROHIBITED),
        (Reason.LEASE_EXPIRED, Unreachable.PROHIBITED),
        (Reason.PIN_MISMATCH, Unreachable.PROHIBITED),
        (Reason.SIGN_IN_REQUIRED, Unreachable.PROHIBITED),
    ],
)
def test_table(reason: Reason, why: Unreachable) -> None:
    assert unreachable_for(reason) is why


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("pair", PAIRS)
def test_every_reason_ends_a_connection_attempt_at_once(reason: Reason, pair: tuple[str, str]) -> None:
    packet = Tcp(*pair, 50000, 443, flags=int(TcpFlag.SYN), sequence=41).frame()[10:]
    segment = parse(packet)
    assert isinstance(segment, TcpSegment)
    frames = refuse_tcp(packet, segment, reason)
    for frame in frames:
        assert_valid(frame[10:])
    reset = parse(frames[-1][10:])
    assert isinstance(reset, TcpSegment)
    assert reset.flags & TcpFlag.RST
    assert reset.acknowledgement == 42
    assert len(frames) == (1 if unreachable_for(reason) is Unreachable.PORT else 2)


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("pair", PAIRS)
def test_every_reason_has_an_icmp_error_for_datagrams(reason: Reason, pair: tuple[str, str]) -> None:
    frame = refuse_datagram(udp(*pair, 5000, 53, b"question"), reason)
    assert_valid(frame[10:])
    start = 20 if pair is PAIRS[0] else 40
    assert frame[10 + start] == (3 if start == 20 else 1)
