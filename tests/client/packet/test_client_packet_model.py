"""Packet values."""

import pytest

from client.packet.model import TcpFlag, TcpSegment, endpoints


@pytest.mark.parametrize(
    ("flags", "opens"),
    [
        (TcpFlag.SYN, True),
        (TcpFlag.SYN | TcpFlag.PSH, True),
        (TcpFlag.SYN | TcpFlag.ACK, False),
        (TcpFlag.SYN | TcpFlag.RST, False),
        (TcpFlag.ACK, False),
        (TcpFlag(0), False),
    ],
)
def test_only_a_bare_syn_opens(flags: TcpFlag, opens: bool) -> None:
    assert TcpSegment(b"", b"", 1, 2, 0, 0, int(flags), 0).opens is opens


def test_endpoints_lie_as_in_a_packet() -> None:
    assert endpoints(b"AAAA", b"BBBB", 0x0102, 0x0304) == b"AAAABBBB\x01\x02\x03\x04"
