"""What connectors' resolvers answered to questions that are passed on to them (SRV, TXT, MX and others), kept for its TTL.

An answer counts for one name, type and class, and only while the connector that gave it is the one that would be asked. It is
bounded in number, size and time, and emptied with every policy. Negative answers are kept as RFC 2308 says: as long as their
SOA allows, and not at all without one; failures and truncated answers are not kept.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from protocol.ids import ConnectorId
from protocol.limits import DNS_NEGATIVE_TTL_S, DNS_TTL_S

ANSWERS_MAX: Final = 2_048
ANSWER_MAX_BYTES: Final = 8 * 1024
"""A longer one is asked for again: so the whole cache is at most 16 MiB."""

_Key = tuple[dns.name.Name, int, int, int]


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: dns.message.Message
    connector: ConnectorId
    since: float
    until: float


class AnswerCache:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, query: dns.message.Message, answer: bytes, connector: ConnectorId, now: float) -> None:
        """Keeps what a connector answered to ``query``, in the form in which the asker got it, if it may be kept."""
        if len(answer) > ANSWER_MAX_BYTES or len(query.question) != 1:
            return
        message = dns.message.from_wire(answer)
        life = _life(message)
        if life < 1:
            return
        key = _key(query)
        self._kept[key] = _Kept(message, connector, now, now + life)
        self._kept.move_to_end(key)
        if len(self._kept) > ANSWERS_MAX:
            self._kept.popitem(last=False)

    def find(self, query: dns.message.Message, connector: ConnectorId, now: float) -> dns.message.Message | None:
        """Returns what was kept, with what is left of its TTLs; None: it has to be asked for."""
        if len(query.question) != 1:
            return None
        key = _key(query)
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until <= now or kept.connector != connector:
            del self._kept[key]
            return None
        age = int(now - kept.since)
        found = dns.message.Message(id=kept.answer.id)
        found.flags, found.question = kept.answer.flags, kept.answer.question
        for section, rrset in _records(kept.answer):
            left = max(1, rrset.ttl - age)
            found.sections[section].append(dns.rrset.from_rdata_list(rrset.name, left, list(rrset)))
        return found

    def clear(self) -> None:
        """Forgets everything: names may lie in other networks now."""
        self._kept.clear()


def _key(query: dns.message.Message) -> _Key:
    # Names compare without case; those who want signatures get another answer than those who do not.
    question = query.question[0]
    return question.name, int(question.rdtype), int(question.rdclass), query.ednsflags & dns.flags.DO


def _records(message: dns.message.Message) -> Iterator[tuple[int, dns.rrset.RRset]]:
    for section in (dns.message.ANSWER, dns.message.AUTHORITY, dns.message.ADDITIONAL):
        for rrset in message.sections[section]:
            yield section, rrset


def _life(message: dns.message.Message) -> float:
    """How long an answer may be kept; 0 when it may not."""
    if message.flags & dns.flags.TC or message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return 0
    ttls = [rrset.ttl for _, rrset in _records(message)]
    if message.answer and message.rcode() is dns.rcode.NOERROR:
        return min([DNS_TTL_S, *ttls])
    soas = [rrset for rrset in message.authority if rrset.rdtype == dns.rdatatype.SOA]
    if not soas:
        return 0
    return min([DNS_NEGATIVE_TTL_S, int(soas[0][0].minimum), *ttls])
