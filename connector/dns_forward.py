"""Raw DNS questions about resources: forwarded, and stripped of everything that would tell an address (C18, T-54).

The decision was made on the header's name, so the query must ask about exactly that name. Types that hold addresses are
answered with "no such data": clients answer A and AAAA with synthetic addresses themselves.
"""

from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from protocol.acl.names import normalise_name
from protocol.errors import LocalError, RemoteProtocolError

QUERY_MAX_BYTES: Final = 4096

_ADDRESS_TYPES: Final = frozenset(
    {
        dns.rdatatype.A,
        dns.rdatatype.AAAA,
        dns.rdatatype.A6,
        dns.rdatatype.HTTPS,
        dns.rdatatype.SVCB,
        dns.rdatatype.APL,
        dns.rdatatype.WKS,
        dns.rdatatype.IPSECKEY,
    }
)
_NEVER_FORWARDED: Final = _ADDRESS_TYPES | {
    dns.rdatatype.ANY,
    dns.rdatatype.AXFR,
    dns.rdatatype.IXFR,
    dns.rdatatype.RRSIG,
}


def parse_query_untrusted(wire: bytes, name: str) -> dns.message.Message:
    """Parses the client's query, which must be one question of class IN about ``name`` (canonical).

    Raises RemoteProtocolError.
    """
    try:
        query = dns.message.from_wire(wire)
        asked = normalise_name(query.question[0].name.to_text()) if len(query.question) == 1 else None
    except (dns.exception.DNSException, LocalError, ValueError, IndexError) as exc:
        raise RemoteProtocolError("malformed DNS query") from exc
    usable = (
        query.opcode() == dns.opcode.QUERY
        and not query.flags & dns.flags.QR
        and query.question[0].rdclass == dns.rdataclass.IN
    )
    if not usable or asked != name:
        raise RemoteProtocolError("the DNS query is not about the name that was opened")
    return query


def may_forward(query: dns.message.Message) -> bool:
    """Tells whether the question's type may leave; otherwise answer with ``no_data``."""
    return query.question[0].rdtype not in _NEVER_FORWARDED


def outgoing(query: dns.message.Message, name: str) -> dns.message.Message:
    """Returns our own question: nothing of the client's message but name and type reaches the resolver."""
    return dns.message.make_query(name + ".", query.question[0].rdtype, use_edns=True, payload=1232)


def no_data(query: dns.message.Message) -> bytes:
    """Returns the wire form of an answer that the name exists but has no such data."""
    return _reply(query, dns.rcode.NOERROR, [], [])


def failed(query: dns.message.Message) -> bytes:
    """Returns the wire form of SERVFAIL."""
    return _reply(query, dns.rcode.SERVFAIL, [], [])


def stripped(query: dns.message.Message, answer: dns.message.Message) -> bytes:
    """Returns the wire form of the resolver's answer to the client's query, without any address in any section."""
    return _reply(query, answer.rcode(), _harmless(answer.answer), _harmless(answer.authority))


def _harmless(section: list[dns.rrset.RRset]) -> list[dns.rrset.RRset]:
    return [
        rrset
        for rrset in section
        if rrset.rdtype not in _ADDRESS_TYPES
        and not (rrset.rdtype == dns.rdatatype.RRSIG and rrset.covers in _ADDRESS_TYPES)
    ]


def _reply(
    query: dns.message.Message,
    rcode: dns.rcode.Rcode,
    answer: list[dns.rrset.RRset],
    authority: list[dns.rrset.RRset],
) -> bytes:
    reply = dns.message.make_response(query, recursion_available=True)
    reply.set_rcode(rcode)
    reply.answer = answer
    reply.authority = authority
    try:
        return reply.to_wire(max_size=65535)
    except dns.exception.TooBig:
        return _reply(query, dns.rcode.SERVFAIL, [], [])
