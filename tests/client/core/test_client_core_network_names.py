"""Names for addresses in a remote network: two networks with the same addresses are told apart by them."""

import ipaddress

import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from client.core.addresses import POOL_V6, POOLS_V4, AddressPlan
from client.core.classify import Classifier, Denial, Target
from client.core.dns import Answer, DnsDecider
from client.core.network_names import SUFFIX, NetworkNames, is_network_name, label_of
from client.core.synthetic import SyntheticPool
from protocol.acl.match import AclIndex
from protocol.acl.model import Acl, Entry, PortRange, Ports, Resource, Transport
from protocol.acl.names import parse_pattern
from protocol.ids import GrantId, NetworkId, ResourceId
from protocol.reasons import Reason

OFFICE, PLANT, TWIN = (NetworkId("net_" + letter * 22) for letter in "OPT")
NAMES = NetworkNames({OFFICE: "Office", PLANT: "Werk  Süd (2)", TWIN: "office!"})


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


@pytest.mark.parametrize(
    ("name", "label"),
    [("Office", "office"), ("Werk  Süd (2)", "werk-s-d-2"), ("--", ""), ("x" * 100, "x" * 63), ("a.b", "a-b")],
)
def test_a_networks_name_as_a_label(name: str, label: str) -> None:
    assert label_of(name) == label


@pytest.mark.parametrize("text", ["10.20.0.10", "0.0.0.0", "fd00:20::10", "::1", "2001:db8::192.0.2.1"])
@pytest.mark.parametrize("network", [OFFICE, PLANT])
def test_a_name_means_the_address_that_it_was_made_of(text: str, network: NetworkId) -> None:
    name = NAMES.name_of(address(text), network)
    assert is_network_name(name)
    assert NAMES.parse(name) == (address(text), network)
    assert name == name.lower()


def test_a_label_that_two_networks_could_claim_stands_for_neither() -> None:
    assert NAMES.parse(f"10-20-0-10.office.{SUFFIX}") is None
    assert NAMES.parse(f"10-20-0-10.werk-s-d-2.{SUFFIX}") == (address("10.20.0.10"), PLANT)
    assert ".office." not in NAMES.name_of(address("10.20.0.10"), OFFICE)


@pytest.mark.parametrize(
    "name",
    [
        SUFFIX,
        f"werk-s-d-2.{SUFFIX}",
        f"10-20-0-10.elsewhere.{SUFFIX}",
        f"10-20-0.werk-s-d-2.{SUFFIX}",
        f"10-20-0-256.werk-s-d-2.{SUFFIX}",
        f"x.10-20-0-10.werk-s-d-2.{SUFFIX}",
        f"1-2-3.4.werk-s-d-2.{SUFFIX}",
        f".werk-s-d-2.{SUFFIX}",
        "10-20-0-10.werk-s-d-2.net.ostiary.example",
        "evil" + SUFFIX,
    ],
)
def test_what_means_nothing(name: str) -> None:
    assert NAMES.parse(name) is None


def test_the_usual_forms_of_an_address() -> None:
    wanted = (address("10.20.0.10"), PLANT)
    assert NAMES.parse(f"10.20.0.10.werk-s-d-2.{SUFFIX}") == wanted
    assert NAMES.parse(f"--ffff-a14-a.werk-s-d-2.{SUFFIX}") == wanted
    assert NAMES.parse(f"fd00-20--10.werk-s-d-2.{SUFFIX}") == (address("fd00:20::10"), PLANT)


def lan(network: NetworkId, number: int, port: int) -> Entry:
    ports = Ports(tcp=(PortRange(port, port),))
    resource = Resource(
        ResourceId(f"res_{number:022d}"), f"lan {number}", network, parse_pattern("10.20.0.0/24"), ports, 3600
    )
    return Entry(resource, (GrantId("gra_" + "G" * 22),))


class World:
    """Two networks with the same addresses, of which the first one has the smaller id."""

    def __init__(self) -> None:
        self.pool = SyntheticPool(AddressPlan(POOLS_V4[0], POOL_V6))
        self.classifier = Classifier(self.pool)
        self.names = NetworkNames({OFFICE: "office", PLANT: "plant"})
        self.classifier.use(AclIndex(Acl((lan(OFFICE, 1, 80), lan(PLANT, 2, 80), lan(PLANT, 3, 22)))), self.names)
        self.decider = DnsDecider(self.classifier, self.pool)

    def ask(self, name: str, rdtype: str = "A") -> tuple[dns.message.Message, Answer]:
        decision = self.decider.decide(dns.message.make_query(name, rdtype).to_wire(), 0.0, tcp=False)
        assert isinstance(decision, Answer), decision
        return dns.message.from_wire(decision.data), decision

    def target(self, name: str, port: int) -> Target | Denial:
        _, decision = self.ask(name)
        return self.classifier.classify(decision.routes[0].packed, Transport.TCP, port, 0.0)


def test_the_same_address_in_two_networks_is_reached_by_the_networks_name() -> None:
    world = World()
    office, plant = (world.target(f"10-20-0-10.{name}.{SUFFIX}", 80) for name in ("office", "plant"))
    assert isinstance(office, Target)
    assert isinstance(plant, Target)
    assert office.host == plant.host == address("10.20.0.10")
    assert (office.entry.resource.network, plant.entry.resource.network) == (OFFICE, PLANT)


def test_what_only_the_other_network_permits_is_refused() -> None:
    refused = World().target(f"10-20-0-10.office.{SUFFIX}", 22)
    assert isinstance(refused, Denial)
    assert refused.reason is Reason.PORT_NOT_ALLOWED


def test_questions_about_networks_never_leave() -> None:
    world = World()
    for name in (SUFFIX, f"10-99-0-1.office.{SUFFIX}", f"x.nowhere.{SUFFIX}", f"10-20-0-10.gone.{SUFFIX}"):
        for rdtype in ("A", "AAAA", "TXT", "HTTPS"):
            assert world.ask(name, rdtype)[0].rcode() is dns.rcode.NXDOMAIN
    reply, decision = world.ask(f"10-20-0-10.office.{SUFFIX}", "HTTPS")
    assert (reply.rcode(), reply.answer, decision.routes) == (dns.rcode.NOERROR, [], ())
    assert world.ask(f"10-20-0-10.OFFICE.{SUFFIX}", "AAAA")[0].answer[0].rdtype is dns.rdatatype.AAAA


def test_signed_out_the_names_are_still_ours_and_refused() -> None:
    world = World()
    world.classifier.blocked = Reason.SIGN_IN_REQUIRED
    assert world.ask(f"10-20-0-10.office.{SUFFIX}")[0].rcode() is dns.rcode.SERVFAIL


def test_a_network_that_went_away_takes_its_names_along() -> None:
    world = World()
    _, decision = world.ask(f"10-20-0-10.plant.{SUFFIX}")
    world.classifier.use(AclIndex(Acl((lan(OFFICE, 1, 80),))), NetworkNames({OFFICE: "office"}))
    refused = world.classifier.classify(decision.routes[0].packed, Transport.TCP, 80, 0.0)
    assert isinstance(refused, Denial)
    assert refused.reason is Reason.NOT_A_RESOURCE
