"""One tunnel from a client: handshake, proof, and then its streams (C14, C16, C17; T-37 to T-39).

The first stream must be the proof stream. Streams that are opened right behind it wait, with their headers read, until the
proof's verdict; without a proof in time the tunnel is closed. A refused proof closes the tunnel with its reason, except a
refused renewal, which leaves the last accepted proof in force.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from connector.core.admission import Admission, Admitted, RefusedProofError
from connector.enforcer import Enforcer, Origin
from connector.opening import refuse
from connector.stream_head import HeadReader
from connector.streams import StreamServer
from protocol.errors import RemoteError, RemoteProtocolError
from protocol.ids import FlowId, RelayId
from protocol.limits import MUX_ACCEPT_BACKLOG, OPEN_HEADER_MAX_BYTES, PROOF_DEADLINE_S, PROOF_MAX_BYTES
from protocol.reasons import Reason
from protocol.streams import (
    FrameReader,
    Proof,
    StreamAnswer,
    StreamHeader,
    encode_answer,
    header_reader,
    parse_header_untrusted,
)
from protocol.tokens.keys import VerificationKeys
from runtime.clock import Clock
from runtime.entropy import new_id
from runtime.tunnel import LegLike, Tunnel, TunnelStream

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Trust:
    """Who we are in the inner TLS, and whom we believe; the daemon replaces ``keys`` when the controller announces others."""

    key_pem: bytes = field(repr=False)
    certificate_pem: bytes
    issuer: str
    keys: VerificationKeys


class TunnelPeer:
    """The connector's end of one tunnel. Call ``wait_until_paired``, then ``serve``.

    Args:
        number: unique in this process.
        leg: dialled to a relay's LEG_PATH; parked until a client is paired with it. Or a client's own connection.
        relay: that relay; None for a client's own connection.
        trust: our certificate, and whose tokens count.
        enforcer: decides.
        server: serves what was decided.
        clock: for deadlines and tokens.
    """

    def __init__(
        self,
        *,
        number: int,
        leg: LegLike,
        relay: RelayId | None,
        trust: Trust,
        enforcer: Enforcer,
        server: StreamServer,
        clock: Clock,
    ) -> None:
        self.number = number
        self.relay = relay
        self._trust = trust
        self._enforcer = enforcer
        self._server = server
        self._clock = clock
        self._origin: Origin | None = None
        self._proof_stream: TunnelStream | None = None
        self._seen_first = False
        self._early: deque[tuple[TunnelStream, StreamHeader]] = deque()
        """Streams whose headers are complete and that wait for the first proof."""
        self._early_count = 0
        """Streams opened so far; before the proof it is bounded."""
        self._ended = asyncio.Event()
        self.settled = asyncio.Event()
        """The first proof was accepted, or there will be none."""
        self._deadline: asyncio.TimerHandle | None = None
        self.key_pem = trust.key_pem
        """Whose certificate this tunnel shows."""
        self.let_go = False
        """Its client was asked to open nothing more."""
        self._tunnel = Tunnel.server(leg, trust.key_pem, trust.certificate_pem, clock, on_lost=self.lost)

    @property
    def admitted(self) -> Admitted | None:
        """Who is at the other end; None before the first proof."""
        return None if self._origin is None else self._origin.admission.admitted

    @property
    def tunnel(self) -> Tunnel:
        """The tunnel itself, for status."""
        return self._tunnel

    async def wait_until_paired(self) -> None:
        """Waits for the client's first byte. Raises RemoteError when the leg is lost instead."""
        await self._tunnel.wait_for_peer()

    async def serve(self) -> None:
        """Handshake, then everything else by events; returns when the tunnel is gone."""
        try:
            await self._tunnel.handshake(PROOF_DEADLINE_S)
        except RemoteError as error:
            _log.debug("tunnel.handshake_failed", relay=self.relay, reason=error.reason.code)
            return
        now = self._clock.monotonic()
        admission = Admission(
            connector=self._enforcer.connector,
            issuer=self._trust.issuer,
            pin=self._tunnel.peer_pin,
            exporter=self._tunnel.exporter(),
            cutoffs=self._enforcer.cutoffs,
            now=now,
        )
        self._origin = Origin(self.number, self.relay, admission)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(PROOF_DEADLINE_S, self._proof_overdue)
        try:
            # Streams that came with the end of the handshake are handed out here.
            self._tunnel.set_on_stream(self._opened)
            await self._ended.wait()
        finally:
            self._deadline.cancel()
            self.close(Reason.SHUTTING_DOWN)

    def lost(self, reason: Reason) -> None:
        """The tunnel ended (its ``on_lost``); its streams' receivers have been told."""
        if self.admitted is not None:
            _log.info("tunnel.closed", tunnel=self.number, relay=self.relay, reason=reason.code)
        self._ended.set()
        self.settled.set()

    def close(self, reason: Reason) -> None:
        """Ends the tunnel and all its flows with ``reason``."""
        if self._tunnel.lost is None:
            self._tunnel.close(reason)
            self.lost(reason)

    def go_away(self, reason: Reason) -> None:
        """Tells the client to open no more streams here; what is open goes on."""
        self._tunnel.go_away(reason)

    def keys_changed(self) -> None:
        """Closes the tunnel if its last token was signed by a key that is no longer trusted (F-22)."""
        if self._origin is None:
            return
        try:
            self._origin.admission.still_trusted(self._trust.keys, wall=self._clock.wall())
        except RemoteError as error:
            self.close(error.reason)

    # Streams

    def _opened(self, stream: TunnelStream) -> None:
        if not self._seen_first:
            self._seen_first = True
            self._proof_stream = stream
            HeadReader(
                stream, limit=PROOF_MAX_BYTES + 4096, on_header=self._first_header, on_end=self._proof_stream_ended
            )
        elif self.admitted is None and self._early_count >= MUX_ACCEPT_BACKLOG:
            refuse(stream, Reason.LIMIT_EXCEEDED)
        else:
            self._early_count += 1
            HeadReader(stream, limit=OPEN_HEADER_MAX_BYTES, on_header=self._header, on_end=self._forget)

    def _header(self, stream: TunnelStream, header: Proof | StreamHeader) -> None:
        assert self._origin is not None
        if isinstance(header, Proof):
            raise RemoteProtocolError("a second proof stream")
        if self.admitted is None:
            self._early.append((stream, header))
        else:
            self._server.serve(stream, header, self._origin)

    def _forget(self, stream: TunnelStream) -> None:
        """A stream ended inside its header: nothing was done for it."""

    # Proofs

    def _first_header(self, stream: TunnelStream, header: Proof | StreamHeader) -> None:
        assert self._origin is not None
        try:
            proof = self._origin.admission.first_stream(header)
        except RemoteError as error:
            refuse(stream, error.reason)
            self._close_soon(error.reason)
            return
        renewals = _Renewals(stream, self._proof, self._proof_stream_ended)
        self._proof(proof)
        if self._tunnel.lost is None:
            stream.set_receiver(renewals)

    def _proof(self, proof: Proof) -> None:
        origin, stream = self._origin, self._proof_stream
        assert origin is not None
        assert stream is not None
        try:
            admitted = origin.admission.receive_proof(
                proof, keys=self._trust.keys, now=self._clock.monotonic(), wall=self._clock.wall()
            )
        except RefusedProofError as error:
            self._enforcer.proof_refused(error, FlowId(new_id("flow")), self.relay)
            _log.info("proof.refused", tunnel=self.number, reason=error.reason.code, number=proof.number)
            stream.write(encode_answer(StreamAnswer(error.reason.code)))
            if origin.admission.exhausted:
                self._close_soon(error.reason)
            return
        stream.write(encode_answer(StreamAnswer()))
        if admitted.renewed:
            self._enforcer.renewed(origin)
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self.settled.set()
        _log.info("tunnel.opened", tunnel=self.number, relay=self.relay, device=admitted.peer.device)
        while self._early and self._tunnel.lost is None:
            early, header = self._early.popleft()
            if not early.ended:
                self._server.serve(early, header, origin)

    def _proof_stream_ended(self, _stream: TunnelStream) -> None:
        """Without its control stream a tunnel cannot be renewed: it ends when its client ends it."""
        if self.admitted is None:
            self._close_soon(Reason.PROOF_MISSING)

    def _proof_overdue(self) -> None:
        if self.admitted is None:
            _log.info("proof.missing", tunnel=self.number, relay=self.relay)
            self._close_soon(Reason.PROOF_MISSING)

    def _close_soon(self, reason: Reason) -> None:
        # In the next turn, so that the answer on the stream leaves first; and never inside the tunnel's own callback.
        asyncio.get_running_loop().call_soon(self.close, reason)


class _Renewals:
    """Receiver of the proof stream behind its first frame: more proofs, one after the other."""

    def __init__(
        self, stream: TunnelStream, on_proof: Callable[[Proof], None], on_end: Callable[[TunnelStream], None]
    ) -> None:
        self._stream = stream
        self._on_proof = on_proof
        self._on_end = on_end
        self._reader: FrameReader = header_reader()

    def data_received(self, data: bytes) -> None:
        """More of a proof, or several. Raises RemoteProtocolError."""
        self._stream.consumed(len(data))
        self._reader.receive_data(data)
        while (frame := self._reader.frame) is not None:
            rest = self._reader.rest
            self._reader = header_reader()
            header = parse_header_untrusted(frame)
            if not isinstance(header, Proof):
                raise RemoteProtocolError("only proofs may follow on the proof stream")
            self._on_proof(header)
            if rest:
                self._reader.receive_data(rest)

    def eof_received(self) -> None:
        """The client will not renew."""
        self._on_end(self._stream)

    def stream_reset(self, reason: Reason) -> None:
        """The client will not renew, or the tunnel is gone."""
        self._on_end(self._stream)

    def pause_writing(self) -> None:
        """Answers are few and small."""

    def resume_writing(self) -> None:
        """Answers are few and small."""
