"""Folds of a connector's key events: only this connector's, and what else is known of it stays."""

from dataclasses import replace

from policy_world import START, World, fresh_key

from controller.domain.commands_connector_keys import AnnounceConnectorKey, RotateConnectorKey
from protocol.ids import SpkiPin

PIN = SpkiPin("sha256/" + "B" * 43 + "=")


def test_a_rotation_touches_nothing_else() -> None:
    world = World()
    network = world.network()
    connector, other = world.connector(network), world.connector(network)
    before = world.state.connectors
    key = fresh_key()
    world.do(AnnounceConnectorKey(connector, key, PIN))
    world.do(RotateConnectorKey(connector, key, START))
    after = world.state.connectors
    assert after[other] == before[other]
    same = replace(
        after[connector], key=before[connector].key, pin=before[connector].pin, former_pin=None, former_until=0
    )
    assert same == before[connector]
