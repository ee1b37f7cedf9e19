"""Answers in wire form: valid, of bounded size, with the question as it was asked."""

from ipaddress import ip_address

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.core import dns_answers
from protocol.errors import RemoteProtocolError
from protocol.reasons import Reason


def query(
    name: str = "Db.Prod.INTERNAL", kind: str = "A", *, edns: bool = True, payload: int = 1232
) -> dns.message.Message:
    return dns.message.make_query(name, kind, use_edns=0 if edns else -1, payload=payload if edns else None)


def parsed(data: bytes) -> dns.message.Message:
    return dns.message.from_wire(data)


def test_addresses_repeat_the_spelling_of_the_question() -> None:
    asked = query()
    data = dns_answers.addresses(asked, [ip_address("100.96.0.16")], 30, tcp=False)
    answer = parsed(data)
    assert answer.id == asked.id
    assert answer.question[0].to_text() == "Db.Prod.INTERNAL. IN A"
    assert [rrset.to_text() for rrset in answer.answer] == ["Db.Prod.INTERNAL. 30 IN A 100.96.0.16"]
    assert answer.flags & (dns.flags.QR | dns.flags.RA | dns.flags.RD) == dns.flags.QR | dns.flags.RA | dns.flags.RD
    assert b"Db\x04Prod\x08INTERNAL" in data


def test_edns_only_to_those_who_speak_it() -> None:
    assert parsed(dns_answers.addresses(query(), [ip_address("::1")], 1, tcp=False)).edns == 0
    assert parsed(dns_answers.addresses(query(edns=False), [ip_address("::1")], 1, tcp=False)).edns == -1


def test_negative_has_the_soa_that_caches_need() -> None:
    zone = dns.name.from_text("prod.internal")
    answer = parsed(dns_answers.negative(query(), dns.rcode.NXDOMAIN, zone, tcp=False))
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert answer.authority[0].name == zone
    assert answer.authority[0].rdtype == dns.rdatatype.SOA


def test_failure_says_why() -> None:
    answer = parsed(dns_answers.failure(query(), Reason.NO_CONNECTOR, tcp=False))
    assert answer.rcode() == dns.rcode.SERVFAIL
    (option,) = answer.options
    assert isinstance(option, dns.edns.EDEOption)
    assert option.code == dns.edns.EDECode.NO_REACHABLE_AUTHORITY
    assert option.text == f"{Reason.NO_CONNECTOR.sentence} {Reason.NO_CONNECTOR.next_step}"


@pytest.mark.parametrize("reason", [Reason.GRANT_EXPIRED, Reason.SIGN_IN_REQUIRED])
def test_failure_by_policy_is_prohibited(reason: Reason) -> None:
    (option,) = parsed(dns_answers.failure(query(), reason, tcp=False)).options
    assert isinstance(option, dns.edns.EDEOption)
    assert option.code == dns.edns.EDECode.PROHIBITED


def test_failure_without_edns_is_silent_about_it() -> None:
    answer = parsed(dns_answers.failure(query(edns=False), Reason.NO_CONNECTOR, tcp=False))
    assert answer.rcode() == dns.rcode.SERVFAIL
    assert answer.options == ()


def test_format_error_keeps_id_and_opcode() -> None:
    answer = dns_answers.format_error(b"\xab\xcd\x09\x00" + bytes(8) + b"rest")
    assert len(answer) == 12
    message = parsed(answer)
    assert (message.id, message.rcode()) == (0xABCD, dns.rcode.FORMERR)
    assert message.flags & dns.flags.QR


def test_parse_query_refuses_garbage() -> None:
    assert dns_answers.parse_query(b"\0" * 11) is None
    assert dns_answers.parse_query(query().to_wire()[:-3]) is None


def reply(asked: dns.message.Message, *records: tuple[str, str, str]) -> dns.message.Message:
    message = dns.message.make_response(asked)
    for name, kind, text in records:
        message.answer.append(dns.rrset.from_text(name, 60, "IN", kind, text))
    return message


def test_c18_addresses_never_pass() -> None:
    asked = query("corp.internal", "MX")
    theirs = reply(asked, ("corp.internal.", "MX", "10 mail.corp.internal."), ("corp.internal.", "A", "10.0.0.1"))
    theirs.additional.append(dns.rrset.from_text("mail.corp.internal.", 60, "IN", "A", "10.0.0.2"))
    theirs.additional.append(dns.rrset.from_text("mail.corp.internal.", 60, "IN", "AAAA", "fd00::2"))
    theirs.authority.append(dns.rrset.from_text("corp.internal.", 60, "IN", "NS", "ns.corp.internal."))
    theirs.authority.append(dns.rrset.from_text("corp.internal.", 60, "IN", "HTTPS", "1 . ipv4hint=10.0.0.3"))
    theirs.authority.append(dns.rrset.from_text("corp.internal.", 60, "IN", "SVCB", "1 . ipv4hint=10.0.0.4"))
    answer = parsed(dns_answers.without_addresses(asked, theirs.to_wire(), tcp=True))
    kinds = [rrset.rdtype for section in answer.sections[1:] for rrset in section]
    assert kinds == [dns.rdatatype.MX, dns.rdatatype.NS]


def test_reply_of_another_id_is_taken_for_this_question() -> None:
    asked = query("corp.internal", "TXT")
    theirs = reply(asked, ("corp.internal.", "TXT", '"hello"'))
    theirs.id = (asked.id + 1) & 0xFFFF
    answer = parsed(dns_answers.without_addresses(asked, theirs.to_wire(), tcp=False))
    assert answer.id == asked.id
    assert len(answer.answer) == 1


def test_rcode_of_the_connector_passes() -> None:
    asked = query("corp.internal", "TXT")
    theirs = reply(asked)
    theirs.set_rcode(dns.rcode.NXDOMAIN)
    assert parsed(dns_answers.without_addresses(asked, theirs.to_wire(), tcp=False)).rcode() == dns.rcode.NXDOMAIN


def test_reply_to_another_question_is_an_error() -> None:
    asked = query("corp.internal", "TXT")
    for wrong in (
        reply(query("evil.internal", "TXT")).to_wire(),
        reply(query("corp.internal", "MX")).to_wire(),
        asked.to_wire(),
        b"garbage",
        b"",
    ):
        with pytest.raises(RemoteProtocolError):
            dns_answers.without_addresses(asked, wrong, tcp=False)


@pytest.mark.parametrize(
    ("edns", "payload", "tcp", "limit"),
    [(False, 0, False, 512), (True, 1232, False, 1232), (True, 100, False, 512), (True, 65000, False, 4096)],
)
def test_udp_answer_that_does_not_fit_is_truncated(edns: bool, payload: int, tcp: bool, limit: int) -> None:
    asked = query("corp.internal", "TXT", edns=edns, payload=payload)
    text = " ".join(f'"{number:0>250}"' for number in range(limit // 250 + 1))
    theirs = reply(asked, ("corp.internal.", "TXT", text)).to_wire(max_size=65535)
    short = dns_answers.without_addresses(asked, theirs, tcp=tcp)
    assert len(short) <= limit
    assert parsed(short).flags & dns.flags.TC
    assert parsed(short).answer == []
    long = parsed(dns_answers.without_addresses(asked, theirs, tcp=True))
    assert not long.flags & dns.flags.TC
    assert len(long.answer) == 1


def test_pointer() -> None:
    asked = query("16.0.96.100.in-addr.arpa", "PTR")
    answer = parsed(dns_answers.pointer(asked, "db.prod.internal", 60, tcp=False))
    assert answer.answer[0].to_text() == "16.0.96.100.in-addr.arpa. 60 IN PTR db.prod.internal."


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_t58_any_reply_is_an_answer_or_an_error(data: bytes) -> None:
    asked = query("corp.internal", "TXT")
    try:
        answer = dns_answers.without_addresses(asked, asked.to_wire()[:2] + data, tcp=False)
    except RemoteProtocolError:
        return
    assert parsed(answer).question == asked.question


@pytest.mark.parametrize("reason", [Reason.PAIRING_TIMEOUT, Reason.NAME_WITHHELD, Reason.CONNECTION_RESET])
def test_the_reason_of_a_failure_is_read_back(reason: Reason) -> None:
    assert dns_answers.reason_of(parsed(dns_answers.failure(query(), reason, tcp=True))) is reason
    assert dns_answers.reason_of(parsed(dns_answers.addresses(query(), [ip_address("::1")], 1, tcp=True))) is None
