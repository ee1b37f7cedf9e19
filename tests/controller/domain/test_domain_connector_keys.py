"""A connector's keys: which pins clients are told, and until when (C5, F-23)."""

from policy_world import PIN, START, World, fresh_key

from controller.domain import commands as c
from controller.domain.affected import affected_by
from controller.domain.commands_connector_keys import AnnounceConnectorKey, RotateConnectorKey
from controller.domain.connector_keys import pins_of
from controller.domain.events import ConnectorEnrolled, ConnectorKeyAnnounced
from controller.domain.model import Connector, PublicKey
from protocol.ids import ConnectorId, SpkiPin
from protocol.limits import KEY_OVERLAP_S
from protocol.reasons import Reason

NEXT = SpkiPin("sha256/" + "B" * 43 + "=")
THIRD = SpkiPin("sha256/" + "C" * 43 + "=")


def keys(connector: Connector) -> tuple[PublicKey, ...]:
    """Its keys, the one in use first."""
    return tuple(key for key in (connector.key, connector.next_key) if key is not None)


def announced(world: World) -> tuple[ConnectorId, PublicKey, PublicKey]:
    """A connector with a key and a next key."""
    first, following = fresh_key(), fresh_key()
    connector = world.connector(world.network(), first)
    world.do(AnnounceConnectorKey(connector, following, NEXT))
    return connector, first, following


def test_before_it_is_enrolled_there_is_no_pin() -> None:
    world = World()
    connector = world.connector(world.network(), enrolled=False)
    assert pins_of(world.state.connectors[connector], START) == ()
    assert keys(world.state.connectors[connector]) == ()
    assert world.refused(AnnounceConnectorKey(connector, fresh_key(), NEXT))[0] is Reason.NOT_FOUND
    assert world.refused(RotateConnectorKey(connector, fresh_key(), START))[0] is Reason.NOT_FOUND


def test_f23_the_next_pin_is_named_before_it_is_used_and_the_former_one_after() -> None:
    world = World()
    connector, first, following = announced(world)
    assert pins_of(world.state.connectors[connector], START) == (PIN, NEXT)
    assert keys(world.state.connectors[connector]) == (first, following)
    world.do(RotateConnectorKey(connector, following, START))
    rotated = world.state.connectors[connector]
    assert keys(rotated) == (following,)
    assert pins_of(rotated, START + KEY_OVERLAP_S - 1) == (NEXT, PIN)
    assert pins_of(rotated, START + KEY_OVERLAP_S) == (NEXT,)


def test_f23_announcing_and_switching_again_change_nothing() -> None:
    world = World()
    connector, _, following = announced(world)
    assert world.do(AnnounceConnectorKey(connector, following, NEXT)) == ()
    world.do(RotateConnectorKey(connector, following, START))
    assert world.do(RotateConnectorKey(connector, following, START + 60)) == ()


def test_f23_the_last_key_announced_counts() -> None:
    world = World()
    connector, _, following = announced(world)
    other = fresh_key()
    world.do(AnnounceConnectorKey(connector, other, THIRD))
    assert pins_of(world.state.connectors[connector], START) == (PIN, THIRD)
    assert world.refused(RotateConnectorKey(connector, following, START))[0] is Reason.CONFLICT


def test_t61_a_key_that_is_in_use_is_nobodys_next_one() -> None:
    world = World()
    connector, first, following = announced(world)
    device_key = fresh_key()
    world.device(world.user(), device_key)
    other = world.connector(world.network())
    for taken in (first, following, device_key):
        assert world.refused(AnnounceConnectorKey(other, taken, THIRD))[0] is Reason.ALREADY_EXISTS
    assert world.refused(AnnounceConnectorKey(connector, first, THIRD))[0] is Reason.ALREADY_EXISTS


def test_f23_a_new_enrolment_ends_all_other_keys() -> None:
    world = World()
    connector, _, following = announced(world)
    world.do(RotateConnectorKey(connector, following, START))
    world.do(AnnounceConnectorKey(connector, fresh_key(), THIRD))
    fresh = fresh_key()
    world.do(c.EnrolConnector(connector, fresh, PIN))
    assert keys(world.state.connectors[connector]) == (fresh,)
    assert pins_of(world.state.connectors[connector], START) == (PIN,)


def test_t36_f23_clients_are_touched_by_a_second_enrolment_only() -> None:
    world = World()
    network, user = world.network(), world.user()
    laptop = world.laptop(user)
    world.grant(user, world.resource(network))
    connector = world.connector(network)
    first = next(item for item in world.changes if isinstance(item.event, ConnectorEnrolled))
    world.do(AnnounceConnectorKey(connector, fresh_key(), NEXT))
    world.do(c.EnrolConnector(connector, fresh_key(), THIRD))
    second = world.changes[-1]
    assert affected_by(first.before, first.after.state, first.event).devices == frozenset()
    assert affected_by(second.before, second.after.state, second.event).devices == {laptop}
    announcement = next(item for item in world.changes if isinstance(item.event, ConnectorKeyAnnounced))
    assert not affected_by(announcement.before, announcement.after.state, announcement.event).devices
