"""DNS answers that the client makes itself, in wire form (RFC 1035, EDNS RFC 6891, extended errors RFC 8914).

The question is copied from the query, so that its spelling (0x20) comes back unchanged. A UDP answer that does not fit is
truncated (TC), and the asker comes again over TCP.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from protocol.acl.model import IPAddress
from protocol.errors import RemoteProtocolError
from protocol.limits import DNS_NEGATIVE_TTL_S
from protocol.reasons import Reason

UDP_PLAIN_MAX: Final = 512
"""Without EDNS (RFC 1035 section 4.2.1)."""
UDP_MAX: Final = 4096
"""The way to the asker never leaves the host."""
OUR_PAYLOAD: Final = 1232
TCP_MAX: Final = 65535

HIDDEN_TYPES: Final = frozenset(
    {dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.HTTPS, dns.rdatatype.SVCB, dns.rdatatype.A6, dns.rdatatype.APL}
)
"""Records that hold addresses: the client must not learn a resource's real one (C18)."""

_POLICY_NUMBERS: Final = range(20, 70)


def parse_query(query: bytes) -> dns.message.Message | None:
    """Parses a whole query; None when it is malformed."""
    try:
        return dns.message.from_wire(query)
    except (dns.exception.DNSException, ValueError):
        return None


def format_error(query: bytes) -> bytes:
    """Returns FORMERR for a query of which at least the header is there (RFC 1035 section 4.1.1)."""
    return query[:2] + bytes([0x80 | query[2] & 0x79, int(dns.rcode.FORMERR)]) + bytes(8)


def addresses(query: dns.message.Message, found: Sequence[IPAddress], ttl: int, *, tcp: bool) -> bytes:
    """Returns the addresses of the name that was asked for."""
    response = _response(query)
    name = query.question[0].name
    for address in found:
        kind = "A" if address.version == 4 else "AAAA"
        response.answer.append(dns.rrset.from_text(name, ttl, "IN", kind, str(address)))
    return _wire(response, query, tcp=tcp)


def pointer(query: dns.message.Message, target: str, ttl: int, *, tcp: bool) -> bytes:
    """Returns a PTR record."""
    response = _response(query)
    response.answer.append(dns.rrset.from_text(query.question[0].name, ttl, "IN", "PTR", target + "."))
    return _wire(response, query, tcp=tcp)


def negative(
    query: dns.message.Message,
    rcode: dns.rcode.Rcode,
    zone: dns.name.Name,
    *,
    tcp: bool,
    ttl: int = DNS_NEGATIVE_TTL_S,
) -> bytes:
    """Returns NODATA (NOERROR) or NXDOMAIN, with the SOA that lets resolvers keep it for ``ttl`` seconds (RFC 2308)."""
    response = _response(query)
    response.set_rcode(rcode)
    text = f"ostiary.invalid. hostmaster.ostiary.invalid. 1 3600 600 86400 {ttl}"
    response.authority.append(dns.rrset.from_text(zone, ttl, "IN", "SOA", text))
    return _wire(response, query, tcp=tcp)


def failure(
    query: dns.message.Message, reason: Reason, *, tcp: bool, rcode: dns.rcode.Rcode = dns.rcode.SERVFAIL
) -> bytes:
    """Returns an error which says why, to those who understand extended errors."""
    response = _response(query)
    response.set_rcode(rcode)
    if query.edns >= 0:
        policy = reason.number in _POLICY_NUMBERS or reason is Reason.SIGN_IN_REQUIRED
        code = dns.edns.EDECode.PROHIBITED if policy else dns.edns.EDECode.NO_REACHABLE_AUTHORITY
        response.use_edns(0, 0, OUR_PAYLOAD, options=[dns.edns.EDEOption(code, _told(reason))])
    return _wire(response, query, tcp=tcp)


def reason_of(reply: dns.message.Message) -> Reason | None:
    """Returns the reason in what ``failure`` made; None when no such reason is in it."""
    texts = {getattr(option, "text", None) for option in reply.options}
    return next((reason for reason in Reason if _told(reason) in texts), None)


def _told(reason: Reason) -> str:
    return f"{reason.sentence} {reason.next_step}".strip()


def without_addresses(query: dns.message.Message, reply: bytes, *, tcp: bool) -> bytes:
    """Returns a connector's reply as an answer to ``query``, without the records that hold addresses.

    Raises:
        RemoteProtocolError: it is no reply to this question.
    """
    try:
        theirs = dns.message.from_wire(reply)
    except (dns.exception.DNSException, ValueError) as exc:
        raise RemoteProtocolError("the connector's DNS reply is malformed") from exc
    if not theirs.flags & dns.flags.QR or theirs.question != query.question:
        raise RemoteProtocolError("the connector's DNS reply is to another question")
    return again(query, theirs, tcp=tcp)


def again(query: dns.message.Message, theirs: dns.message.Message, *, tcp: bool) -> bytes:
    """Returns ``theirs`` as an answer to ``query``, without the records that hold addresses."""
    response = _response(query)
    response.set_rcode(theirs.rcode())
    response.answer = _visible(theirs.answer)
    response.authority = _visible(theirs.authority)
    response.additional = _visible(theirs.additional)
    return _wire(response, query, tcp=tcp)


def _visible(section: Iterable[dns.rrset.RRset]) -> list[dns.rrset.RRset]:
    return [rrset for rrset in section if not {rrset.rdtype, rrset.covers} & HIDDEN_TYPES]


def _response(query: dns.message.Message) -> dns.message.Message:
    return dns.message.make_response(query, recursion_available=True, our_payload=OUR_PAYLOAD)


def _wire(response: dns.message.Message, query: dns.message.Message, *, tcp: bool) -> bytes:
    if tcp:
        limit = TCP_MAX
    elif query.edns < 0:
        limit = UDP_PLAIN_MAX
    else:
        limit = min(max(query.payload, UDP_PLAIN_MAX), UDP_MAX)
    try:
        return response.to_wire(max_size=limit)
    except dns.exception.TooBig:
        response.answer, response.authority, response.additional = [], [], []
        response.flags |= dns.flags.TC
        return response.to_wire(max_size=limit)
