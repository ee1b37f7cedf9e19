"""An interceptor between a pretended application and a pretended kernel, for tests of the client's core."""

from dataclasses import replace

from client_policy import WALL, entry, index
from packet_reference import VNET_PLAIN, Tcp, echo, udp

from client.core.addresses import AddressPlan, plan_addresses
from client.core.classify import Classifier
from client.core.commands import AskAccess, Command, OpenAssociation, WriteFrame
from client.core.flows import TcpFlow
from client.core.intercept import Interceptor
from client.core.synthetic import SyntheticPool
from client.packet.model import Packet, PacketDrop, TcpFlag
from client.packet.parse import parse
from protocol.acl.match import AclIndex

APP = {4: "100.96.0.1", 6: "fd6f:7374:6961::1"}
"""A, which is also the source address that applications use."""
PEER = {4: "100.96.0.2", 6: "fd6f:7374:6961::2"}
LISTEN_PORTS = {4: 40004, 6: 40006}
SERVER = {4: "10.99.0.5", 6: "fd99::5"}

SYN = int(TcpFlag.SYN)
SYN_ACK = int(TcpFlag.SYN | TcpFlag.ACK)
ACK = int(TcpFlag.ACK)
RST = int(TcpFlag.RST)


class World:
    """``now`` is monotonic; resources are 10.99.0.0/16 and fd99::/64 unless an index is given."""

    def __init__(self, acl: AclIndex | None = None) -> None:
        self.now = 1000.0
        self.plan: AddressPlan = plan_addresses([])
        self.pool = SyntheticPool(self.plan)
        self.classifier = Classifier(self.pool)
        self.classifier.set_clock(self.now, WALL)
        self.classifier.use(acl or index(entry("10.99.0.0/16"), entry("fd99::/64", number=2)))
        self.interceptor = Interceptor(self.classifier, self.plan, LISTEN_PORTS)

    def segment(self, version: int = 4, port: int = 50000, to_port: int = 443, **fields: object) -> Tcp:
        """A segment from the application to the server."""
        base = Tcp(APP[version], SERVER[version], port, to_port)
        return replace(base, **{"flags": SYN, **fields})  # type: ignore[arg-type]

    def send(self, segment: Tcp) -> tuple[Command, ...]:
        """A segment comes out of the device, first by the fast path; returns what the slow one commands."""
        frame = bytearray(segment.frame())
        if self.interceptor.forward(frame, len(frame)):
            return (WriteFrame(bytes(frame)),)
        return tuple(self.interceptor.handle(bytes(frame), self.now))

    def send_packet(self, packet: bytes, vnet: bytes = VNET_PLAIN) -> tuple[Command, ...]:
        """Any packet comes out of the device."""
        frame = bytearray(vnet + packet)
        if self.interceptor.forward(frame, len(frame)):
            return (WriteFrame(bytes(frame)),)
        return tuple(self.interceptor.handle(bytes(frame), self.now))

    def send_udp(self, payload: bytes, version: int = 4, port: int = 5000, to_port: int = 53) -> tuple[Command, ...]:
        """A datagram of the application."""
        return self.send_packet(udp(APP[version], SERVER[version], port, to_port, payload))

    def send_echo(
        self, payload: bytes, version: int = 4, identifier: int = 7, sequence: int = 1
    ) -> tuple[Command, ...]:
        """An echo request of the application."""
        return self.send_packet(echo(APP[version], SERVER[version], identifier, sequence, payload))

    def hold(self, version: int = 4, port: int = 50000, to_port: int = 443) -> TcpFlow:
        """The application begins to connect; returns the held flow."""
        (command,) = self.send(self.segment(version, port, to_port))
        assert isinstance(command, AskAccess)
        return command.flow

    def open(self, version: int = 4, port: int = 50000, to_port: int = 443) -> TcpFlow:
        """A connection up to its accepted socket."""
        flow = self.hold(version, port, to_port)
        self.interceptor.tcp.release(flow, self.now)
        assert self.interceptor.tcp.accepted(flow.port, self.now) is flow
        return flow

    def answer(self, flow: TcpFlow, **fields: object) -> Tcp:
        """A segment from our listener to N, as the kernel sends it into the device."""
        version = flow.destination[0].version
        base = Tcp(APP[version], PEER[version], LISTEN_PORTS[version], flow.port)
        return replace(base, **fields)  # type: ignore[arg-type]


def written(commands: tuple[Command, ...] | list[Command]) -> list[Packet | PacketDrop]:
    """Parses what is written into the device."""
    return [parse(command.frame[10:]) for command in commands if isinstance(command, WriteFrame)]


def icmp_codes(commands: tuple[Command, ...] | list[Command]) -> list[tuple[int, int]]:
    """Types and codes of the ICMP errors that are written."""
    found = []
    for command in commands:
        if isinstance(command, WriteFrame):
            packet = command.frame[10:]
            start, protocol = (20, packet[9]) if packet[0] >> 4 == 4 else (40, packet[6])
            if protocol in (1, 58) and packet[start] in (1, 2, 3, 11):
                found.append((packet[start], packet[start + 1]))
    return found


def opened(commands: tuple[Command, ...]) -> OpenAssociation:
    """The one request to open an association."""
    (command,) = (each for each in commands if isinstance(each, OpenAssociation))
    return command
