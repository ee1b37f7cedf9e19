"""The local resolver's decisions (design C8, C9, C18; threat T-54).

Every question about a resource's name is answered here or by the resource's connector, whatever its type; every other
question goes to the host's own resolvers with its bytes untouched.

    question                                       decision
    A, AAAA, ANY of a resource's name              synthetic addresses, after the connector said that the name exists
    HTTPS, SVCB of it                              NODATA: address hints would lead around the tunnel
    other types of it, and of services at it       the connector's resolver, less all records that hold addresses
    PTR of a synthetic address                     its name
    PTR of an address in a resource's network      the connector's resolver
    a guarded name that is no resource now         SERVFAIL: strict DNS asks nobody (T-55)
    one with a search domain of the host behind it NXDOMAIN with strict DNS: the C library has made it up
    an address in a network, …net.ostiary.internal synthetic addresses, or NXDOMAIN; nobody else is asked
    use-application-dns.net                        NXDOMAIN: browsers keep to the host's resolver
    resolver.arpa                                  NODATA (RFC 9462 section 6.4): nobody moves to another resolver
    anything else                                  upstream

A question that cannot be read is not forwarded: it might be one about a resource.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

import dns.exception
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from client.core import dns_answers
from client.core.classify import Classifier
from client.core.dns_cache import AnswerCache
from client.core.dns_guard import NameGuard
from client.core.network_names import SUFFIX, is_network_name
from client.core.synthetic import SyntheticPool
from protocol.acl.dns_names import match_question, reverse_address
from protocol.acl.model import Entry, IPAddress, NamePattern
from protocol.acl.names import is_canonical_name
from protocol.errors import LocalError
from protocol.ids import ConnectorId
from protocol.limits import DNS_NEGATIVE_TTL_S, DNS_TTL_S
from protocol.reasons import Reason

KNOWN_NAMES_MAX: Final = 16_384
"""Answers of connectors that are kept; under a wildcard an application can ask for any number of names."""
_FAILURE_TTL_S: Final = 1.0
"""A connector's resolver that failed is not asked again for the retransmits of the same question."""

CANARY: Final = "use-application-dns.net"
_RESOLVER_ARPA: Final = "resolver.arpa"
_REVERSE: Final = (".in-addr.arpa", ".ip6.arpa")
_ADDRESS_TYPES: Final = frozenset({dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.ANY})
_HINT_TYPES: Final = frozenset({dns.rdatatype.HTTPS, dns.rdatatype.SVCB})
_META_TYPES: Final = range(128, 256)
"""RFC 6895 section 3.1: types that only occur in questions (ANY is dealt with before)."""

_HEADER: Final = Struct("!HHH")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\Z")


@dataclass(frozen=True, slots=True)
class Answer:
    """Send ``data``; before that, make sure that ``routes`` lead into the TUN device."""

    data: bytes
    routes: tuple[IPAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class AskConnector:
    """Open a ``resolve`` stream for ``name``, ``learn`` what it says and decide again, or send ``failure``.

    One stream per name is enough for all questions that wait for it.
    """

    name: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class ForwardDns:
    """Send the query on a ``dns`` stream for ``name``, and what ``filtered`` makes of the reply to the asker."""

    name: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class ForwardUpstream:
    """Send the query's bytes to the host's own resolver and its reply's bytes to the asker."""


@dataclass(frozen=True, slots=True)
class Ignore:
    """Not a query at all: no answer."""


DnsDecision = Answer | AskConnector | ForwardDns | ForwardUpstream | Ignore


class _Question(NamedTuple):
    name: dns.name.Name
    host: str
    usual: bool
    """``host`` is the name itself; else odd labels are replaced, so that wildcards cover it all the same."""
    rdtype: int
    rdclass: int
    opcode: int


@dataclass(frozen=True, slots=True)
class _Known:
    rcode: int
    exists: bool
    until: float


class DnsDecider:
    """Decides about each query; keeps what connectors said about names."""

    def __init__(self, classifier: Classifier, pool: SyntheticPool, guard: NameGuard | None = None) -> None:
        self._classifier = classifier
        self._pool = pool
        self._guard = guard or NameGuard(strict=False)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._answers = AnswerCache()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def synthetic_count(self) -> int:
        """How many names have synthetic addresses."""
        return len(self._pool)

    def decide(self, query: bytes, now: float, *, tcp: bool) -> DnsDecision:
        """Decides about one query (without the length prefix of TCP)."""
        if len(query) < 12 or query[2] & 0x80:
            return Ignore()
        question = _parse_question(query)
        if question is None:
            return Answer(dns_answers.format_error(query))
        local = self._decide_local(query, question, now, tcp=tcp)
        if local is not None:
            return local
        entries = match_question(self._classifier.index, question.host)
        if entries:
            return self._decide_ours(query, question, entries, now, tcp=tcp)
        return self._decide_guarded(query, question, tcp=tcp) or ForwardUpstream()

    def learn(self, name: str, rcode: int, ttl: int, families: tuple[str, ...], now: float) -> None:
        """Takes a connector's answer to AskConnector: response code, TTL and the families that the name has."""
        if rcode == dns.rcode.NOERROR and families:
            life = float(min(max(ttl, 1), DNS_TTL_S))
        elif rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            life = float(min(max(ttl, 1), DNS_NEGATIVE_TTL_S))
        else:
            life = _FAILURE_TTL_S
        self._known[name] = _Known(rcode, bool(families), now + life)
        self._known.move_to_end(name)
        if len(self._known) > KNOWN_NAMES_MAX:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """Forgets what connectors said, because names may lie in other networks (a new snapshot)."""
        self._known.clear()
        self._answers.clear()

    def failure(self, query: bytes, reason: Reason, *, tcp: bool) -> bytes:
        """Returns SERVFAIL for a query that was decided about and could not be served."""
        parsed = dns_answers.parse_query(query)
        if parsed is None or not parsed.question:
            return dns_answers.format_error(query)
        return dns_answers.failure(parsed, reason, tcp=tcp)

    def filtered(
        self, query: bytes, reply: bytes, *, tcp: bool, connector: ConnectorId | None = None, now: float = 0.0
    ) -> bytes:
        """Returns the answer to a query after ForwardDns. Raises RemoteProtocolError when ``reply`` is none to it.

        ``connector``: it is kept for those who ask again while they would be sent to the same one.
        """
        parsed = dns_answers.parse_query(query)
        if parsed is None:
            return dns_answers.format_error(query)
        if connector is not None:
            self._answers.keep(parsed, dns_answers.without_addresses(parsed, reply, tcp=True), connector, now)
        return dns_answers.without_addresses(parsed, reply, tcp=tcp)

    def remembered(self, query: bytes, connector: ConnectorId, now: float, *, tcp: bool) -> bytes | None:
        """Returns the answer to a query after ForwardDns that ``connector`` gave lately; None: it is to be asked."""
        parsed = dns_answers.parse_query(query)
        found = None if parsed is None else self._answers.find(parsed, connector, now)
        return None if parsed is None or found is None else dns_answers.again(parsed, found, tcp=tcp)

    def _decide_ours(
        self, raw: bytes, question: _Question, entries: tuple[Entry, ...], now: float, *, tcp: bool
    ) -> DnsDecision:
        query = dns_answers.parse_query(raw)
        if query is None or len(query.question) != 1:
            return Answer(dns_answers.format_error(raw))
        reason = self._refusal(entries, now)
        zone = _zone(entries[0], question)
        if question.opcode != dns.opcode.QUERY or question.rdclass not in (dns.rdataclass.IN, dns.rdataclass.ANY):
            refused = dns_answers.failure(query, Reason.FORBIDDEN, tcp=tcp, rcode=dns.rcode.REFUSED)
            decision: DnsDecision = Answer(refused)
        elif reason is not None:
            decision = Answer(dns_answers.failure(query, reason, tcp=tcp))
        elif not question.usual:
            decision = Answer(dns_answers.negative(query, dns.rcode.NXDOMAIN, zone, tcp=tcp))
        elif question.rdtype in _ADDRESS_TYPES and self._is_host(question, entries[0]):
            decision = self._decide_addresses(query, question, entries, now, tcp=tcp)
        elif question.rdtype in _ADDRESS_TYPES or question.rdtype in _HINT_TYPES:
            decision = Answer(dns_answers.negative(query, dns.rcode.NOERROR, zone, tcp=tcp))
        elif question.rdtype in _META_TYPES:
            refused = dns_answers.failure(query, Reason.FORBIDDEN, tcp=tcp, rcode=dns.rcode.REFUSED)
            decision = Answer(refused)
        else:
            decision = ForwardDns(question.host, self._living(entries, now)[0])
        return decision

    def _decide_addresses(
        self, query: dns.message.Message, question: _Question, entries: tuple[Entry, ...], now: float, *, tcp: bool
    ) -> DnsDecision:
        known = self._known.get(question.host)
        if known is None or known.until <= now:
            return AskConnector(question.host, self._living(entries, now)[0])
        if known.rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return Answer(dns_answers.failure(query, Reason.RESOLVER_FAILED, tcp=tcp))
        if not known.exists:
            rcode, ttl = dns.rcode.Rcode(known.rcode), max(1, int(known.until - now))
            return Answer(dns_answers.negative(query, rcode, _zone(entries[0], question), tcp=tcp, ttl=ttl))
        try:
            synthetic = self._pool.assign(question.host, now)
        except LocalError as exc:
            return Answer(dns_answers.failure(query, exc.reason, tcp=tcp))
        wanted = {dns.rdatatype.A: (4,), dns.rdatatype.AAAA: (6,)}.get(dns.rdatatype.RdataType(question.rdtype), (4, 6))
        found = [address for address in synthetic.addresses if address.version in wanted]
        if not found:
            return Answer(dns_answers.negative(query, dns.rcode.NOERROR, _zone(entries[0], question), tcp=tcp))
        ttl = max(1, int(known.until - now))
        return Answer(dns_answers.addresses(query, found, ttl, tcp=tcp), synthetic.addresses)

    def _decide_local(self, raw: bytes, question: _Question, now: float, *, tcp: bool) -> DnsDecision | None:
        """Questions that are nobody's resource and are answered here all the same."""
        host = question.host
        if is_network_name(host):
            return self._decide_network_name(raw, question, now, tcp=tcp)
        canary = host == CANARY
        if not canary and host != _RESOLVER_ARPA and not host.endswith("." + _RESOLVER_ARPA):
            return self._decide_reverse(raw, question, tcp=tcp) if host.endswith(_REVERSE) else None
        query = dns_answers.parse_query(raw)
        if query is None:
            return Answer(dns_answers.format_error(raw))
        rcode = dns.rcode.NXDOMAIN if canary else dns.rcode.NOERROR
        return Answer(dns_answers.negative(query, rcode, question.name, tcp=tcp))

    def _decide_network_name(self, raw: bytes, question: _Question, now: float, *, tcp: bool) -> DnsDecision:
        """An address in a remote network: nobody has to be asked, and nobody is, whether it is ours or not."""
        query = dns_answers.parse_query(raw)
        if query is None:
            return Answer(dns_answers.format_error(raw))
        zone = dns.name.from_text(SUFFIX)
        located = self._classifier.locate(question.host) if question.usual else None
        entries = () if located is None else located[1].match_address(located[0])
        if not entries:
            return Answer(dns_answers.negative(query, dns.rcode.NXDOMAIN, zone, tcp=tcp))
        reason = self._refusal(entries, now)
        if reason is not None:
            return Answer(dns_answers.failure(query, reason, tcp=tcp))
        try:
            synthetic = self._pool.assign(question.host, now)
        except LocalError as exc:
            return Answer(dns_answers.failure(query, exc.reason, tcp=tcp))
        wanted = {dns.rdatatype.A: (4,), dns.rdatatype.AAAA: (6,), dns.rdatatype.ANY: (4, 6)}
        versions = wanted.get(dns.rdatatype.RdataType(question.rdtype), ())
        found = [address for address in synthetic.addresses if address.version in versions]
        if not found:
            return Answer(dns_answers.negative(query, dns.rcode.NOERROR, zone, tcp=tcp))
        return Answer(dns_answers.addresses(query, found, DNS_TTL_S, tcp=tcp), synthetic.addresses)

    def _decide_reverse(self, raw: bytes, question: _Question, *, tcp: bool) -> DnsDecision | None:
        address = reverse_address(question.host)
        if address is None or not self._pool.owns(address):
            return None
        query = dns_answers.parse_query(raw)
        if query is None:
            return Answer(dns_answers.format_error(raw))
        item = self._pool.find(address.packed)
        if item is None:
            return Answer(dns_answers.negative(query, dns.rcode.NXDOMAIN, question.name, tcp=tcp))
        if question.rdtype not in (dns.rdatatype.PTR, dns.rdatatype.ANY):
            return Answer(dns_answers.negative(query, dns.rcode.NOERROR, question.name, tcp=tcp))
        return Answer(dns_answers.pointer(query, item.name, DNS_TTL_S, tcp=tcp))

    def _decide_guarded(self, raw: bytes, question: _Question, *, tcp: bool) -> DnsDecision | None:
        """What strict DNS keeps here although nobody may answer it at the moment."""
        covered = self._guard.covers(question.host)
        if not covered and not self._guard.covers_searched(question.host):
            return None
        query = dns_answers.parse_query(raw)
        if query is None or len(query.question) != 1:
            return Answer(dns_answers.format_error(raw))
        if not covered:
            # The library goes on with its next name, and tells the program what it was told about the first one.
            return Answer(dns_answers.negative(query, dns.rcode.NXDOMAIN, question.name, tcp=tcp))
        reason = self._classifier.blocked or Reason.NAME_WITHHELD
        return Answer(dns_answers.failure(query, reason, tcp=tcp))

    def _is_host(self, question: _Question, entry: Entry) -> bool:
        """Whether the question's own name is a resource's: services at it and reverse names have no addresses."""
        return isinstance(entry.resource.address, NamePattern) and bool(
            self._classifier.index.match_name(question.host)
        )

    def _refusal(self, entries: tuple[Entry, ...], now: float) -> Reason | None:
        if self._classifier.blocked is not None:
            return self._classifier.blocked
        return None if self._living(entries, now) else Reason.GRANT_EXPIRED

    def _living(self, entries: tuple[Entry, ...], now: float) -> list[Entry]:
        wall = self._classifier.wall(now)
        return [entry for entry in entries if entry.expires is None or entry.expires > wall]


def _parse_question(query: bytes) -> _Question | None:
    _, flags, count = _HEADER.unpack_from(query)
    if count != 1:
        return None
    try:
        name, used = dns.name.from_wire(query, 12)
    except (dns.exception.DNSException, ValueError):
        return None
    end = 12 + used
    if len(query) < end + 4:
        return None
    labels = [label.decode("latin-1").lower() for label in name.labels if label]
    host = ".".join(labels)
    usual = is_canonical_name(host) and not any("." in label for label in labels)
    if not usual:
        host = ".".join(label if _LABEL.match(label) else "x" for label in labels)
    rdtype, rdclass = query[end] << 8 | query[end + 1], query[end + 2] << 8 | query[end + 3]
    return _Question(name, host, usual, rdtype, rdclass, flags >> 11 & 15)


def _zone(entry: Entry, question: _Question) -> dns.name.Name:
    """The name whose SOA a negative answer shows: the part of the resource's address that stands fast."""
    pattern = entry.resource.address
    if not isinstance(pattern, NamePattern):
        return question.name  # in reverse
    return dns.name.from_text(str(pattern).removeprefix("*."))
