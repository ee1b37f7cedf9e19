"""One of several hubs over one log: what the others do, and how far behind they may be (T-36)."""

from dataclasses import dataclass, field
from ipaddress import ip_address

from policy_world import START
from publish_office import Office, Peer

from controller.domain import commands as c
from controller.domain.conditions import Conditions
from controller.publish import Hub
from controller.publish.places import PLACE_KEEP_S
from protocol.control import Cutoff, Revoke
from protocol.ids import ConnectorId, DeviceId, GrantId, NetworkId, ResourceId
from runtime.clock import Clock, ManualClock

INSIDE, OUTSIDE = ip_address("192.0.2.7"), ip_address("198.51.100.7")
LAG_S = 2.0


@dataclass
class Site:
    """A laptop that may reach one resource from inside; its connector hangs on the hub that is looked at."""

    conditions: Conditions | None = None
    office: Office = field(default_factory=Office)

    def __post_init__(self) -> None:
        world = self.office.world
        user = world.user()
        self.laptop: DeviceId = world.laptop(user)
        self.network: NetworkId = world.network()
        self.resource: ResourceId = world.resource(self.network)
        self.connector_id: ConnectorId = world.connector(self.network)
        policy = world.policy(self.conditions) if self.conditions is not None else None
        self.grant: GrantId = world.grant(user, self.resource, policy=policy)
        self.office.commit()
        self.office.hub = self.hub(self.office.clock)
        self.connector: Peer = self.office.connector(self.connector_id)
        self.connector.take_all()

    def hub(self, clock: Clock) -> Hub:
        return Hub(self.office.feed, self.office.signer, clock, jitter=lambda _: 0.0, lag_s=LAG_S)

    def cut_offs(self) -> list[Cutoff]:
        """What the connector is told, in order."""
        return [one for message in self.connector.take_all() if isinstance(message, Revoke) for one in message.cutoffs]


async def test_t36_what_a_replica_behind_the_log_issues_falls_under_the_cut_off() -> None:
    site = Site()
    site.office.give(c.RevokeGrant(site.grant))
    revoked_at = site.office.head.state.at_ms / 1000
    async with site.office.running():
        revoke = (await site.connector.next())[0]
    assert isinstance(revoke, Revoke)
    (cutoff,) = revoke.cutoffs
    assert cutoff.before == int(revoked_at + LAG_S) + 1
    # Its own new tokens do not.
    assert site.office.hub.not_before(site.laptop) == cutoff.before


async def test_replicas_agree_about_a_cut_off_whatever_their_clocks_show() -> None:
    site = Site()
    late = ManualClock(wall=START + 1)
    site.office.give(c.RevokeGrant(site.grant))
    befores = {site.hub(clock).not_before(site.laptop) for clock in (site.office.clock, late)}
    assert befores == {int(site.office.head.state.at_ms / 1000 + LAG_S) + 1}


async def test_t36_a_device_elsewhere_counts_as_being_where_its_replica_says() -> None:
    site = Site(Conditions(sources=("192.0.2.0/24",)))
    hub, clock = site.office.hub, site.office.clock
    hub.seen_elsewhere(site.laptop, INSIDE)
    clock.advance(PLACE_KEEP_S + 60)
    hub.tick()
    assert site.cut_offs() == []
    assert hub.place_of(site.laptop) == INSIDE
    assert hub.seen_elsewhere(site.laptop, OUTSIDE)
    (cutoff,) = site.cut_offs()
    assert (cutoff.resource, cutoff.reason) == (site.resource, "source_not_allowed")


async def test_t36_a_device_that_left_its_replica_is_nowhere_after_a_while() -> None:
    site = Site(Conditions(sources=("192.0.2.0/24",)))
    hub, clock = site.office.hub, site.office.clock
    hub.seen_elsewhere(site.laptop, INSIDE)
    clock.advance(PLACE_KEEP_S + 60)
    hub.tick()
    hub.left_elsewhere(site.laptop)
    clock.advance(PLACE_KEEP_S - 1)
    hub.tick()
    assert site.cut_offs() == []
    clock.advance(1)
    hub.tick()
    (cutoff,) = site.cut_offs()
    assert cutoff.reason == "source_not_allowed"


async def test_what_others_say_does_not_move_a_device_that_is_here() -> None:
    site = Site(Conditions(sources=("192.0.2.0/24",)))
    site.office.client(site.laptop, address=str(INSIDE))
    assert not site.office.hub.seen_elsewhere(site.laptop, OUTSIDE)
    site.office.hub.left_elsewhere(site.laptop)
    assert site.office.hub.place_of(site.laptop) == INSIDE
    assert site.cut_offs() == []


async def test_t20_an_agent_that_moved_is_told_goodbye() -> None:
    site = Site()
    site.office.hub.moved(site.connector_id)
    site.office.hub.moved("con_unknown")
    (goodbye,) = site.connector.take_all()
    assert (goodbye.reason, goodbye.retry_after_s > 0) == ("duplicate_agent", True)  # type: ignore[union-attr]
