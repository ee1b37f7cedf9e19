"""What a resource is says where its grants lead: who may not grant may not widen it either (T-16)."""

import pytest
from plan_world import plan_of
from policy_world import FAR, START, WEB, World, fresh_id

from controller.domain import commands as c
from controller.domain import commands_tokens as t
from controller.domain.authority import refusal_for
from controller.domain.evaluate import may_reach
from controller.domain.model import Role
from controller.domain.permissions import Permission
from protocol.acl.model import Deny, PortRange, Ports
from protocol.ids import ApiTokenId, ResourceId
from protocol.reasons import Reason

NET, WIDE = "10.0.0.0/24", Ports(tcp=(PortRange(80, 443),))
P = Permission


class Office(World):
    """One resource, and the people who may change it."""

    def __init__(self, address: str = NET) -> None:
        super().__init__()
        self.here = self.network()
        self.there = self.network()
        self.it = self.resource(self.here, address, WIDE)
        self.owner = self.user(Role.OWNER)
        self.network_admin = self.user(Role.NETWORK_ADMIN)

    def token(self, *scopes: Permission) -> ApiTokenId:
        """A token of the owner."""
        token = ApiTokenId(fresh_id("api_token"))
        self.do(t.CreateApiToken(token, self.owner, tuple(item.value for item in scopes), FAR))
        return token

    def may(self, actor: str, command: c.Command) -> bool:
        """Whether the actor may give the command."""
        refusal = refusal_for(self.state, actor, command)
        assert refusal is None or refusal.reason is Reason.FORBIDDEN
        return refusal is None

    def widening(self) -> dict[str, c.Command]:
        """Changes after which a grant leads further."""
        return {
            "address": c.ChangeResource(self.it, address="10.0.0.0/23"),
            "elsewhere": c.ChangeResource(self.it, address="10.0.1.0/24"),
            "name": c.ChangeResource(self.it, address="*.internal"),
            "ports": c.ChangeResource(self.it, ports=Ports(tcp=(PortRange(80, 444),))),
            "udp": c.ChangeResource(self.it, ports=Ports(WIDE.tcp, WIDE.tcp)),
            "icmp": c.ChangeResource(self.it, ports=Ports(WIDE.tcp, icmp=True)),
            "network": c.ChangeResource(self.it, network=self.there),
            "lease": c.ChangeResource(self.it, lease_s=self.state.resources[self.it].lease_s + 1),
        }

    def narrowing(self) -> dict[str, c.Command]:
        """Changes after which a grant leads less far, or just as far."""
        return {
            "address": c.ChangeResource(self.it, address="10.0.0.128/25"),
            "ports": c.ChangeResource(self.it, ports=WEB),
            "lease": c.ChangeResource(self.it, lease_s=self.state.resources[self.it].lease_s - 1),
            "title": c.ChangeResource(self.it, name="another name"),
            "nothing": c.ChangeResource(self.it, address=NET),
        }


CHANGES = sorted(Office().widening())


@pytest.mark.parametrize("change", CHANGES)
def test_t16_who_may_not_grant_does_not_widen_what_is_granted(change: str) -> None:
    office = Office()
    command = office.widening()[change]
    bare = office.token(P.RESOURCES_WRITE)
    both = office.token(P.RESOURCES_WRITE, P.GRANTS_WRITE)
    assert office.may(office.network_admin, command)
    assert office.may(bare, command)
    grant = office.grant(office.user(), office.it)
    assert not office.may(office.network_admin, command)
    assert not office.may(bare, command)
    assert office.may(both, command)
    assert office.may(office.owner, command)
    assert office.may("cli", command)
    office.do(c.RevokeGrant(grant))
    assert office.may(office.network_admin, command)


def test_t16_the_refusal_names_the_permission() -> None:
    office = Office()
    office.grant(office.user(), office.it)
    refusal = refusal_for(office.state, office.network_admin, office.widening()["ports"])
    assert refusal is not None
    assert "grants:write" in refusal.detail
    assert office.it in refusal.detail


def test_narrowing_what_is_granted_is_the_network_admins_own() -> None:
    office = Office()
    office.grant(office.user(), office.it)
    for change, command in office.narrowing().items():
        assert office.may(office.network_admin, command), change
    assert office.may(office.network_admin, c.RemoveResource(office.it))


def test_t16_who_may_not_write_policies_does_not_lift_an_exclusion() -> None:
    office = Office()
    office.exclusion(office.user(), office.it)
    lifting = ("address", "ports")
    for change, command in office.narrowing().items():
        assert office.may(office.network_admin, command) is (change not in lifting), change
    for change, command in office.widening().items():
        assert office.may(office.network_admin, command) is (change not in ("elsewhere", "name", "network")), change
    assert not office.may(office.network_admin, c.RemoveResource(office.it))
    both = office.token(P.RESOURCES_WRITE, P.POLICIES_WRITE)
    assert office.may(both, office.narrowing()["ports"])
    assert office.may(both, c.RemoveResource(office.it))


def test_t16_who_may_not_write_policies_takes_no_granted_resource_out_of_an_exclusion() -> None:
    office = Office()
    user = office.user()
    laptop = office.laptop(user)
    office.exclusion(user, office.resource(office.there, "10.0.0.5"))
    leaving = c.ChangeResource(office.it, address="10.0.0.128/25")
    other_ports = c.ChangeResource(office.it, ports=Ports(tcp=(PortRange(80, 81),)))
    staying = c.ChangeResource(office.it, address="10.0.0.0/25")
    assert office.may(office.network_admin, leaving)
    office.grant(user, office.it)
    assert isinstance(may_reach(office.state, laptop, office.it, START), Deny)
    assert not office.may(office.network_admin, leaving)
    assert not office.may(office.network_admin, other_ports)
    assert not office.may(office.token(P.RESOURCES_WRITE, P.GRANTS_WRITE), leaving)
    assert office.may(office.network_admin, staying)
    assert office.may(office.network_admin, c.RemoveResource(office.it))
    assert office.may(office.token(P.RESOURCES_WRITE, P.POLICIES_WRITE), leaving)
    office.do(leaving)
    assert not isinstance(may_reach(office.state, laptop, office.it, START), Deny)


def test_what_the_rules_refuse_says_so_itself() -> None:
    office = Office()
    office.grant(office.user(), office.it)
    for command in (
        c.ChangeResource(office.it, address="no address"),
        c.ChangeResource(ResourceId(fresh_id("resource")), address="10.0.0.0/8"),
        c.ChangeResource(office.it, address="10.0.0.0/8", expected_version=7),
    ):
        assert office.may(office.network_admin, command)
        office.refused(command)


def test_t16_a_plan_widens_what_is_granted_in_the_name_of_who_may_grant_only() -> None:
    office = Office()
    office.grant(office.user(), office.it)
    name = office.state.resources[office.it].name
    network = office.state.networks[office.here].name
    document = (
        f"resources:\n"
        f"  - {{name: {name}, network: {network}, address: 10.0.0.0/23, ports: {{tcp: [80-443]}}, lease_s: 3600}}\n"
    )
    refused = plan_of(office, document, actor=office.token(P.RESOURCES_WRITE, P.PLANS_WRITE))
    assert ["grants:write" in problem.detail for problem in refused.problems] == [True]
    assert not plan_of(office, document, actor=office.owner).problems
