"""Every command about a connector's keys is decided, and by trusted code only."""

from policy_world import START, World, fresh_key

from controller.domain import commands as c
from controller.domain import commands_connector_keys as k
from controller.domain.authority import refusal_for
from controller.domain.decide_connector_keys import HANDLERS
from controller.domain.model import Role
from protocol.ids import SpkiPin
from protocol.reasons import Reason

PIN = SpkiPin("sha256/" + "B" * 43 + "=")


def test_every_command_about_connectors_keys_is_decided() -> None:
    commands = {
        value
        for value in vars(k).values()
        if isinstance(value, type) and issubclass(value, c.Command) and value is not c.Command
    }
    assert set(HANDLERS) == commands


def test_t61_not_even_an_owner_names_a_connectors_key() -> None:
    world = World()
    owner, connector = world.user(Role.OWNER), world.connector(world.network())
    for command in (
        k.AnnounceConnectorKey(connector, fresh_key(), PIN),
        k.RotateConnectorKey(connector, fresh_key(), START),
    ):
        refusal = refusal_for(world.state, owner, command)
        assert refusal is not None
        assert refusal.reason is Reason.FORBIDDEN


def test_a_malformed_pin_is_refused() -> None:
    world = World()
    connector = world.connector(world.network())
    assert world.refused(k.AnnounceConnectorKey(connector, fresh_key(), SpkiPin("x")))[0] is Reason.INVALID_INPUT
