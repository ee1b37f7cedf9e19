"""One tunnel to one connector, with its proof stream (C14 to C17): the access token is renewed in place under live flows."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from client.core.direct import DirectPath, Way, describe
from client.daemon.opening import Opened, Opening, begin
from protocol.acl.decide import decide
from protocol.acl.match import AclIndex
from protocol.acl.model import Permit, Request
from protocol.errors import RefusedError, RemoteError, RemoteProtocolError
from protocol.ids import NetworkId, ResourceId, Revision
from protocol.limits import PROOF_DEADLINE_S
from protocol.pop import prove, transcript
from protocol.reasons import Reason, reason_from_code
from protocol.streams import FrameReader, Proof, StreamHeader, answer_reader, encode_proof, parse_answer_untrusted
from protocol.tokens.claims import Access
from runtime.tunnel import Tunnel, TunnelStream

DOUBT_AFTER_S: Final = 1.0
"""An unanswered stream makes us ask whether the tunnel lives at all."""
PROBE_AFTER_MOVE_S: Final = 1.5
"""After a change of the host's network: with what comes before and after it, flows are reset within two seconds (F-17)."""
PROBE_S: Final = 2.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the connector accepted: an access token, indexed."""

    access: Access
    index: AclIndex

    def permits(self, request: Request, wall: float) -> bool:
        """Whether this token lets ``request`` through."""
        return isinstance(decide(self.index, request, wall), Permit)


class ConnectorTunnel:
    """A tunnel whose inner TLS is complete. ``prove`` first; openings may follow right behind it.

    Args:
        tunnel: after its handshake.
        path: how it came about.
        network: the remote network that it was made for.
        key: the device's key.
        since: monotonic seconds.
        local: this host's address on the way to relay or connector, if it is known.
    """

    def __init__(
        self,
        tunnel: Tunnel,
        path: Way,
        network: NetworkId,
        key: ec.EllipticCurvePrivateKey,
        *,
        since: float,
        local: str | None = None,
    ) -> None:
        self.tunnel = tunnel
        self.path = path
        self.network = network
        self.since = since
        self.local = local
        self.standing: Standing | None = None
        """Of the newest proof that was sent; its answer may still be on the way. A refused renewal changes nothing."""
        self.proven: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connector has accepted the first proof."""
        self._accepted: Standing | None = None
        self.renewed_for = Revision(0)
        """The policy revision for which a new token was asked for last."""
        self._key = key
        self._number = 0
        self._proofs = _ProofStream(tunnel.open_stream())

    @property
    def usable(self) -> bool:
        """New streams may be opened."""
        return self.tunnel.lost is None and self.tunnel.gone_away is None

    @property
    def direct(self) -> bool:
        """There is no relay in between."""
        return isinstance(self.path, DirectPath)

    def permits(self, request: Request, wall: float) -> bool:
        """Whether the token on this tunnel is alive and lets ``request`` through."""
        standing = self.standing
        return standing is not None and wall < standing.access.expires and standing.permits(request, wall)

    def knows(self, resource: ResourceId, wall: float) -> bool:
        """Whether the token on this tunnel is alive and names ``resource``."""
        standing = self.standing
        return standing is not None and wall < standing.access.expires and standing.index.entry(resource) is not None

    def begin_proof(self, access: Access) -> "asyncio.Future[Reason | None]":
        """Sends a proof for ``access`` (C16); the result is the connector's reason, None when it accepted.

        One at a time: ``finish_proof`` before the next one.

        Raises:
            RemoteError: PIN_MISMATCH when the token is for another certificate than this tunnel's: whoever is at the other end
                holds a key that the connector has no more, and is told nothing. The tunnel is closed.
        """
        if self.tunnel.peer_pin not in access.pins:
            self.tunnel.close(Reason.PIN_MISMATCH)
            raise RemoteError(Reason.PIN_MISMATCH, "the access token is for another certificate of the connector")
        number = self._number + 1
        signed = transcript(
            exporter=self.tunnel.exporter(),
            token=access.token,
            connector=self.path.connector,
            pin=self.tunnel.peer_pin,
            number=number,
        )
        self.standing = Standing(access, AclIndex(access.acl))
        return self._proofs.send(Proof(access.token, number, prove(self._key, signed)))

    async def finish_proof(self, answer: "asyncio.Future[Reason | None]") -> None:
        """Waits for the connector's verdict about a proof.

        Raises:
            RefusedError: the connector's reason. After a refused first proof the tunnel is closed; after a refused renewal
                the last accepted token counts on.
            RemoteError: the tunnel was lost, or PAIRING_TIMEOUT (then it is closed, too).
        """
        try:
            async with asyncio.timeout(PROOF_DEADLINE_S):
                reason = await answer
        except TimeoutError as exc:
            self.tunnel.close(Reason.TIMEOUT)
            raise RemoteError(Reason.PAIRING_TIMEOUT, "the connector did not answer the proof") from exc
        if reason is not None:
            self.standing = self._accepted
            refusal = RefusedError(reason, "the connector refused the proof")
            if self._accepted is None:
                self.tunnel.close(reason)
                self.proven.set_exception(refusal)
                self.proven.exception()  # hardly anybody waits for it
            raise refusal
        self._number += 1
        self._accepted = self.standing
        if not self.proven.done():
            self.proven.set_result(None)

    def begin(self, header: StreamHeader) -> Opening:
        """Opens a stream; ``finish`` waits for its answer. Raises OstiaryError when the tunnel takes none."""
        return begin(self.tunnel.open_stream(), header)

    async def finish(self, opening: Opening) -> Opened:
        """Waits for the answer of a stream that was begun here; doubts a silent tunnel in time.

        Raises as ``Opening.wait``; the caller sets the deadline.
        """
        try:
            opened = await opening.wait_for(DOUBT_AFTER_S)
            if opened is None:
                await self.doubt()
                opened = await opening.wait()
        except asyncio.CancelledError:
            opening.abandon()
            raise
        return opened

    async def doubt(self, deadline_s: float = PROBE_S) -> None:
        """Finds out whether a quiet tunnel lives; closes it if not. Raises RemoteError(TUNNEL_LOST) then."""
        try:
            await self.tunnel.probe(deadline_s)
        except RemoteError as error:
            # Silent: a dead leg shows only so, before the keepalive notices.
            _log.warning("tunnel.silent", connector=self.path.connector, path=describe(self.path))
            self.tunnel.close(error.reason)
            raise RemoteError(Reason.TUNNEL_LOST, "the tunnel had died silently") from error

    def close(self, reason: Reason) -> None:
        """Ends the tunnel and everything in it."""
        self.tunnel.close(reason)


class _ProofStream:
    """The first stream of a tunnel: proofs up, answers down, in order."""

    def __init__(self, stream: TunnelStream) -> None:
        self._stream = stream
        self._reader: FrameReader = answer_reader()
        self._waiting: deque[asyncio.Future[Reason | None]] = deque()
        self._over: Reason | None = None
        stream.set_receiver(self)

    def send(self, proof: Proof) -> "asyncio.Future[Reason | None]":
        answer: asyncio.Future[Reason | None] = asyncio.get_running_loop().create_future()
        if self._over is not None:
            answer.set_exception(RemoteError(self._over, "the proof stream is gone"))
            answer.exception()
            return answer
        self._waiting.append(answer)
        self._stream.write(encode_proof(proof))
        return answer

    def data_received(self, data: bytes) -> None:
        self._stream.consumed(len(data))
        self._reader.receive_data(data)
        while self._reader.frame is not None:
            answer = parse_answer_untrusted(self._reader.frame)
            rest = self._reader.rest
            self._reader = answer_reader()
            self._reader.receive_data(rest)
            if not self._waiting:
                raise RemoteProtocolError("an answer to no proof")
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None if answer.reason is None else reason_from_code(answer.reason))

    def eof_received(self) -> None:
        self._end(Reason.TUNNEL_LOST)

    def stream_reset(self, reason: Reason) -> None:
        self._end(reason)

    def pause_writing(self) -> None:
        """Proofs are few and bounded; the mux keeps them."""

    def resume_writing(self) -> None:
        """Nothing waits here."""

    def _end(self, reason: Reason) -> None:
        self._over = reason
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(RemoteError(reason, "the proof stream ended"))
                future.exception()
