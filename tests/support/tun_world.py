"""A client's packet machine on a real TUN device, without any controller, relay or connector: run inside a namespace.

It is its own resource: what it accepts it greets and echoes. It is told on its standard input what to do with held
connections, one JSON object per line, and reports on its standard output:

    {"event": "ready"}                         the device is up and the self-test has passed (or "failed" with a detail)
    {"event": "held", "port": 80}              a SYN is held
    {"do": "release", "port": 80}              lets it go
    {"do": "refuse", "port": 80, "reason": c}  refuses it
    {"do": "stop"}                             takes everything back and ends

Ports from 1000 on are released at once, UDP is echoed except on port 666, which is refused, and every echo is answered.
"""

import asyncio
import ipaddress
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import uvloop
from client_policy import WALL, entry, index

from client.core.addresses import plan_addresses
from client.core.association import Association
from client.core.classify import Classifier
from client.core.commands import AskAccess, Command, OpenAssociation, SendDatagrams, WriteFrame
from client.core.flows import TcpFlow
from client.core.icmp import EchoTable
from client.core.intercept import Interceptor
from client.core.synthetic import SyntheticPool
from client.core.udp import UdpTable
from client.host.cleanup import open_journal
from client.host.listener import open_listener
from client.host.network import HostNetwork
from client.host.resolver_settings import ResolvConf
from client.host.selftest import self_test
from client.host.tun import TunDevice
from client.packet.vnet import GSO_UDP_L4
from protocol.errors import LocalError
from protocol.reasons import Reason, reason_from_code

RESOURCES = ("10.99.0.0/16", "fd99::/64")


def say(**event: object) -> None:
    """Reports one event."""
    print(json.dumps(event), flush=True)


class World:
    """Everything of the client below the daemon, driven by lines."""

    def __init__(self, state: Path, *, foreign_listener: int | None, with_resolver: bool) -> None:
        self._journal = open_journal(state)
        self._network = HostNetwork(self._journal)
        self._foreign = foreign_listener
        self._with_resolver = with_resolver
        self._held: dict[int, TcpFlow] = {}
        self._stopped = asyncio.Event()
        self._bursts = 0

    async def run(self, mtu: int) -> None:
        """Runs until it is told to stop."""
        await self._network.open()
        plan = plan_addresses(await self._network.in_use())
        classifier = Classifier(SyntheticPool(plan))
        classifier.set_clock(time.monotonic(), WALL)
        classifier.use(index(*(entry(address, number=number) for number, address in enumerate(RESOURCES))))
        self._tun = tun = TunDevice.open(mtu=mtu)
        await self._network.set_up(tun, plan)
        await self._network.set_routes(ipaddress.ip_network(address) for address in RESOURCES)
        settings = ResolvConf(self._journal, [plan.own_v4])
        if self._with_resolver:
            settings.apply([])
        assert plan.own_v6 is not None
        listeners = [open_listener(address, tun.name) for address in (plan.own_v4, plan.own_v6)]
        ports = {4: listeners[0].getsockname()[1], 6: listeners[1].getsockname()[1]}
        if self._foreign is not None:
            ports = {4: self._foreign, 6: self._foreign}
        self._machine = Interceptor(classifier, plan, ports)
        self._machine.udp.super_packets = tun.takes_udp_bursts
        tun.start(self._machine.forward, self._handle, lambda error: say(event="lost", detail=str(error)))
        loop = asyncio.get_running_loop()
        peers = frozenset({str(plan.peer_v4), str(plan.peer_v6)})
        servers = [await loop.create_server(lambda: Greeter(self._machine, peers), sock=sock) for sock in listeners]
        try:
            if self._foreign is None:
                await self_test(plan, tun.name, lambda: self._machine.tcp.probes_seen)
            await loop.connect_read_pipe(lambda: Lines(self._obey), sys.stdin)
            say(event="ready", mtu=tun.mtu, offloads=tun.offloads)
            await self._stopped.wait()
        except LocalError as exc:
            say(event="failed", reason=exc.reason.code, detail=exc.detail)
        finally:
            for server in servers:
                server.close()
            if self._with_resolver:
                settings.restore()
            await self._network.close()
            tun.close()
        dropped = {reason.value: count for reason, count in self._machine.dropped.items()}
        say(event="stopped", dropped=dropped, pending=len(self._journal.pending), bursts=self._bursts)

    def _handle(self, frame: bytes) -> None:
        self._carry_out(self._machine.handle(frame, time.monotonic()))

    def _carry_out(self, commands: Sequence[Command]) -> None:
        now = time.monotonic()
        for command in commands:
            match command:
                case WriteFrame(frame):
                    if self._tun.write(frame) and frame[1] == GSO_UDP_L4:
                        self._bursts += 1
                case AskAccess(flow):
                    self._ask(flow, now)
                case OpenAssociation(association):
                    self._open(association, now)
                case SendDatagrams(association):
                    datagrams = list(association.outgoing)
                    association.outgoing.clear()
                    self._carry_out(self._table(association).replies(association, datagrams, now))

    def _ask(self, flow: TcpFlow, now: float) -> None:
        port = flow.target.port
        assert port is not None
        if port >= 1000:
            self._carry_out(self._machine.tcp.release(flow, now))
            if self._foreign is not None:
                self._machine.tcp.accepted(flow.port, now)
            return
        self._held[port] = flow
        say(event="held", port=port, application=str(flow.application[0]), destination=str(flow.destination[0]))

    def _open(self, association: Association, now: float) -> None:
        table = self._table(association)
        if association.target.port == 666:
            self._carry_out(table.refuse(association, Reason.CONNECTION_REFUSED, now))
        else:
            self._carry_out(table.opened(association))

    def _table(self, association: Association) -> UdpTable | EchoTable:
        return self._machine.icmp if association.target.port is None else self._machine.udp

    def _obey(self, line: bytes) -> None:
        order = json.loads(line)
        now = time.monotonic()
        match order:
            case {"do": "release", "port": int(port)}:
                self._carry_out(self._machine.tcp.release(self._held.pop(port), now))
            case {"do": "refuse", "port": int(port), "reason": str(code)}:
                self._carry_out(self._machine.tcp.refuse(self._held.pop(port), reason_from_code(code), now))
            case {"do": "repair"}:
                self._repairing = asyncio.ensure_future(self._repair())
            case {"do": "stop"}:
                self._stopped.set()

    async def _repair(self) -> None:
        say(event="repaired", what=await self._network.repair())


class Greeter(asyncio.Protocol):
    """The resource: says who is connected to what, then echoes."""

    def __init__(self, machine: Interceptor, peers: frozenset[str]) -> None:
        self._machine = machine
        self._peers = peers
        self._flow: TcpFlow | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)
        address, port = transport.get_extra_info("peername")[:2]
        if address in self._peers:
            self._flow = self._machine.tcp.accepted(port, time.monotonic())
        if self._flow is None:
            transport.abort()
            return
        host, port = self._flow.destination
        transport.write(f"hello from [{host}]:{port}\n".encode())

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._flow is not None:
            self._machine.tcp.closed(self._flow, time.monotonic())


class Lines(asyncio.Protocol):
    """Lines of standard input."""

    def __init__(self, obey: object) -> None:
        self._obey = obey
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        assert callable(self._obey)
        for line in lines:
            self._obey(line)


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    world = World(
        Path(options["state"]),
        foreign_listener=options.get("foreign_listener"),
        with_resolver=options.get("with_resolver", False),
    )
    uvloop.run(world.run(options.get("mtu", 65535)))
