"""What a plan changes for people: differences, connections that end, expectations."""

from hypothesis import given
from hypothesis import strategies as st
from plan_world import plan_of
from policy_world import FAR, START, World

from controller.domain.commands import ChangeResource
from controller.domain.desired_text import read_document_untrusted
from controller.domain.plan import Plan
from controller.domain.plan_access import Difference, OpenFlow, cuts, differences, ports_without, unmet
from protocol.acl.model import PortRange, Ports, Request, Transport
from protocol.ids import DeviceId, UserId
from protocol.reasons import Reason


def _ports(*tcp: int) -> Ports:
    return Ports(tuple(PortRange(port, port) for port in tcp))


class Office:
    """Ada and her laptop, Grace without a device, a wiki on 443 for both of them."""

    def __init__(self) -> None:
        self.world = World()
        self.ada, self.grace = self.world.user(), self.world.user()
        self.laptop = self.world.laptop(self.ada)
        self.network = self.world.network("office")
        self.wiki = self.world.resource(self.network, "wiki.corp.internal", _ports(443), "wiki")
        self.group = self.world.group(self.ada, self.grace, name="engineers")
        self.grant = self.world.grant(self.group, self.wiki)

    @property
    def people(self) -> dict[str, UserId]:
        return {"ada@corp.example": self.ada, "grace@corp.example": self.grace}

    def plan(self, text: str, *, prune: bool = False) -> Plan:
        plan = plan_of(self.world, text, self.people, prune=prune)
        assert not plan.problems, plan.problems
        return plan

    def flow(self, host: str = "wiki.corp.internal", port: int = 443) -> OpenFlow:
        request = Request(host, Transport.TCP, port)
        return OpenFlow("flw", self.laptop, self.ada, self.wiki, request, START * 1000)


def _lines(plan: Plan) -> dict[tuple[str, DeviceId | None], Difference]:
    return {(item.owner.id, item.device): item for item in differences(plan, START)}


RESOURCE = "resources: [{name: wiki, network: office, address: %s, ports: {tcp: [%s]}}]"


class TestDifferences:
    def test_a_revocation_takes_from_each_member_and_each_of_their_devices(self) -> None:
        office = Office()
        lines = _lines(office.plan("grants: []", prune=True))
        assert set(lines) == {(office.ada, None), (office.grace, None), (office.ada, office.laptop)}
        assert all(line.lost == _ports(443) and line.gained == Ports() for line in lines.values())

    def test_more_and_fewer_ports_are_told_apart(self) -> None:
        office = Office()
        line = _lines(office.plan(RESOURCE % ("wiki.corp.internal", "80, 8080")))[office.ada, office.laptop]
        assert (line.gained, line.lost) == (_ports(80, 8080), _ports(443))

    def test_another_address_loses_and_gains_everything(self) -> None:
        office = Office()
        line = _lines(office.plan(RESOURCE % ("new.corp.internal", "443")))[office.grace, None]
        assert (line.gained, line.lost) == (_ports(443), _ports(443))

    def test_another_grant_for_the_same_is_no_difference(self) -> None:
        office = Office()
        text = "grants:\n  - {to: group:engineers, resource: wiki, expires: 2200-01-01T00:00:00Z}"
        assert _lines(office.plan(text)) == {}

    def test_a_policy_is_a_difference_and_takes_from_a_device_that_does_not_meet_it(self) -> None:
        office = Office()
        text = (
            "policies:\n  - {name: staff, conditions: {device_trusted: true}}\n"
            "grants:\n  - {to: group:engineers, resource: wiki, policy: staff}"
        )
        lines = _lines(office.plan(text))
        assert lines[office.ada, office.laptop].lost == _ports(443)
        person = lines[office.ada, None]
        assert (person.gained, person.lost) == (Ports(), Ports())
        assert person.after is not None
        assert person.before is not None
        assert person.after.policies != person.before.policies

    def test_an_exclusion_takes_from_the_one_whom_it_names(self) -> None:
        office = Office()
        lines = _lines(office.plan("exclusions:\n  - {who: user:ada@corp.example, resource: wiki}"))
        assert set(lines) == {(office.ada, None), (office.ada, office.laptop)}

    def test_a_disabled_user_loses_everything(self) -> None:
        office = Office()
        lines = _lines(office.plan("users:\n  - {user: ada@corp.example, disabled: true}"))
        assert set(lines) == {(office.ada, None), (office.ada, office.laptop)}


class TestCuts:
    def test_a_connection_that_loses_its_grant_is_named(self) -> None:
        office = Office()
        (cut,) = cuts(office.plan("grants: []", prune=True), [office.flow()], START)
        assert (cut.flow.device, cut.reason) == (office.laptop, Reason.NO_GRANT)

    def test_a_port_that_goes_cuts_only_its_connections(self) -> None:
        office = Office()
        office.world.do(ChangeResource(office.wiki, ports=_ports(80, 443)))
        plan = office.plan(RESOURCE % ("wiki.corp.internal", "443"))
        found = [
            (cut.flow.request.port, cut.reason) for cut in cuts(plan, [office.flow(port=80), office.flow()], START)
        ]
        assert found == [(80, Reason.PORT_NOT_ALLOWED)]

    def test_what_is_forbidden_already_is_not_the_plans_doing(self) -> None:
        office = Office()
        assert not list(cuts(office.plan("grants: []", prune=True), [office.flow(port=22)], START))

    def test_a_second_way_keeps_the_connection(self) -> None:
        office = Office()
        office.world.grant(office.ada, office.wiki, expires=FAR)
        plan = office.plan('grants: [{to: "user:ada@corp.example", resource: wiki}]', prune=True)
        assert not list(cuts(plan, [office.flow()], START))


class TestExpectations:
    def _failed(self, office: Office, text: str, *expected: str, prune: bool = False) -> list[tuple[str, str]]:
        document = f"{text}\nexpect:\n" + "".join(f"  - '{item}'\n" for item in expected)
        found = unmet(office.plan(text, prune=prune), read_document_untrusted(document).expect, office.people, START)
        return [(item.text, item.detail) for item in found]

    def test_they_are_judged_on_the_outcome(self) -> None:
        office = Office()
        can, cannot = "ada@corp.example can reach wiki", "ada@corp.example cannot reach wiki"
        assert self._failed(office, "networks: []", can) == []
        assert self._failed(office, "networks: []", cannot) == [(cannot, "it can")]
        assert self._failed(office, "grants: []", can, cannot, prune=True) == [(can, "it cannot")]

    def test_a_port_may_be_given(self) -> None:
        office = Office()
        good = ("grace@corp.example can reach wiki:443", "grace@corp.example cannot reach wiki:443/udp")
        assert self._failed(office, "networks: []", *good) == []
        assert len(self._failed(office, "networks: []", "grace@corp.example can reach wiki:80")) == 1

    def test_who_or_what_does_not_exist_fails_also_where_cannot_is_expected(self) -> None:
        office = Office()
        nobody, nothing = "eve@corp.example cannot reach wiki", "ada@corp.example cannot reach wikki"
        assert len(self._failed(office, "networks: []", nobody, nothing)) == 2


PORTS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=5).map(
    lambda items: Ports(tuple(PortRange(first, first + more) for first, more in items))
)


def _open(ports: Ports) -> set[int]:
    return {port for item in ports.tcp for port in range(item.first, item.last + 1)}


@given(PORTS, PORTS)
def test_ports_are_subtracted_as_sets(ports: Ports, taken: Ports) -> None:
    assert _open(ports_without(ports, taken)) == _open(ports) - _open(taken)
