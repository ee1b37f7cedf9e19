"""What a change takes away: the origin of cut-offs (T-36)."""

from hypothesis import given, settings
from hypothesis import strategies as st
from policy_commands import commands_in
from policy_world import START, World

from controller.domain import commands as c
from controller.domain.decide import decide
from controller.domain.losses import Loss, losses_by, losses_of
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from protocol.acl.model import PortRange, Ports
from protocol.ids import DeviceId, NetworkId, ResourceId, UserId
from protocol.reasons import Reason

NOW = START + 0.5


class Office:
    """A laptop that may reach two resources of two networks."""

    def __init__(self) -> None:
        self.world = World()
        self.user: UserId = self.world.user()
        self.device: DeviceId = self.world.laptop(self.user)
        self.one: NetworkId = self.world.network()
        self.two: NetworkId = self.world.network()
        self.web: ResourceId = self.world.resource(self.one)
        self.db: ResourceId = self.world.resource(self.two)
        self.web_grant = self.world.grant(self.user, self.web)
        self.world.grant(self.user, self.db)

    def after(self, *commands: c.Command) -> tuple[Loss, ...]:
        """What the device loses by these commands."""
        before = self.world.state
        for command in commands:
            self.world.do(command)
        losses = losses_of(before, self.world.state, self.device, was=NOW, now=NOW)
        if len(commands) == 1:
            event = self.world.changes[-1].event
            assert losses_by(before, self.world.state, event, self.device, NOW) == losses
        return losses


def test_t36_a_revoked_grant_is_one_loss_in_one_network() -> None:
    office = Office()
    loss = Loss(office.device, office.web, frozenset({office.one}), Reason.ACCESS_REVOKED)
    assert office.after(c.RevokeGrant(office.web_grant)) == (loss,)


def test_t36_lost_standing_is_a_loss_of_everything_everywhere() -> None:
    for command, reason in (
        (lambda office: c.DisableUser(office.user), Reason.USER_DISABLED),
        (lambda office: c.RemoveUser(office.user), Reason.DEVICE_REVOKED),
        (lambda office: c.RevokeDevice(office.device), Reason.DEVICE_REVOKED),
        (lambda office: c.EndSession(office.world.state.session_of[office.device]), Reason.SESSION_ENDED),
    ):
        office = Office()
        expected = Loss(office.device, None, frozenset({office.one, office.two}), reason)
        assert office.after(command(office)) == (expected,)


def test_a_second_grant_keeps_the_access() -> None:
    office = Office()
    office.world.grant(office.world.group(office.user), office.web)
    assert office.after(c.RevokeGrant(office.web_grant)) == ()


def test_gains_and_shorter_grants_are_no_losses() -> None:
    office = Office()
    office.world.grant(office.user, office.web, expires=START + 60)
    assert office.after(c.RevokeGrant(office.web_grant)) == ()
    before = office.world.state
    office.world.grant(office.user, office.world.resource(office.one))
    assert losses_of(before, office.world.state, office.device, was=NOW, now=NOW) == ()


def test_what_the_config_takes_away_needs_no_cut_off() -> None:
    office = Office()
    assert office.after(c.ChangeResource(office.web, ports=Ports(udp=(PortRange(1, 2),)))) == ()
    assert office.after(c.ChangeResource(office.web, network=office.two)) == ()
    assert office.after(c.RemoveResource(office.web)) == ()


def test_time_takes_away_too() -> None:
    office = Office()
    office.world.grant(office.user, office.web, expires=START + 60)
    office.after(c.RevokeGrant(office.web_grant))
    state = office.world.state
    loss = Loss(office.device, office.web, frozenset({office.one}), Reason.GRANT_EXPIRED)
    assert losses_of(state, state, office.device, was=START + 59.5, now=START + 60.0) == (loss,)
    office.world.session(office.device, expires=START + 90)
    state = office.world.state
    (ended,) = losses_of(state, state, office.device, was=START + 89.5, now=START + 95.0)
    assert (ended.resource, ended.reason) == (None, Reason.SESSION_ENDED)


def test_who_had_nothing_loses_nothing() -> None:
    office = Office()
    assert losses_of(PolicyState(), office.world.state, office.device, was=NOW, now=NOW) == ()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_t36_the_quick_way_finds_the_same_losses(data: st.DataObject) -> None:
    world = World()
    now = float(data.draw(st.integers(START - 5, START + 105)))
    for command in data.draw(st.lists(commands_in(world), max_size=60)):
        decided = decide(world.state, command)
        for event in () if isinstance(decided, Refusal) else decided:
            before = world.state
            world.append(event)
            for device in before.devices:
                slow = losses_of(before, world.state, device, was=now, now=now)
                assert losses_by(before, world.state, event, device, now) == slow
