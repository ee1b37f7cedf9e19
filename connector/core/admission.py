"""Admission of one tunnel: nothing is served before a proof, and nothing new after its token (C16, C17; T-37, T-38).

    WAITING --proof 1--> ADMITTED --proof n+1--> ADMITTED
       |                    |
       `-- deadline, any mismatch --> the tunnel is closed by the shell

Times: ``now`` is monotonic, ``wall`` Unix seconds. The token's end is mapped to the monotonic clock once, when the proof
is accepted, and clamped towards less access, so that a clock that is set later neither drops nor prolongs a tunnel (F-13).
"""

from dataclasses import dataclass
from typing import Final

from connector.core.cutoffs import Cutoffs
from protocol.acl.match import AclIndex
from protocol.errors import RemoteError
from protocol.ids import ConnectorId, SpkiPin
from protocol.limits import CLOCK_LEEWAY_S, PROOF_DEADLINE_S
from protocol.pop import ProvenPeer, verify_proof
from protocol.reasons import Reason
from protocol.streams import Proof, StreamHeader
from protocol.tokens.claims import Access
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import verify_access

RENEWALS_BURST: Final = 16
RENEWALS_PER_S: Final = 1.0
"""A token lives minutes; who proves more often wants our CPU."""
FAILURES_MAX: Final = 16
"""Failed renewals on one tunnel; the tunnel lives on its last token until then."""


class RefusedProofError(RemoteError):
    """A proof was refused. ``access`` is what its token said when at least that was genuine, for the record."""

    def __init__(self, reason: Reason, detail: str, access: Access | None) -> None:
        super().__init__(reason, detail)
        self.access = access


@dataclass(frozen=True, slots=True)
class Admitted:
    """What an accepted proof gives: the peer, and its list in a form that is quick to ask.

    ``ends`` is the end of the token on our monotonic clock.
    """

    peer: ProvenPeer
    acl: AclIndex
    access: Access
    ends: float
    renewed: bool


class Admission:
    """The state of one tunnel at the connector.

    Call ``first_stream`` with the header of the tunnel's first stream, ``receive_proof`` for it and for each further one on
    the same stream, ``may_open`` before every other stream, and look at ``deadline``.
    """

    def __init__(
        self, *, connector: ConnectorId, issuer: str, pin: SpkiPin, exporter: bytes, cutoffs: Cutoffs, now: float
    ) -> None:
        self._connector = connector
        self._issuer = issuer
        self._pin = pin
        self._exporter = exporter
        self._cutoffs = cutoffs
        self._proof_due = now + PROOF_DEADLINE_S
        self._allowance = float(RENEWALS_BURST)
        self._allowance_at = now
        self._failures = 0
        self.admitted: Admitted | None = None

    def deadline(self) -> tuple[float, str] | None:
        """Returns when the first proof is due; None once it was accepted."""
        return None if self.admitted is not None else (self._proof_due, "proof")

    def first_stream(self, header: Proof | StreamHeader) -> Proof:
        """The tunnel's first stream must be a proof stream. Raises RemoteError(PROOF_MISSING)."""
        if not isinstance(header, Proof):
            raise RemoteError(Reason.PROOF_MISSING, "the first stream of a tunnel is no proof stream")
        return header

    def receive_proof(self, proof: Proof, *, keys: VerificationKeys, now: float, wall: float) -> Admitted:
        """Accepts a proof, or raises.

        Raises:
            RefusedProofError: with the reason to answer. After a refused first proof, or when ``exhausted``, the shell
                closes the tunnel; after a refused renewal the last accepted proof stays in force.
        """
        previous = self.admitted
        if previous is None and now > self._proof_due:
            raise RefusedProofError(Reason.PROOF_MISSING, "the proof came too late", None)
        self._spend_allowance(now)
        access: Access | None = None
        try:
            access = verify_access(proof.token, keys=keys, issuer=self._issuer, connector=self._connector, now=wall)
            peer = verify_proof(
                proof,
                exporter=self._exporter,
                connector=self._connector,
                pin=self._pin,
                expected_number=1 if previous is None else previous.peer.number + 1,
                access=access,
            )
            self._compare(previous, peer)
        except RemoteError as exc:
            self._failures += 1
            raise RefusedProofError(exc.reason, exc.detail, access) from exc
        acl = previous.acl if previous is not None and previous.peer.acl == peer.acl else AclIndex(peer.acl)
        # What is left of the token's life, but never more than its whole life: our clock may be slow.
        left = min(peer.expires - wall, peer.expires - peer.issued_at)
        self.admitted = Admitted(peer, acl, access, ends=now + left, renewed=previous is not None)
        return self.admitted

    @property
    def exhausted(self) -> bool:
        """True when so many proofs failed that the tunnel must be closed."""
        return self.admitted is None or self._failures >= FAILURES_MAX

    def may_open(self, now: float) -> Admitted:
        """Returns what new streams are decided by. Raises RemoteError(PROOF_MISSING or TOKEN_EXPIRED)."""
        if self.admitted is None:
            raise RemoteError(Reason.PROOF_MISSING, "no proof yet")
        if now > self.admitted.ends + CLOCK_LEEWAY_S:
            raise RemoteError(Reason.TOKEN_EXPIRED, "the access token was not renewed")
        return self.admitted

    def still_trusted(self, keys: VerificationKeys, *, wall: float) -> None:
        """Checks the last token against a changed set of keys (F-22, emergency distrust). Raises RemoteError.

        Flows outlive their token by a lease, so an expired one counts as well: it may be a forgery that was never renewed. A
        key that rotates out in order goes a day after it signed last, and no lease is longer.
        """
        if self.admitted is None:
            return
        token = self.admitted.access.token
        try:
            verify_access(token, keys=keys, issuer=self._issuer, connector=self._connector, now=wall)
        except RemoteError as exc:
            if exc.reason in {Reason.TOKEN_KEY_UNKNOWN, Reason.TOKEN_SIGNATURE}:
                raise

    def _compare(self, previous: Admitted | None, peer: ProvenPeer) -> None:
        if previous is not None and (previous.peer.device, previous.peer.user) != (peer.device, peer.user):
            raise RemoteError(Reason.PROOF_INVALID, "a renewal must be for the same device and user")
        if self._cutoffs.refusal(peer.device, None, peer.issued_at) is not None:
            raise RemoteError(Reason.TOKEN_REVOKED, "the token was issued before a revocation")

    def _spend_allowance(self, now: float) -> None:
        earned = (now - self._allowance_at) * RENEWALS_PER_S
        self._allowance = min(float(RENEWALS_BURST), self._allowance + earned)
        self._allowance_at = now
        if self._allowance < 1:
            self._failures = FAILURES_MAX
            raise RefusedProofError(Reason.LIMIT_EXCEEDED, "too many proofs", None)
        self._allowance -= 1
