"""Strict DNS: what is guarded is never asked elsewhere, and nothing else changes (T-55)."""

import dns.edns
import dns.message
import dns.rcode
import pytest
from client_policy import WALL, entry, index

from client.core.addresses import plan_addresses
from client.core.classify import Classifier
from client.core.dns import Answer, AskConnector, DnsDecider, ForwardDns, ForwardUpstream
from client.core.dns_guard import NAMES_MAX, NameGuard, withheld_patterns
from client.core.synthetic import SyntheticPool
from protocol.reasons import Reason

NAME = "db.prod.internal"


def guarding(*texts: str, strict: bool = True) -> NameGuard:
    guard = NameGuard(strict=strict)
    guard.keep(withheld_patterns(texts))
    return guard


def decide(guard: NameGuard, name: str, kind: str = "A", *, resources: tuple[str, ...] = ()) -> object:
    pool = SyntheticPool(plan_addresses([]))
    classifier = Classifier(pool)
    classifier.set_clock(0.0, WALL)
    classifier.use(index(*(entry(text, number=number) for number, text in enumerate(resources, 1))))
    return DnsDecider(classifier, pool, guard).decide(
        dns.message.make_query(name, kind, use_edns=0).to_wire(), 1.0, tcp=False
    )


@pytest.mark.parametrize("kind", ["A", "AAAA", "ANY", "HTTPS", "SVCB", "TXT", "MX", "SRV", "NS", "DS", "AXFR"])
@pytest.mark.parametrize("name", [NAME, "DB.prod.INTERNAL", "_8443._https.db.prod.internal", "any.lab.internal"])
def test_t55_a_guarded_name_is_asked_nowhere_whatever_the_type(name: str, kind: str) -> None:
    decision = decide(guarding(NAME, "*.lab.internal"), name, kind)
    assert isinstance(decision, Answer)
    answer = dns.message.from_wire(decision.data)
    assert answer.rcode() == dns.rcode.SERVFAIL
    (option,) = answer.options
    assert isinstance(option, dns.edns.EDEOption)
    assert Reason.NAME_WITHHELD.sentence in str(option.text)


@pytest.mark.parametrize("kind", ["A", "AAAA", "HTTPS", "TXT", "SRV"])
@pytest.mark.parametrize(
    "name",
    [
        f"{NAME}.office.example",
        "DB.prod.internal.Office.Example",
        f"_http._tcp.{NAME}.office.example",
        "any.lab.internal.sales.example",
        "10-20-0-10.office.net.ostiary.internal.office.example",
    ],
)
def test_t55_what_the_c_library_makes_of_a_guarded_name_is_asked_nowhere(name: str, kind: str) -> None:
    guard = guarding(NAME, "*.lab.internal")
    assert guard.search(["office.example", "sales.example"])
    assert not guard.search(["office.example", "sales.example"]), "the same ones"
    # Whether the resource can be reached or not: with `ndots` the library asks for this one first.
    for resources in ((), (NAME,)):
        decision = decide(guard, name, kind, resources=resources)
        assert isinstance(decision, Answer)
        assert dns.message.from_wire(decision.data).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    "name", ["wiki.office.example", "office.example", f"x{NAME}.office.example", f"{NAME}.example"]
)
def test_other_names_in_a_search_domain_go_to_the_hosts_own_resolver(name: str) -> None:
    guard = guarding(NAME)
    guard.search(["office.example"])
    assert decide(guard, name) == ForwardUpstream()


def test_without_strict_dns_search_domains_mean_nothing() -> None:
    guard = guarding(NAME, strict=False)
    guard.search(["office.example"])
    assert decide(guard, f"{NAME}.office.example") == ForwardUpstream()
    assert guard.searched([NAME]) == ()


def test_t55_split_dns_is_told_every_name_with_every_search_domain_behind_it() -> None:
    guard = guarding(NAME, "*.lab.internal")
    assert guard.searched([NAME]) == (), "a host without search domains"
    guard.search(["office.example", "b.example"])
    bases = (NAME, "lab.internal", "wiki.internal", "net.ostiary.internal")
    assert set(guard.searched(["wiki.internal"])) == {
        f"{base}.{search}" for base in bases for search in ("office.example", "b.example")
    }
    guard.search(["x" * 63 + ".example", ".".join(["y" * 60] * 4)])
    assert len(guard.searched(["wiki.internal"])) == len(bases), "what is too long for a name is never asked"


@pytest.mark.parametrize("name", ["lab.internal", "prod.internal", "x.db.prod.internal", "public.example"])
def test_other_names_go_to_the_hosts_own_resolver(name: str) -> None:
    assert decide(guarding(NAME, "*.lab.internal"), name) == ForwardUpstream()


def test_without_strict_dns_nothing_is_guarded() -> None:
    guard = guarding(NAME, strict=False)
    assert guard.domains() == ()
    assert decide(guard, NAME) == ForwardUpstream()


def test_a_resource_that_may_be_reached_is_served_although_guarded() -> None:
    assert isinstance(decide(guarding(NAME), NAME, resources=(NAME,)), AskConnector)


def test_a_newer_list_replaces_the_older_one() -> None:
    guard = guarding(NAME)
    guard.keep(withheld_patterns(["wiki.internal", "*.lab.internal"]))
    assert not guard.covers(NAME)
    assert guard.domains() == ("lab.internal", "wiki.internal")


def test_what_a_controller_sends_is_bounded_and_only_names_count() -> None:
    assert withheld_patterns(["10.0.0.0/8", "bad name", "*.", "wiki.internal"]) == withheld_patterns(["wiki.internal"])
    assert len(withheld_patterns([f"n{number}.internal" for number in range(NAMES_MAX + 5)])) == NAMES_MAX


# --- questions that are about a resource without being its name -----------------------------------------------------


@pytest.mark.parametrize("kind", ["SRV", "TXT", "TLSA", "CNAME"])
def test_t54_records_of_services_at_a_resource_come_from_its_connector(kind: str) -> None:
    decision = decide(guarding(), f"_http._tcp.{NAME}", kind, resources=(NAME,))
    assert isinstance(decision, ForwardDns)
    assert decision.name == f"_http._tcp.{NAME}"


@pytest.mark.parametrize("kind", ["HTTPS", "SVCB", "A", "AAAA", "ANY"])
def test_t54_hints_and_addresses_of_services_are_empty(kind: str) -> None:
    decision = decide(guarding(), f"_8443._https.{NAME}", kind, resources=(NAME,))
    assert isinstance(decision, Answer)
    answer = dns.message.from_wire(decision.data)
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize("name", ["10.0.20.10.in-addr.arpa", f"{'0.' * 31}d.ip6.arpa"])
def test_t54_reverse_names_of_a_network_are_its_connectors(name: str) -> None:
    decision = decide(guarding(), name, "PTR", resources=("10.20.0.0/24", "d000::/64"))
    assert isinstance(decision, ForwardDns)
    assert decision.name == name


def test_reverse_names_of_other_networks_go_to_the_hosts_own_resolver() -> None:
    assert decide(guarding(), "10.1.20.10.in-addr.arpa", "PTR", resources=("10.20.0.0/24",)) == ForwardUpstream()
