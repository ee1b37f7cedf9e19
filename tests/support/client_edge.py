"""Relay and connector in one, for tests of the client daemon: real TLS, WebSocket, inner TLS, proofs and streams."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tls_material import tls_material

from protocol.errors import RemoteError
from protocol.ids import ConnectorId, RelayId, SpkiPin, relay_hash, spki_pin
from protocol.pop import ProvenPeer, verify_proof
from protocol.reasons import Reason
from protocol.rendezvous import CONNECT_PATH
from protocol.streams import (
    FrameReader,
    Proof,
    StreamAnswer,
    StreamHeader,
    encode_answer,
    header_reader,
    parse_header_untrusted,
)
from protocol.tokens.claims import Path
from protocol.tokens.keys import VerificationKeys, generate_key, key_to_pem, self_signed_certificate
from protocol.tokens.verify import verify_access
from runtime.bridge import SocketBridge
from runtime.clock import SystemClock
from runtime.direct_leg import DirectLeg
from runtime.leg import Leg
from runtime.leg_accept import LegAcceptor, UpgradeRequest
from runtime.leg_roles import LegLike
from runtime.trust import server_context
from runtime.tunnel import Tunnel, TunnelStream

CONNECTOR = ConnectorId("con_" + "C" * 22)
RELAY = RelayId("rel_" + "R" * 22)


@dataclass
class Edge:
    """What it saw, and what it does.

    Attributes:
        proofs: what was proven, in order; ``tunnels`` what is up.
        opened: every stream header.
        refuse_leg: refuse upgrades with this reason.
        refuse_proof: answer proofs with this reason.
        refuse_open: answer openings with this reason, by kind.
        dead: accept legs and say nothing on them any more.
        names: what resolves; everything else is NXDOMAIN.
        targets: where (host, port) is really dialled.
        early: how many streams came before the first proof was answered.
        delay_proof_s: before a proof is judged.
        lines: TLS connections that were made, whatever was asked on them.
        open_lines: those that are open.
        firsts: the size of the first bytes of each request.
        dead_legs: how many of the next legs lead to a connector that is gone.
    """

    keys: VerificationKeys
    issuer: str
    connector: ConnectorId = CONNECTOR
    relay: RelayId = RELAY
    proofs: list[ProvenPeer] = field(default_factory=list)
    tunnels: list[Tunnel] = field(default_factory=list)
    opened: list[StreamHeader] = field(default_factory=list)
    tickets: list[str] = field(default_factory=list)
    refuse_leg: Reason | None = None
    refuse_proof: Reason | None = None
    refuse_open: dict[str, Reason] = field(default_factory=dict)
    dead: bool = False
    hold_legs: bool = False
    names: set[str] = field(default_factory=set)
    targets: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    early: int = 0
    delay_proof_s: float = 0.0
    lines: int = 0
    open_lines: int = 0
    firsts: list[int] = field(default_factory=list)
    dead_legs: int = 0
    port: int = 0
    dumb: list[Leg] = field(default_factory=list)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    direct: list[Tunnel] = field(default_factory=list)
    """Tunnels that came without a relay; they are in ``tunnels``, too."""

    def __post_init__(self) -> None:
        key = generate_key()
        now = datetime.now(UTC)
        self.key_pem = key_to_pem(key)
        self.certificate_pem = self_signed_certificate(
            key,
            common_name="connector",
            serial=1,
            not_before=now - timedelta(days=1),
            not_after=now + timedelta(days=1),
        )
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self.pin = spki_pin(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def path(self, *, pin: SpkiPin | None = None) -> Path:
        """As an authorisation names it."""
        return Path(
            self.connector, relay_hash(self.connector), (pin or self.pin,), self.relay, "localhost", self.port, "ticket"
        )

    def requested(self, acceptor: LegAcceptor, request: UpgradeRequest) -> None:
        """A client's upgrade."""
        self.tickets.append(request.ticket)
        self.firsts.append(len(request.first))
        if self.refuse_leg is not None or request.path != CONNECT_PATH:
            acceptor.refuse(503, self.refuse_leg or Reason.NOT_FOUND)
            return
        if self.hold_legs:
            return
        leg = acceptor.accept()
        if leg is None:
            return
        if self.dead:
            self.dumb.append(leg)
            return
        if self.dead_legs:
            self.dead_legs -= 1
            leg.close(Reason.TUNNEL_LOST)
            return
        self.serve(leg)

    def serve(self, leg: LegLike) -> Tunnel:
        """A client's bytes come over this leg."""
        tunnel = Tunnel.server(leg, self.key_pem, self.certificate_pem, SystemClock())
        served = _Served(self, tunnel)
        tunnel.set_on_stream(served.accept)
        self.spawn(served.run())
        return tunnel

    def spawn(self, coro: "asyncio.coroutines.Coroutine[object, object, None]") -> None:
        """Runs something beside."""
        task = asyncio.get_running_loop().create_task(coro)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class _Served:
    def __init__(self, edge: Edge, tunnel: Tunnel) -> None:
        self.edge = edge
        self.tunnel = tunnel
        self.number = 1
        self.proven = asyncio.Event()

    async def run(self) -> None:
        try:
            await self.tunnel.handshake(5)
        except RemoteError:
            return
        self.edge.tunnels.append(self.tunnel)

    def accept(self, stream: TunnelStream) -> None:
        stream.set_receiver(_Head(stream, self.headed))

    def headed(self, stream: TunnelStream, header: Proof | StreamHeader) -> None:
        if isinstance(header, Proof):
            self.edge.spawn(self.prove(stream, header))
            return
        if not self.proven.is_set():
            self.edge.early += 1
        self.edge.opened.append(header)
        stream.set_receiver(None)
        self.edge.spawn(self.open(stream, header))

    async def prove(self, stream: TunnelStream, proof: Proof) -> None:
        edge = self.edge
        await asyncio.sleep(edge.delay_proof_s)
        reason = edge.refuse_proof
        if reason is None:
            try:
                now = SystemClock().wall()
                access = verify_access(
                    proof.token, keys=edge.keys, issuer=edge.issuer, connector=edge.connector, now=now
                )
                peer = verify_proof(
                    proof,
                    exporter=self.tunnel.exporter(),
                    connector=edge.connector,
                    pin=self.tunnel.peer_pin,
                    expected_number=self.number,
                    access=access,
                )
            except RemoteError as error:
                reason = error.reason
            else:
                self.number += 1
                edge.proofs.append(peer)
                self.proven.set()
        stream.write(encode_answer(StreamAnswer(None if reason is None else reason.code)))

    async def open(self, stream: TunnelStream, header: StreamHeader) -> None:
        edge = self.edge
        await self.proven.wait()
        reason = edge.refuse_open.get(header.kind)
        if reason is not None:
            self.refuse(stream, reason)
        elif header.kind == "resolve":
            known = header.host in edge.names
            stream.write(encode_answer(StreamAnswer(None, 0 if known else 3, 30, ("v4",) if known else ())))
            stream.write_eof()
        elif header.kind == "tcp":
            await self.dial(stream, header)
        else:
            stream.write(encode_answer(StreamAnswer()))
            stream.set_receiver(_Echo(stream))

    async def dial(self, stream: TunnelStream, header: StreamHeader) -> None:
        target = self.edge.targets.get((header.host, header.port or 0))
        if target is None:
            self.refuse(stream, Reason.CONNECTION_REFUSED)
            return
        stream.write(encode_answer(StreamAnswer()))
        bridge = SocketBridge(stream, side="connector")
        await asyncio.get_running_loop().create_connection(lambda: bridge, *target)

    def refuse(self, stream: TunnelStream, reason: Reason) -> None:
        stream.write(encode_answer(StreamAnswer(reason.code)))
        asyncio.get_running_loop().call_soon(stream.reset, reason)


class _Head:
    def __init__(self, stream: TunnelStream, on_header: Callable[[TunnelStream, Proof | StreamHeader], None]) -> None:
        self.stream = stream
        self.on_header = on_header
        self.reader: FrameReader = header_reader()

    def data_received(self, data: bytes) -> None:
        self.reader.receive_data(data)
        self.stream.consumed(len(data))
        while self.reader.frame is not None:
            header = parse_header_untrusted(self.reader.frame)
            rest = self.reader.rest
            self.reader = header_reader()
            if isinstance(header, Proof):
                self.on_header(self.stream, header)
                self.reader.receive_data(rest)
                continue
            self.on_header(self.stream, header)
            self.stream.unread(rest)
            return

    def eof_received(self) -> None: ...

    def stream_reset(self, reason: Reason) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class _Echo:
    """Everything comes back, as a UDP echo service's datagrams would."""

    def __init__(self, stream: TunnelStream) -> None:
        self.stream = stream

    def data_received(self, data: bytes) -> None:
        self.stream.consumed(len(data))
        self.stream.write(data)

    def eof_received(self) -> None: ...

    def stream_reset(self, reason: Reason) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class _Line(LegAcceptor):
    """Counts itself."""

    def __init__(self, edge: Edge) -> None:
        super().__init__(on_request=edge.requested, on_closed=self._gone)
        self._edge = edge

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._edge.lines += 1
        self._edge.open_lines += 1
        super().connection_made(transport)

    def _gone(self) -> None:
        self._edge.open_lines -= 1


class _DirectLine(DirectLeg):
    """A client's own connection; the edge serves it as the connector that it is."""

    def __init__(self, edge: Edge) -> None:
        super().__init__()
        self._edge = edge

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._edge.direct.append(self._edge.serve(self))


@asynccontextmanager
async def serve_directly(edge: Edge, port: int = 0) -> AsyncIterator[str]:
    """Listens on loopback without a relay; yields the address. Leaving it closes what came that way."""
    server = await asyncio.get_running_loop().create_server(lambda: _DirectLine(edge), "127.0.0.1", port)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for tunnel in edge.direct:
            tunnel.close(Reason.NORMAL)


@asynccontextmanager
async def serve_edge(edge: Edge) -> AsyncIterator[Edge]:
    """Listens on loopback."""
    material = tls_material("localhost")
    server = await asyncio.get_running_loop().create_server(
        lambda: _Line(edge),
        "127.0.0.1",
        0,
        ssl=server_context(material.cert_pem, material.key_pem),
    )
    edge.port = server.sockets[0].getsockname()[1]
    try:
        yield edge
    finally:
        server.close()
        for tunnel in edge.tunnels:
            tunnel.close(Reason.NORMAL)
        for leg in edge.dumb:
            leg.close(Reason.NORMAL)
        for task in tuple(edge.tasks):
            task.cancel()
        await asyncio.gather(*edge.tasks, return_exceptions=True)
