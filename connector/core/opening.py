"""The connector's last word on a new stream (C19, C24; threats T-30, T-32, T-35).

Everything that the client says is only a question: what may be served follows from the verified token, the signed config,
the cut-offs, the lease, and nothing else. Deny by default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from connector.core.admission import Admitted
from connector.core.config import ServedConfig
from connector.core.cutoffs import Cutoffs
from protocol.acl.decide import decide_both
from protocol.acl.dns_names import match_question
from protocol.acl.match import AclIndex
from protocol.acl.model import Decision, Deny, Entry, Permit, Request, Transport
from protocol.acl.names import parse_host
from protocol.errors import LocalError
from protocol.reasons import Reason
from protocol.streams import StreamHeader

_TRANSPORTS: Final = {"tcp": Transport.TCP, "udp": Transport.UDP, "icmp": Transport.ICMP}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the decision depends on besides the question."""

    admitted: Admitted
    served: ServedConfig | None
    cutoffs: Cutoffs
    wall: float
    """Unix seconds."""
    away_s: float
    """Seconds since the controller was last heard."""


def decide_open(header: StreamHeader, facts: Circumstances) -> tuple[Request | None, Decision]:
    """Decides a stream of any kind.

    Returns:
        The request as understood (None when it makes no sense) and the decision. For ``resolve`` and ``dns`` the request's
        transport means nothing: a name may be asked for when any entry covers it. A ``dns`` question about a service or about
        an address in reverse is one about that host, or about that address.
    """
    try:
        host = parse_host(header.host)
    except LocalError:
        # What is neither a name nor an address in canonical form is not guessed at (T-31).
        return None, Deny(Reason.INVALID_INPUT)
    transport = _TRANSPORTS.get(header.kind)
    if transport is None:
        if not isinstance(host, str):
            return None, Deny(Reason.INVALID_INPUT)
        request = Request(host, Transport.UDP, 53)
        matching = match_question if header.kind == "dns" else AclIndex.match_name
        return request, _also_in_force(_decide_name(host, matching, facts), facts)
    port = None if transport is Transport.ICMP else header.port
    request = Request(host, transport, port)
    if transport is not Transport.ICMP and port is None:
        return request, Deny(Reason.INVALID_INPUT)
    if facts.served is None:
        return request, Deny(Reason.UNAVAILABLE)
    decision = decide_both(facts.admitted.acl, facts.served.acl, request, facts.wall)
    return request, _also_in_force(decision, facts)


def lease_of(entry: Entry, served: AclIndex) -> int:
    """Returns the lease in seconds: the config's word counts, it is newer than any token or the same."""
    own = served.entry(entry.resource.id)
    return entry.resource.lease_s if own is None else own.resource.lease_s


def _decide_name(name: str, matching: Callable[[AclIndex, str], tuple[Entry, ...]], facts: Circumstances) -> Decision:
    """The first resource that covers the name in both lists permits its resolution."""
    if facts.served is None:
        return Deny(Reason.UNAVAILABLE)
    entries = matching(facts.admitted.acl, name)
    if not entries:
        return Deny(Reason.NOT_A_RESOURCE)
    served = {entry.resource.id for entry in matching(facts.served.acl, name)}
    reason = Reason.CONNECTOR_NOT_ALLOWED
    for entry in entries:
        if entry.expires is not None and entry.expires <= facts.wall:
            reason = Reason.GRANT_EXPIRED
        elif entry.resource.id in served:
            return Permit(entry)
    return Deny(reason, entries[0].resource.id)


def _also_in_force(decision: Decision, facts: Circumstances) -> Decision:
    """A permit must also survive the cut-offs and the lease."""
    if isinstance(decision, Deny) or facts.served is None:
        return decision
    resource = decision.entry.resource.id
    peer = facts.admitted.peer
    if facts.cutoffs.refusal(peer.device, resource, peer.issued_at) is not None:
        return Deny(Reason.TOKEN_REVOKED, resource)
    if facts.served.expired(facts.wall) or facts.away_s > lease_of(decision.entry, facts.served.acl):
        return Deny(Reason.LEASE_EXPIRED, resource)
    return decision
