"""What an unmodified application gets for each Reason (design C20): truthful, and at once.

TCP. A reset makes ``connect()`` fail at once with ECONNREFUSED on every system. What ICMP does in SYN_SENT depends on the
system: Linux fails at once with the error that belongs to the code, others only note it and go on retrying (RFC 1122
section 4.2.3.9 calls most codes soft). So a refusal of TCP that is more than "connection refused" is the ICMP error
*and then* a reset: the first one that counts ends the attempt, and there is no system on which the application hangs.

    Unreachable   ICMP v4, v6     connect() on Linux, IPv4   IPv6
    PORT          3/3, 1/4        ECONNREFUSED               ECONNREFUSED
    PROHIBITED    3/13, 1/1       EHOSTUNREACH               EACCES
    HOST          3/1, 1/3        EHOSTUNREACH               EHOSTUNREACH
    NETWORK       3/0, 1/0        ENETUNREACH                ENETUNREACH

UDP and echo get the ICMP error alone.
"""

from typing import Final

from client.packet.build import Unreachable, framed, tcp_reset, unreachable
from client.packet.checksum import Buffer
from client.packet.model import TcpSegment
from protocol.reasons import Reason

_EXPLICIT: Final = {
    Reason.CONNECTION_REFUSED: Unreachable.PORT,
    Reason.CONNECTION_RESET: Unreachable.PORT,
    Reason.CANCELLED: Unreachable.PORT,
    Reason.NETWORK_UNREACHABLE: Unreachable.NETWORK,
    Reason.CONTROLLER_UNREACHABLE: Unreachable.NETWORK,
    Reason.RELAY_UNREACHABLE: Unreachable.NETWORK,
    Reason.SIGN_IN_REQUIRED: Unreachable.PROHIBITED,
    Reason.FORBIDDEN: Unreachable.PROHIBITED,
}
_POLICY_NUMBERS: Final = range(20, 70)
"""Policy, tokens, keys and proofs."""


def unreachable_for(reason: Reason) -> Unreachable:
    """Returns what the application is told; what is neither named nor a matter of policy is an unreachable host."""
    if reason in _EXPLICIT:
        return _EXPLICIT[reason]
    return Unreachable.PROHIBITED if reason.number in _POLICY_NUMBERS else Unreachable.HOST


def refuse_tcp(packet: Buffer, segment: TcpSegment, reason: Reason) -> tuple[bytes, ...]:
    """Returns the frames that end the connection attempt whose SYN is ``packet`` (without vnet header)."""
    why = unreachable_for(reason)
    reset = framed(tcp_reset(segment))
    return (reset,) if why is Unreachable.PORT else (framed(unreachable(packet, why)), reset)


def refuse_datagram(packet: Buffer, reason: Reason) -> bytes:
    """Returns the frame that tells the sender of a UDP datagram or echo request."""
    return framed(unreachable(packet, unreachable_for(reason)))
