"""Where devices are that hang on another replica, while what they left here has not gone yet."""

from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from empty_database import make_database
from policy_world import START
from publish_office import Office

from controller.agents.presence import Presence
from controller.agents.sharing import Sharing
from controller.domain.conditions import Conditions
from controller.publish import AgentKind
from controller.store import Store
from protocol.control import Hello, Revoke

HELLO = Hello(1, "0.1.0", START * 1000, hostname="gate")
INSIDE, OUTSIDE = "192.0.2.7", "198.51.100.7"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await Store.open(make_database(tmp_path / "controller.db"))
    yield opened
    await opened.close()


async def test_a_place_elsewhere_counts_as_soon_as_the_old_connection_here_is_gone(store: Store) -> None:
    office, there = Office(), Office()
    world = office.world
    user = world.user()
    laptop = world.laptop(user)
    network = world.network()
    resource = world.resource(network)
    gate = world.connector(network)
    world.grant(user, resource, policy=world.policy(Conditions(sources=("192.0.2.0/24",))))
    office.commit()
    office.restart()
    connector = office.connector(gate)
    connector.take_all()
    here, elsewhere = Presence(), Presence()
    one = Sharing(store, here, office.hub, office.clock, replica="one", hostname="one")
    two = Sharing(store, elsewhere, there.hub, there.clock, replica="two", hostname="two")

    old = office.client(laptop, address=INSIDE)
    here.arrived(laptop, AgentKind.CLIENT, HELLO, office.clock.wall(), address=INSIDE)
    await one.round()
    elsewhere.arrived(laptop, AgentKind.CLIENT, HELLO, office.clock.wall() + 1, address=OUTSIDE)
    await two.round()
    await one.round()
    assert office.hub.place_of(laptop) == ip_address(INSIDE)

    here.left(laptop)
    office.hub.detach(old.attachment)
    await one.round()
    assert office.hub.place_of(laptop) == ip_address(OUTSIDE)
    cutoffs = [one for message in connector.take_all() if isinstance(message, Revoke) for one in message.cutoffs]
    assert [(cutoff.resource, cutoff.reason) for cutoff in cutoffs] == [(resource, "source_not_allowed")]
