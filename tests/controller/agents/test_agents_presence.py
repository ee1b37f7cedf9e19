"""Who is there."""

from policy_world import PIN, START

from controller.agents.presence import Presence
from controller.publish import AgentKind
from protocol.control import Heartbeat, Hello
from protocol.ids import RelayId, SpkiPin
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


def test_t17_an_agent_cannot_name_what_is_no_pin() -> None:
    presence, nonsense = Presence(), SpkiPin("sha256/nonsense")
    presence.arrived("con_a", AgentKind.CONNECTOR, Hello(1, "x", START * 1000, pin=nonsense, next_pin=nonsense), NOW)
    line = presence.agent("con_a")
    assert line is not None
    assert (line.pin, line.next_pin) == (None, None)
    presence.heard("con_a", Heartbeat(START * 1000, pin=PIN), NOW)
    presence.heard("con_a", Heartbeat(START * 1000, pin=nonsense, next_pin=nonsense), NOW)
    line = presence.agent("con_a")
    assert line is not None
    assert (line.pin, line.next_pin) == (PIN, None)


def test_t74_what_agents_say_of_themselves_is_bounded_and_printable() -> None:
    presence, relays = Presence(), tuple(RelayId(f"rel_{number}") for number in range(1000))
    hello = Hello(1, "\x1b[2J" + "s" * 100_000, START * 1000, hostname="a\nb\u202e" + "h" * 100_000)
    presence.arrived("dev_a", AgentKind.CLIENT, hello, NOW)
    presence.heard("dev_a", Heartbeat(START * 1000, relays=relays), NOW)
    line = presence.agent("dev_a")
    assert line is not None
    assert line.software.startswith("?[2Js")
    assert line.hostname.startswith("a?b?h")
    assert max(len(line.software), len(line.hostname)) <= 255
    assert len(line.relays) <= 64
