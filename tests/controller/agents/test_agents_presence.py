"""Who is there."""

from policy_world import START

from controller.agents.presence import Presence
from controller.publish import AgentKind
from protocol.control import Heartbeat, Hello
from protocol.ids import RelayId
from protocol.limits import AGENT_STALL_S
from protocol.rendezvous import RelayReport

NOW = float(START)


def test_agents_come_are_heard_and_go() -> None:
    presence = Presence()
    hello = Hello(1, "0.1.0", START * 1000 + 1500, hostname="gate")
    presence.arrived("con_b", AgentKind.CONNECTOR, hello, NOW)
    presence.arrived("dev_a", AgentKind.CLIENT, hello, NOW)
    assert [line.agent for line in presence.agents()] == ["con_b", "dev_a"]
    assert [line.agent for line in presence.agents(AgentKind.CLIENT)] == ["dev_a"]
    line = presence.agent("con_b")
    assert line is not None
    assert (line.clock_offset_ms, line.hostname, line.since) == (1500, "gate", NOW)
    presence.heard("con_b", Heartbeat((START + 4) * 1000, flows=-3, tunnels=2), NOW + 4)
    presence.heard("con_gone", Heartbeat(1), NOW)
    line = presence.agent("con_b")
    assert line is not None
    assert (line.clock_offset_ms, line.flows, line.tunnels, line.last_seen) == (0, 0, 2, NOW + 4)
    presence.left("con_b")
    presence.left("con_b")
    assert presence.agent("con_b") is None


def test_relays_are_there_while_they_report() -> None:
    presence, relay = Presence(), RelayId("rel_x")
    assert presence.relay(relay, NOW) is None
    presence.relay_connected(relay, NOW)
    presence.relay_reported(relay, RelayReport("x", 1, ("hash",), 1, 2, 3), NOW + 2)
    line = presence.relay(relay, NOW + 2 + AGENT_STALL_S)
    assert line is not None
    assert (sorted(line.attachments), line.since) == (["hash"], NOW)
    assert presence.relay(relay, NOW + 3 + AGENT_STALL_S) is None
    assert presence.relays() == (line,)
    presence.relay_lost(relay)
    assert presence.relays() == ()
