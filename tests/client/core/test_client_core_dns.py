"""What is answered here, by a connector, or by the host's own resolver (T-54, C9, C18)."""

from ipaddress import IPv4Network, ip_address

import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset
import pytest
from client_policy import WALL, entry, index
from hypothesis import given, settings
from hypothesis import strategies as st

from client.core.addresses import AddressPlan, plan_addresses
from client.core.classify import Classifier
from client.core.dns import KNOWN_NAMES_MAX, Answer, AskConnector, DnsDecider, ForwardDns, ForwardUpstream, Ignore
from client.core.synthetic import SyntheticPool
from protocol.ids import ConnectorId
from protocol.limits import DNS_NEGATIVE_TTL_S, DNS_TTL_S
from protocol.reasons import Reason

NAME = "db.prod.internal"
EVERY_TYPE = [
    "A",
    "AAAA",
    "ANY",
    "HTTPS",
    "SVCB",
    "TXT",
    "MX",
    "SRV",
    "CNAME",
    "NS",
    "SOA",
    "PTR",
    "DS",
    "CAA",
    "AXFR",
    "IXFR",
    "NULL",
]


class Resolver:
    """A decider with two resources, an exact name and a wildcard."""

    def __init__(self, plan: AddressPlan | None = None) -> None:
        self.pool = SyntheticPool(plan or plan_addresses([]))
        self.classifier = Classifier(self.pool)
        self.classifier.set_clock(0.0, WALL)
        self.classifier.use(
            index(
                entry(NAME), entry("*.my-corp.internal", number=2), entry("old.internal", number=3, expires=WALL + 100)
            )
        )
        self.dns = DnsDecider(self.classifier, self.pool)

    def ask(self, name: str, kind: str = "A", *, now: float = 1.0, tcp: bool = False, rdclass: str = "IN") -> object:
        message = dns.message.make_query(name, kind, rdclass, use_edns=0)
        return self.dns.decide(message.to_wire(), now, tcp=tcp)

    def answer(self, name: str, kind: str = "A", *, now: float = 1.0, tcp: bool = False) -> dns.message.Message:
        decision = self.ask(name, kind, now=now, tcp=tcp)
        assert isinstance(decision, Answer)
        return dns.message.from_wire(decision.data)


@pytest.fixture
def resolver() -> Resolver:
    return Resolver()


def texts(message: dns.message.Message) -> list[str]:
    return [str(item) for rrset in message.answer for item in rrset]


@pytest.mark.parametrize("kind", ["A", "AAAA", "ANY"])
@pytest.mark.parametrize("tcp", [False, True])
def test_connector_is_asked_first(resolver: Resolver, kind: str, tcp: bool) -> None:
    decision = resolver.ask(NAME, kind, tcp=tcp)
    assert isinstance(decision, AskConnector)
    assert (decision.name, decision.entry.resource.id) == (NAME, "res_1")
    assert len(resolver.pool) == 0


@pytest.mark.parametrize("families", [("v4",), ("v6",), ("v4", "v6")])
def test_both_families_are_synthetic_whatever_the_name_has(resolver: Resolver, families: tuple[str, ...]) -> None:
    resolver.dns.learn(NAME, 0, 300, families, 1.0)
    item = resolver.pool.assign(NAME, 1.0)
    assert texts(resolver.answer(NAME, "A")) == [str(item.v4)]
    assert texts(resolver.answer(NAME, "AAAA")) == [str(item.v6)]
    assert texts(resolver.answer(NAME, "ANY")) == [str(item.v4), str(item.v6)]


def test_answer_names_the_routes_that_it_needs(resolver: Resolver) -> None:
    resolver.dns.learn(NAME, 0, 300, ("v4",), 1.0)
    decision = resolver.ask(NAME)
    assert isinstance(decision, Answer)
    assert decision.routes == resolver.pool.routes() != ()


def test_without_ipv6_aaaa_is_a_quick_nodata() -> None:
    resolver = Resolver(plan_addresses([], pool_v6=None))
    resolver.dns.learn(NAME, 0, 300, ("v6",), 1.0)
    answer = resolver.answer(NAME, "AAAA")
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
    assert answer.authority[0].rdtype == dns.rdatatype.SOA
    assert len(texts(resolver.answer(NAME, "A"))) == 1


@pytest.mark.parametrize("spelling", ["DB.Prod.InTeRnAl", "db.prod.internal.", "Db.prod.internal."])
def test_spelling_does_not_matter_and_comes_back(resolver: Resolver, spelling: str) -> None:
    resolver.dns.learn(NAME, 0, 300, ("v4",), 1.0)
    answer = resolver.answer(spelling)
    assert answer.answer[0].name.to_text() == spelling.removesuffix(".") + "."
    assert len(resolver.pool) == 1


@pytest.mark.parametrize(("ttl", "life"), [(300, DNS_TTL_S), (30, 30), (0, 1)])
def test_answers_live_as_long_as_the_connector_says_but_not_longer_than_ours(
    resolver: Resolver, ttl: int, life: int
) -> None:
    resolver.dns.learn(NAME, 0, ttl, ("v4",), 1.0)
    assert resolver.answer(NAME, now=1.0).answer[0].ttl == life
    assert isinstance(resolver.ask(NAME, now=1.0 + life - 0.5), Answer)
    assert isinstance(resolver.ask(NAME, now=1.0 + life), AskConnector)


@pytest.mark.parametrize("rcode", [dns.rcode.NOERROR, dns.rcode.NXDOMAIN])
def test_negative_answers_are_kept_for_a_moment(resolver: Resolver, rcode: dns.rcode.Rcode) -> None:
    resolver.dns.learn(NAME, int(rcode), 300, (), 1.0)
    answer = resolver.answer(NAME, now=1.0)
    assert (answer.rcode(), answer.answer) == (rcode, [])
    assert isinstance(resolver.ask(NAME, now=1.0 + DNS_NEGATIVE_TTL_S), AskConnector)
    assert len(resolver.pool) == 0


def test_failure_of_the_connectors_resolver(resolver: Resolver) -> None:
    resolver.dns.learn(NAME, int(dns.rcode.REFUSED), 0, (), 1.0)
    assert resolver.answer(NAME, now=1.5).rcode() == dns.rcode.SERVFAIL
    assert isinstance(resolver.ask(NAME, now=2.0), AskConnector)


@pytest.mark.parametrize("kind", EVERY_TYPE)
@pytest.mark.parametrize("name", [NAME, "x.my-corp.internal", "a.b.MY-corp.internal.", "_x._tcp.my-corp.internal"])
@pytest.mark.parametrize("tcp", [False, True])
def test_t54_no_type_of_a_resource_name_goes_upstream(resolver: Resolver, kind: str, name: str, tcp: bool) -> None:
    assert isinstance(resolver.ask(name, kind, tcp=tcp), Answer | AskConnector | ForwardDns)


@pytest.mark.parametrize("kind", ["HTTPS", "SVCB"])
def test_t54_address_hints_are_nodata(resolver: Resolver, kind: str) -> None:
    answer = resolver.answer(NAME, kind)
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize("kind", ["TXT", "MX", "SRV", "CNAME", "NS", "CAA"])
def test_other_types_go_to_the_connector(resolver: Resolver, kind: str) -> None:
    decision = resolver.ask("_x._tcp.my-corp.internal", kind)
    assert isinstance(decision, ForwardDns)
    assert (decision.name, decision.entry.resource.id) == ("_x._tcp.my-corp.internal", "res_2")


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_zone_transfers_are_refused(resolver: Resolver, kind: str) -> None:
    assert resolver.answer(NAME, kind).rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize(
    "name", [r"a\032b.my-corp.internal", r"a\.b.my-corp.internal", r"\255.x.my-corp.internal", "-a.my-corp.internal"]
)
def test_t54_odd_labels_under_a_wildcard_stay_here(resolver: Resolver, name: str) -> None:
    for kind in ("A", "TXT"):
        assert resolver.answer(name, kind).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    "name",
    ["example.com", "prod.internal", "my-corp.internal", "evilmy-corp.internal", "db.prod.internal.example.com", ".",
     "xdb.prod.internal", r"a\.my-corp.internal", "1.2.3.4", "a.db.prod.internal", r"\032.example.com"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["A", "TXT"])
def test_c9_everything_else_goes_upstream(resolver: Resolver, name: str, kind: str) -> None:
    assert resolver.ask(name, kind) == ForwardUpstream()


def test_t54_canary_is_nxdomain(resolver: Resolver) -> None:
    for kind in ("A", "AAAA", "NS"):
        assert resolver.answer("use-application-DNS.net", kind).rcode() == dns.rcode.NXDOMAIN


def test_t54_nobody_discovers_another_resolver(resolver: Resolver) -> None:
    answer = resolver.answer("_dns.resolver.arpa", "SVCB")
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
    assert resolver.answer("resolver.arpa", "SOA").answer == []
    assert resolver.ask("notresolver.arpa") == ForwardUpstream()


def test_pointers_of_synthetic_addresses(resolver: Resolver) -> None:
    item = resolver.pool.assign(NAME, 1.0)
    for address in item.addresses:
        name = dns.reversename.from_address(str(address)).to_text()
        assert texts(resolver.answer(name, "PTR")) == [NAME + "."]
        assert texts(resolver.answer(name, "ANY")) == [NAME + "."]
        assert resolver.answer(name, "TXT").answer == []
    unassigned = dns.reversename.from_address("100.96.0.1").to_text()
    assert resolver.answer(unassigned, "PTR").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    "name", ["1.0.0.10.in-addr.arpa", "96.100.in-addr.arpa", "x.in-addr.arpa", "1.0.ip6.arpa", "in-addr.arpa"]
)
def test_other_pointers_go_upstream(resolver: Resolver, name: str) -> None:
    assert resolver.ask(name, "PTR") == ForwardUpstream()


def test_expired_grant_is_said_and_not_leaked(resolver: Resolver) -> None:
    assert isinstance(resolver.ask("old.internal", now=99.0), AskConnector)
    assert resolver.answer("old.internal", now=100.0).rcode() == dns.rcode.SERVFAIL
    assert resolver.answer("old.internal", "TXT", now=100.0).rcode() == dns.rcode.SERVFAIL


def test_t55_blocked_names_are_answered_with_the_reason(resolver: Resolver) -> None:
    resolver.dns.learn(NAME, 0, 300, ("v4",), 1.0)
    resolver.classifier.blocked = Reason.SIGN_IN_REQUIRED
    answer = resolver.answer(NAME)
    assert answer.rcode() == dns.rcode.SERVFAIL
    assert Reason.SIGN_IN_REQUIRED.sentence in str(answer.options[0])
    assert resolver.ask("example.com") == ForwardUpstream()


def test_most_specific_resource_is_asked() -> None:
    resolver = Resolver()
    resolver.classifier.use(index(entry("*.prod.internal", number=5), entry(NAME, number=6)))
    decision = resolver.ask(NAME)
    assert isinstance(decision, AskConnector)
    assert decision.entry.resource.id == "res_6"


def test_no_address_left_is_a_failure(resolver: Resolver) -> None:
    small = Resolver(AddressPlan(IPv4Network("198.18.0.0/24"), None))
    for number in range(239):
        small.pool.assign(f"n{number}", 1.0)
    small.dns.learn(NAME, 0, 300, ("v4",), 1.0)
    assert small.answer(NAME).rcode() == dns.rcode.SERVFAIL
    assert resolver.pool.owns(ip_address("100.96.1.1"))


def test_new_policy_forgets_what_connectors_said(resolver: Resolver) -> None:
    resolver.dns.learn(NAME, 0, 300, ("v4",), 1.0)
    resolver.dns.clear()
    assert isinstance(resolver.ask(NAME), AskConnector)


def test_what_connectors_said_is_bounded(resolver: Resolver) -> None:
    resolver.dns.learn(NAME, 0, 300, ("v4",), 1.0)
    for number in range(KNOWN_NAMES_MAX):
        resolver.dns.learn(f"n{number}.my-corp.internal", 0, 300, ("v4",), 1.0)
    assert isinstance(resolver.ask(NAME), AskConnector)
    assert isinstance(resolver.ask(f"n{KNOWN_NAMES_MAX - 1}.my-corp.internal"), Answer)


def test_answers_of_forwarded_questions_are_filtered(resolver: Resolver) -> None:
    asked = dns.message.make_query(NAME, "TXT")
    theirs = dns.message.make_response(asked)
    answer = dns.message.from_wire(resolver.dns.filtered(asked.to_wire(), theirs.to_wire(), tcp=False))
    assert answer.id == asked.id
    assert dns.message.from_wire(resolver.dns.filtered(bytes(12) + b"x", b"", tcp=False)).rcode() == dns.rcode.FORMERR


def test_t54_a_remembered_answer_holds_no_addresses_and_goes_with_the_policy(resolver: Resolver) -> None:
    asked = dns.message.make_query(NAME, "MX")
    theirs = dns.message.make_response(asked)
    theirs.answer.append(dns.rrset.from_text(asked.question[0].name, 30, "IN", "MX", "10 mail.internal."))
    theirs.additional.append(dns.rrset.from_text("mail.internal.", 30, "IN", "A", "10.0.0.5"))
    connector = ConnectorId("con_" + "A" * 22)
    first = resolver.dns.filtered(asked.to_wire(), theirs.to_wire(), tcp=False, connector=connector, now=1.0)
    again = dns.message.make_query(NAME.upper(), "MX")
    found = resolver.dns.remembered(again.to_wire(), connector, 11.0, tcp=False)
    assert found is not None
    answer = dns.message.from_wire(found)
    assert (answer.id, answer.question) == (again.id, again.question)
    assert answer.question[0].name.to_text() == NAME.upper() + ".", "spelt as asked (0x20)"
    assert (answer.answer[0].ttl, answer.additional) == (20, dns.message.from_wire(first).additional)
    assert answer.additional == []
    resolver.dns.clear()
    assert resolver.dns.remembered(again.to_wire(), connector, 11.0, tcp=False) is None
    assert resolver.dns.remembered(b"nonsense", connector, 11.0, tcp=False) is None


def test_failure_of_a_forwarded_question(resolver: Resolver) -> None:
    asked = dns.message.make_query(NAME, "TXT", use_edns=0).to_wire()
    answer = dns.message.from_wire(resolver.dns.failure(asked, Reason.TUNNEL_LOST, tcp=False))
    assert answer.rcode() == dns.rcode.SERVFAIL
    assert Reason.TUNNEL_LOST.sentence in str(answer.options[0])
    assert dns.message.from_wire(resolver.dns.failure(bytes(12), Reason.TUNNEL_LOST, tcp=False)).rcode() == 1


# --- questions that cannot be read -----------------------------------------------------------------------------------


def wire(name: str = NAME, kind: str = "A", **fields: int) -> bytearray:
    data = bytearray(dns.message.make_query(name, kind, id=7).to_wire())
    for place, value in fields.items():
        data[int(place[1:])] = value
    return data


@pytest.mark.parametrize("data", [b"", bytes(11), bytes(wire(b2=0x81))])
def test_what_is_no_query_gets_no_answer(resolver: Resolver, data: bytes) -> None:
    assert resolver.dns.decide(data, 1.0, tcp=False) == Ignore()


@pytest.mark.parametrize(
    "data",
    [
        bytes(12),
        bytes(wire(b5=0)),
        bytes(wire(b5=2)),
        bytes(wire(b12=0x41)),
        bytes(wire(b12=0xC0)),
        bytes(wire()[:20]),
        bytes(wire()[:-1]),
        bytes(wire(b11=1)),
        bytes(wire("use-application-dns.net", b11=1)),
        bytes(wire("16.0.96.100.in-addr.arpa", b11=1)),
    ],
)
def test_t54_malformed_queries_are_not_forwarded(resolver: Resolver, data: bytes) -> None:
    decision = resolver.dns.decide(data, 1.0, tcp=False)
    assert isinstance(decision, Answer)
    assert dns.message.from_wire(decision.data).rcode() == dns.rcode.FORMERR


def test_other_opcodes_and_classes_of_ours_are_refused(resolver: Resolver) -> None:
    message = dns.message.make_query(NAME, "A", use_edns=0)
    message.set_opcode(dns.opcode.NOTIFY)
    decisions = [
        resolver.dns.decide(message.to_wire(), 1.0, tcp=False),
        resolver.ask(NAME, "A", rdclass="CH"),
    ]
    for decision in decisions:
        assert isinstance(decision, Answer)
        assert dns.message.from_wire(decision.data).rcode() == dns.rcode.REFUSED
    assert isinstance(resolver.ask(NAME, "A", rdclass="ANY"), AskConnector)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_t58_any_query_is_decided(data: bytes, tcp: bool) -> None:
    resolver = Resolver()
    decision = resolver.dns.decide(data, 1.0, tcp=tcp)
    assert isinstance(decision, Answer | AskConnector | ForwardDns | ForwardUpstream | Ignore)
    assert isinstance(resolver.dns.failure(data.ljust(12, b"\0"), Reason.TIMEOUT, tcp=tcp), bytes)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["A", "TXT", "PTR"]), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 255)), max_size=3))
def test_t58_damaged_queries_are_decided(kind: str, damage: list[tuple[int, int]]) -> None:
    data = wire(kind=kind)
    for place, value in damage:
        data[place % len(data)] = value
    decision = Resolver().dns.decide(bytes(data), 1.0, tcp=False)
    assert isinstance(decision, Answer | AskConnector | ForwardDns | ForwardUpstream | Ignore)


labels = st.text("abcXYZ019-_*\\. ", min_size=1, max_size=5)


@settings(deadline=None)
@given(st.lists(labels, max_size=3), st.sampled_from(EVERY_TYPE))
def test_t54_nothing_below_a_wildcard_goes_upstream(parts: list[str], kind: str) -> None:
    raw = [part.encode() for part in parts or ["a"]] + [b"my-corp", b"internal", b""]
    message = dns.message.make_query(dns.name.Name(raw), kind)
    assert Resolver().dns.decide(message.to_wire(), 1.0, tcp=False) != ForwardUpstream()
