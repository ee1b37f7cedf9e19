"""From a destination to the resource behind it."""

from ipaddress import ip_address

import pytest
from client_policy import WALL, entry, index, tcp_ports

from client.core.addresses import plan_addresses
from client.core.classify import Classifier, Denial, Target
from client.core.synthetic import SyntheticPool
from protocol.acl.model import Request, Transport
from protocol.ids import ResourceId
from protocol.limits import SYNTHETIC_RELEASE_S
from protocol.reasons import Reason


@pytest.fixture
def pool() -> SyntheticPool:
    return SyntheticPool(plan_addresses([]))


@pytest.fixture
def classifier(pool: SyntheticPool) -> Classifier:
    classifier = Classifier(pool)
    classifier.set_clock(100.0, WALL)
    classifier.use(
        index(
            entry("10.99.0.0/16", ports=tcp_ports(443)),
            entry("db.prod.internal", number=2),
            entry("fd99::/64", number=3, expires=WALL + 10),
        )
    )
    return classifier


def packed(text: str) -> bytes:
    return ip_address(text).packed


def test_address_of_a_resource(classifier: Classifier) -> None:
    target = classifier.classify(packed("10.99.1.2"), Transport.TCP, 443, 100.0)
    assert isinstance(target, Target)
    assert target.host == ip_address("10.99.1.2")
    assert target.resource == "res_1"
    assert target.request == Request(ip_address("10.99.1.2"), Transport.TCP, 443)


def test_synthetic_address_stands_for_its_name(classifier: Classifier, pool: SyntheticPool) -> None:
    item = pool.assign("db.prod.internal", 100.0)
    for address in item.addresses:
        target = classifier.classify(address.packed, Transport.UDP, 53, 100.0)
        assert isinstance(target, Target)
        assert (target.host, target.resource, target.synthetic) == ("db.prod.internal", "res_2", item)


@pytest.mark.parametrize(
    ("destination", "transport", "port", "denial"),
    [
        ("10.99.1.2", Transport.TCP, 80, (Reason.PORT_NOT_ALLOWED, ResourceId("res_1"))),
        ("10.99.1.2", Transport.UDP, 443, (Reason.PROTOCOL_NOT_ALLOWED, ResourceId("res_1"))),
        ("10.99.1.2", Transport.ICMP, None, (Reason.PROTOCOL_NOT_ALLOWED, ResourceId("res_1"))),
        ("10.98.0.1", Transport.TCP, 443, (Reason.NOT_A_RESOURCE, None)),
        ("100.96.9.9", Transport.TCP, 443, (Reason.NAME_NOT_FOUND, None)),
    ],
)
def test_denied(
    classifier: Classifier,
    destination: str,
    transport: Transport,
    port: int | None,
    denial: tuple[Reason, ResourceId | None],
) -> None:
    found = classifier.classify(packed(destination), transport, port, 100.0)
    assert found == Denial(ip_address(destination), transport, port, *denial)


def test_grants_expire_by_the_wall_clock(classifier: Classifier) -> None:
    assert isinstance(classifier.classify(packed("fd99::1"), Transport.TCP, 1, 109.0), Target)
    late = classifier.classify(packed("fd99::1"), Transport.TCP, 1, 111.0)
    assert isinstance(late, Denial)
    assert late.reason is Reason.GRANT_EXPIRED
    classifier.set_clock(111.0, WALL)
    assert isinstance(classifier.classify(packed("fd99::1"), Transport.TCP, 1, 111.0), Target)
    assert classifier.wall(112.0) == WALL + 1


def test_nothing_is_a_resource_without_a_snapshot(pool: SyntheticPool) -> None:
    found = Classifier(pool).classify(packed("10.99.1.2"), Transport.TCP, 443, 0.0)
    assert isinstance(found, Denial)
    assert found.reason is Reason.NOT_A_RESOURCE


def test_t55_blocked_resources_stay_recognised(classifier: Classifier) -> None:
    classifier.blocked = Reason.SIGN_IN_REQUIRED
    blocked = classifier.classify(packed("10.99.1.2"), Transport.TCP, 443, 100.0)
    assert isinstance(blocked, Denial)
    assert (blocked.reason, blocked.resource) == (Reason.SIGN_IN_REQUIRED, "res_1")
    other = classifier.classify(packed("10.98.0.1"), Transport.TCP, 443, 100.0)
    assert isinstance(other, Denial)
    assert other.reason is Reason.NOT_A_RESOURCE


def test_flows_keep_their_synthetic_address(classifier: Classifier, pool: SyntheticPool) -> None:
    item = pool.assign("db.prod.internal", 100.0)
    target = classifier.classify(item.v4.packed, Transport.TCP, 5432, 100.0)
    assert isinstance(target, Target)
    classifier.begin(target)
    assert pool.tick(1e6) == ()
    classifier.end(target, 1e6)
    assert pool.tick(1e6 + SYNTHETIC_RELEASE_S) == (item,)


def test_flows_to_addresses_have_nothing_to_keep(classifier: Classifier) -> None:
    target = classifier.classify(packed("10.99.1.2"), Transport.TCP, 443, 100.0)
    assert isinstance(target, Target)
    classifier.begin(target)
    classifier.end(target, 100.0)
    assert target.synthetic is None
