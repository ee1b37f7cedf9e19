"""What a hostile client smuggles into an honest connector's records is cut, not refused (T-74)."""

from policy_world import World

from controller.agents.authentication import Agent
from controller.agents.reports import GRANTS_MAX, TEXT_MAX, own_records
from controller.publish import AgentKind
from protocol.control import ConnectionRecord
from protocol.ids import FlowId, RelayId, ResourceId, Revision


def test_t74_texts_are_cut_and_numbers_bounded() -> None:
    world = World()
    connector = world.connector(world.network())
    device = world.laptop(world.user())
    key = world.state.connectors[connector].key
    assert key is not None
    record = ConnectionRecord(
        flow=FlowId("f\x1b[31m"),
        reporter="connector",
        device=device,
        user=world.state.devices[device].owner.id,
        resource=ResourceId("r\n"),
        network=None,
        connector=None,
        relay=RelayId("x" * 1000),
        host="evil\r\nname\x00" + "y" * 1000,
        address="",
        transport="tcp",
        port=70_000,
        started_ms=-1,
        ended_ms=-1,
        bytes_up=-1,
        bytes_down=-1,
        outcome="normal",
        revision=Revision(-1),
        grants=("g\n",) * 1000,
    )
    (kept,) = own_records(world.state, Agent(connector, AgentKind.CONNECTOR, key), [record])
    assert (kept.flow, kept.resource) == ("f?[31m", "r?")
    assert kept.host.startswith("evil??name?")
    assert all(len(text) <= TEXT_MAX for text in (kept.host, kept.relay or ""))
    assert kept.grants == ("g?",) * GRANTS_MAX
    assert (kept.port, kept.started_ms, kept.bytes_up, kept.revision) == (None, 0, 0, 0)


def test_records_of_agents_that_are_gone_are_left_out() -> None:
    world = World()
    connector = world.connector(world.network())
    key = world.state.connectors[connector].key
    assert key is not None
    record = ConnectionRecord(
        FlowId("f"),
        "connector",
        device=world.laptop(world.user()),
        user="",
        resource=None,
        network=None,
        connector=None,
        relay=None,
        host="",
        address="",
        transport="tcp",
        port=1,
        started_ms=0,
        ended_ms=0,
        bytes_up=0,
        bytes_down=0,
        outcome="normal",
        revision=Revision(0),
    )
    assert own_records(world.state, Agent("con_gone", AgentKind.CONNECTOR, key), [record]) == ()
