"""What a hostile client smuggles into an honest connector's records is cut, not refused (T-74)."""

from dataclasses import replace

from flow_records import flow_record
from policy_world import World

from controller.agents.authentication import Agent
from controller.agents.reports import GRANTS_MAX, TEXT_MAX, own_records
from controller.publish import AgentKind
from protocol.ids import FlowId, RelayId, ResourceId, Revision
from protocol.limits import CLOCK_LEEWAY_S

NOW_MS = 1_800_000_000_000


def test_t74_texts_are_cut_and_numbers_bounded() -> None:
    world = World()
    connector = world.connector(world.network())
    device = world.laptop(world.user())
    key = world.state.connectors[connector].key
    assert key is not None
    record = flow_record(
        flow=FlowId("f\x1b[31m"),
        device=device,
        user=world.state.devices[device].owner.id,
        resource=ResourceId("r\n"),
        relay=RelayId("x" * 1000),
        host="evil\r\nname\x00" + "y" * 1000,
        address="",
        port=70_000,
        started_ms=-1,
        ended_ms=-1,
        bytes_up=-1,
        bytes_down=-1,
        revision=Revision(-1),
        grants=("g\n",) * 1000,
    )
    (kept,) = own_records(world.state, Agent(connector, AgentKind.CONNECTOR, key), [record], NOW_MS / 1000)
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
    record = flow_record(device=world.laptop(world.user()))
    assert own_records(world.state, Agent("con_gone", AgentKind.CONNECTOR, key), [record], NOW_MS / 1000) == ()


def test_t9_a_client_tells_of_no_time_to_come() -> None:
    """Its records would outlive all others in the log; an end is not before its start either."""
    world = World()
    device = world.laptop(world.user())
    owner = world.state.devices[device]
    agent = Agent(device, AgentKind.CLIENT, owner.key)
    mine = flow_record(reporter="client", device=device, user=owner.owner.id, started_ms=NOW_MS, ended_ms=NOW_MS + 5)

    def kept(**times: int) -> list[tuple[int, int]]:
        found = own_records(world.state, agent, [replace(mine, **times)], NOW_MS / 1000)  # type: ignore[arg-type]
        return [(record.started_ms, record.ended_ms) for record in found]

    latest = NOW_MS + CLOCK_LEEWAY_S * 1000
    assert kept() == [(NOW_MS, NOW_MS + 5)]
    assert kept(ended_ms=2**53) == [(NOW_MS, latest)]
    assert kept(ended_ms=0) == [(NOW_MS, NOW_MS)]
    assert kept(started_ms=latest, ended_ms=0) == [(latest, latest)]
    assert kept(started_ms=latest + 1, ended_ms=latest + 2) == []
