"""Questions about services and addresses of a resource are the resource's; nothing beyond it is answered (T-30, T-54)."""

import pytest
from connector_world import World, acl, circumstances, entry, header

from connector.core.opening import decide_open
from protocol.acl.model import Acl, Decision, Deny, Permit
from protocol.reasons import Reason
from protocol.streams import StreamKind

WORLD = World()
ACL = acl(entry("10.20.0.0/24"), entry("wiki.corp.example", number=2), entry("*.dev.example", number=3))


def decide(host: str, kind: StreamKind = "dns", config: Acl = ACL) -> Decision:
    return decide_open(header(host, None, kind=kind), circumstances(ACL, WORLD.served(config)))[1]


@pytest.mark.parametrize(
    "host",
    [
        "_8443._https.wiki.corp.example",
        "_HTTP._tcp.Wiki.corp.example.",
        "_ldap._tcp.dev.example",
        "_http._tcp.app.dev.example",
        "10.0.20.10.in-addr.arpa",
    ],
)
def test_t54_services_and_reverse_names_belong_to_their_resource(host: str) -> None:
    assert isinstance(decide(host), Permit)


@pytest.mark.parametrize(
    "host",
    ["_ldap._tcp.corp.example", "x.wiki.corp.example", "10.1.20.10.in-addr.arpa", "0.20.10.in-addr.arpa", "_x.other"],
)
def test_t30_what_is_beside_a_resource_is_refused(host: str) -> None:
    assert decide(host) == Deny(Reason.NOT_A_RESOURCE)


@pytest.mark.parametrize("host", ["_http._tcp.wiki.corp.example", "10.0.20.10.in-addr.arpa"])
def test_t30_only_questions_are_widened_and_the_config_has_a_veto(host: str) -> None:
    assert decide(host, "resolve") == Deny(Reason.NOT_A_RESOURCE)
    vetoed = decide(host, config=acl())
    assert isinstance(vetoed, Deny)
    assert vetoed.reason is Reason.CONNECTOR_NOT_ALLOWED
