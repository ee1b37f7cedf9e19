"""Who may come in: the ticket, for this relay, this path and now (design C4, C13; threats T-20, T-21).

The relay believes nothing but a signature by a controller that it was enrolled with. What a ticket admits to is the
hash inside it; a request names nothing itself. Limits come first: see ``relay.core.gate``.
"""

from dataclasses import dataclass
from typing import Final

from protocol.errors import LocalError, RefusedError, RemoteError
from protocol.ids import ConnectorHash, RelayId
from protocol.reasons import Reason
from protocol.rendezvous import ATTACH_PATH, CONNECT_PATH, CONTROL_PATH, LEG_PATH
from protocol.tokens.claims import Ticket
from protocol.tokens.digests import token_key
from protocol.tokens.jws import Kind, unverified_key_id
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import verify_keyset, verify_ticket

_ROLES: Final = {ATTACH_PATH: "connector", LEG_PATH: "connector", CONNECT_PATH: "client", CONTROL_PATH: "controller"}

HTTP_STATUS: Final = {
    Reason.PROTOCOL_ERROR: 400,
    Reason.NOT_FOUND: 404,
    Reason.FORBIDDEN: 403,
    Reason.LIMIT_EXCEEDED: 503,
    Reason.RATE_LIMITED: 429,
    Reason.SHUTTING_DOWN: 503,
    Reason.UNAVAILABLE: 503,
    Reason.CONNECTOR_NOT_ATTACHED: 503,
    Reason.PAIRING_TIMEOUT: 504,
}
"""Status of each refusal; whatever is wrong with a ticket is 401."""
UNAUTHORISED: Final = 401


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request whose ticket was verified; made only by ``Admission``."""

    path: str
    connector: ConnectorHash | None
    """None for the controller."""
    ticket_key: str
    """The same for the same ticket, and nothing that could be used as one."""
    signed_by: str = ""
    """The key that vouches for this connection."""


class Admission:
    """Verifies tickets with the keys that the controller has handed out.

    Args:
        relay: Our own id, which every ticket must name.
        issuer: The controller's instance id.
        keys: From enrolment, or the last keyset.
        keys_issued_at: Unix time of that keyset; an older one is not taken again.
    """

    def __init__(self, *, relay: RelayId, issuer: str, keys: VerificationKeys, keys_issued_at: int = 0) -> None:
        self._relay = relay
        self._issuer = issuer
        self.keys = keys
        self.keys_issued_at = keys_issued_at

    def check(self, path: str, token: str, now: float) -> Admitted:
        """Verifies a ticket for ``path``.

        Raises:
            RefusedError: NOT_FOUND for an unknown path, FORBIDDEN for a ticket of another role, TOKEN_* otherwise.
        """
        role = _ROLES.get(path)
        if role is None:
            raise RefusedError(Reason.NOT_FOUND, "no such path")
        if not token:
            raise RefusedError(Reason.TOKEN_MALFORMED, "no ticket")
        try:
            ticket = verify_ticket(token, keys=self.keys, issuer=self._issuer, relay=self._relay, now=now)
        except (RemoteError, LocalError) as exc:
            raise RefusedError(exc.reason, exc.detail) from exc
        return self._admit(path, role, ticket, token)

    def replace_keys(self, token: str, now: float) -> VerificationKeys:
        """Takes a keyset that is signed by a key known so far, and returns its keys.

        Raises:
            RemoteError: TOKEN_*; TOKEN_EXPIRED for one that is older than the last (a replay would bring back a key
                that was distrusted).
        """
        keyset = verify_keyset(token, keys=self.keys, issuer=self._issuer, relay=self._relay, now=now)
        if keyset.issued_at < self.keys_issued_at:
            raise RemoteError(Reason.TOKEN_EXPIRED, "a newer keyset was taken before")
        self.keys = VerificationKeys.from_jwks_untrusted(keyset.jwks)
        self.keys_issued_at = keyset.issued_at
        return self.keys

    def _admit(self, path: str, role: str, ticket: Ticket, token: str) -> Admitted:
        if ticket.role != role:
            raise RefusedError(Reason.FORBIDDEN, f"a ticket of role {ticket.role}")
        return Admitted(path, ticket.connector_hash, token_key(token), unverified_key_id(Kind.TICKET, token))


def status_of(reason: Reason) -> int:
    """Returns the HTTP status of a refusal."""
    return HTTP_STATUS.get(reason, UNAUTHORISED)
