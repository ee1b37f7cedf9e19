"""Answers that are passed on from connectors: kept for their TTL, within bounds, for one connector, and no longer."""

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from client.core.dns_cache import ANSWER_MAX_BYTES, ANSWERS_MAX, AnswerCache
from protocol.ids import ConnectorId
from protocol.limits import DNS_NEGATIVE_TTL_S, DNS_TTL_S

HERE, THERE = ConnectorId("con_" + "A" * 22), ConnectorId("con_" + "B" * 22)
NAME = "wiki.corp.internal."


def asked(name: str = NAME, kind: str = "TXT", *, dnssec: bool = False) -> dns.message.QueryMessage:
    return dns.message.make_query(name, kind, use_edns=0, want_dnssec=dnssec)


def said(query: dns.message.Message, *records: str, rcode: int = 0, authority: str = "") -> bytes:
    """A reply with these records (``TTL TYPE DATA``)."""
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    for section, texts in ((reply.answer, records), (reply.authority, [authority] if authority else [])):
        for text in texts:
            ttl, kind, data = text.split(" ", 2)
            section.append(dns.rrset.from_text(query.question[0].name, int(ttl), "IN", kind, data))
    return reply.to_wire(max_size=65_535)


def kept(*records: str, **how: object) -> AnswerCache:
    cache = AnswerCache()
    cache.keep(asked(), said(asked(), *records, **how), HERE, 100.0)  # type: ignore[arg-type]
    return cache


def test_an_answer_lives_as_long_as_its_shortest_ttl_and_counts_down() -> None:
    cache = kept('30 TXT "a"', "20 MX 10 mail.internal.")
    found = cache.find(asked(), HERE, 112.5)
    assert found is not None
    assert [rrset.ttl for rrset in found.answer] == [18, 8]
    assert cache.find(asked("WIKI.corp.internal."), HERE, 119.9) is not None, "names compare without case"
    assert cache.find(asked(), HERE, 120.0) is None
    assert len(cache) == 0


def test_long_ttls_are_cut_and_short_ones_are_not_stretched() -> None:
    cache = kept('86400 TXT "a"')
    assert cache.find(asked(), HERE, 100.0 + DNS_TTL_S - 1) is not None
    assert cache.find(asked(), HERE, 100.0 + DNS_TTL_S) is None
    assert len(kept('0 TXT "a"')) == 0


SOA = "3600 SOA ns.internal. admin.internal. 1 3600 600 86400 "


@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.NOERROR])
def test_negative_answers_live_as_their_soa_says(rcode: int) -> None:
    short = kept(rcode=rcode, authority=SOA + "5")
    assert short.find(asked(), HERE, 104.9) is not None
    assert short.find(asked(), HERE, 105.0) is None
    long = kept(rcode=rcode, authority=SOA + "3600")
    assert long.find(asked(), HERE, 100.0 + DNS_NEGATIVE_TTL_S) is None
    assert len(kept(rcode=rcode)) == 0, "without an SOA nobody knows how long (RFC 2308 section 5)"


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_failures_are_not_kept(rcode: int) -> None:
    assert len(kept(rcode=rcode, authority=SOA + "5")) == 0


def test_truncated_and_long_answers_are_not_kept() -> None:
    cache = AnswerCache()
    whole = bytearray(said(asked(), '30 TXT "a"'))
    whole[2] |= dns.flags.TC >> 8
    cache.keep(asked(), bytes(whole), HERE, 100.0)
    cache.keep(asked(), said(asked(), *['30 TXT "' + letter * 250 + '"' for letter in "ab"]), HERE, 100.0)
    assert len(cache) == 1
    many = [f'30 TXT "{number:0250}"' for number in range(ANSWER_MAX_BYTES // 250 + 1)]
    cache.clear()
    cache.keep(asked(), said(asked(), *many), HERE, 100.0)
    assert len(cache) == 0


def test_another_connector_type_or_wish_for_signatures_is_another_question() -> None:
    cache = kept('30 TXT "a"')
    assert cache.find(asked(kind="MX"), HERE, 101.0) is None
    assert cache.find(asked(dnssec=True), HERE, 101.0) is None
    assert cache.find(asked(), HERE, 101.0) is not None
    assert cache.find(asked(), THERE, 101.0) is None
    assert cache.find(asked(), HERE, 101.0) is None, "what the other connector said is gone"


def test_the_number_of_answers_is_bounded() -> None:
    cache = AnswerCache()
    for number in range(ANSWERS_MAX + 5):
        query = asked(f"n{number}.corp.internal.")
        cache.keep(query, said(query, '30 TXT "a"'), HERE, 100.0)
    assert len(cache) == ANSWERS_MAX
    assert cache.find(asked("n0.corp.internal."), HERE, 101.0) is None
    assert cache.find(asked(f"n{ANSWERS_MAX}.corp.internal."), HERE, 101.0) is not None
