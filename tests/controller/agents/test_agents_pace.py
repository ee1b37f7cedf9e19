"""How often agents beat."""

import pytest

from controller.agents.pace import HEARTBEATS_PER_S, heartbeat_interval
from controller.publish import AgentKind
from protocol.limits import HEARTBEAT_INTERVAL_S, HEARTBEAT_SLOWEST_S


@pytest.mark.parametrize("attached", [0, 1, 500])
def test_a_small_fleet_beats_at_the_usual_pace(attached: int) -> None:
    assert heartbeat_interval(AgentKind.CLIENT, attached) == HEARTBEAT_INTERVAL_S


@pytest.mark.parametrize("attached", [1_000, 3_000, 5_000])
def test_the_beats_of_many_clients_together_are_bounded(attached: int) -> None:
    assert attached / heartbeat_interval(AgentKind.CLIENT, attached) == pytest.approx(HEARTBEATS_PER_S)


def test_no_client_beats_less_often_than_agreed() -> None:
    assert heartbeat_interval(AgentKind.CLIENT, 1_000_000) == HEARTBEAT_SLOWEST_S


def test_f3_connectors_keep_the_pace_by_which_dead_ones_are_noticed() -> None:
    assert heartbeat_interval(AgentKind.CONNECTOR, 1_000_000) == HEARTBEAT_INTERVAL_S
