"""Which ways are offered, and in which order (C11, C5)."""

from policy_world import PIN, START, World, fresh_key

from controller.agents.paths import PATHS_MAX, direct_ways, paths_to
from controller.agents.presence import Presence
from controller.domain.commands_connector_keys import AnnounceConnectorKey, RotateConnectorKey
from controller.publish import AgentKind, Hop
from protocol.control import Heartbeat, Hello
from protocol.ids import ConnectorId, DeviceId, NetworkId, RelayId, SpkiPin, relay_hash
from protocol.limits import AGENT_STALL_S
from protocol.rendezvous import RelayReport

NOW = float(START)
DEVICE = DeviceId("dev_AAAAAAAAAAAAAAAAAAAAAA")
OTHER_PIN = SpkiPin("sha256/" + "B" * 43 + "=")


class Site:
    """A network, its connectors, some relays, and who is there."""

    def __init__(self) -> None:
        self.world = World()
        self.presence = Presence()
        self.network: NetworkId = self.world.network()

    def attached(
        self, connector: ConnectorId, *relays: RelayId, flows: int = 0, pins: tuple[SpkiPin, ...] = ()
    ) -> None:
        """The connector is attached here and says where else."""
        self.presence.arrived(connector, AgentKind.CONNECTOR, Hello(1, "x", START * 1000), NOW)
        current, following = (*pins, None, None)[:2]
        beat = Heartbeat(START * 1000, pin=current, next_pin=following, relays=relays, flows=flows)
        self.presence.heard(connector, beat, NOW)

    def reported(self, relay: RelayId, *connectors: ConnectorId, at: float = NOW, pairs: int = 0) -> None:
        """The relay says who hangs on it."""
        self.presence.relay_connected(relay, at)
        hashes = tuple(relay_hash(connector) for connector in connectors)
        self.presence.relay_reported(relay, RelayReport("x", START * 1000, hashes, 0, pairs, 0), at)

    def paths(self, device: DeviceId = DEVICE) -> list[tuple[ConnectorId, RelayId]]:
        """Connector and relay of each path."""
        return [(hop.connector.id, hop.relay.id) for hop in self.hops(device)]

    def hops(self, device: DeviceId = DEVICE) -> tuple[Hop, ...]:
        """The paths."""
        return paths_to(self.world.state, self.presence, self.network, device, NOW)


def test_nobody_there_is_no_path() -> None:
    site = Site()
    connector, relay = site.world.connector(site.network), site.world.relay()
    assert site.paths() == []
    site.attached(connector)
    assert site.paths() == []
    site.attached(connector, relay)
    assert site.paths() == [(connector, relay)]
    site.presence.left(connector)
    assert site.paths() == []


def test_a_relays_report_counts_while_it_is_fresh_even_for_connectors_elsewhere() -> None:
    site = Site()
    connector, relay = site.world.connector(site.network), site.world.relay()
    site.reported(relay, connector)
    assert site.paths() == [(connector, relay)]
    site.reported(relay, connector, at=NOW - AGENT_STALL_S - 1)
    assert site.paths() == []
    site.reported(relay, connector)
    site.presence.relay_lost(relay)
    assert site.paths() == []


def test_only_living_enrolled_parts_of_the_network_count() -> None:
    site = Site()
    elsewhere = site.world.connector(site.world.network())
    expected = site.world.connector(site.network, enrolled=False)
    relay, unknown = site.world.relay(), site.world.relay(enrolled=False)
    site.attached(elsewhere, relay)
    site.attached(expected, relay)
    site.attached(ConnectorId("con_x"), relay)
    assert site.paths() == []
    connector = site.world.connector(site.network)
    site.attached(connector, unknown, RelayId("rel_x"))
    assert site.paths() == []


def test_less_loaded_connectors_come_first_and_take_turns() -> None:
    site = Site()
    busy, idle = site.world.connector(site.network), site.world.connector(site.network)
    relays = [site.world.relay() for _ in range(3)]
    site.attached(busy, *relays, flows=500)
    site.attached(idle, *relays, flows=3)
    paths = site.paths()
    assert [connector for connector, _ in paths] == [idle, busy] * 3
    assert {relay for connector, relay in paths if connector == idle} == set(relays)


def test_a_connector_that_is_not_attached_here_is_the_last_resort() -> None:
    site = Site()
    here, there = site.world.connector(site.network), site.world.connector(site.network)
    relay = site.world.relay()
    site.attached(here, relay, flows=10_000)
    site.reported(relay, here, there)
    assert site.paths() == [(here, relay), (there, relay)]


def test_a_relay_that_confirms_the_attachment_comes_before_one_that_does_not() -> None:
    site = Site()
    connector = site.world.connector(site.network)
    relays = [site.world.relay() for _ in range(4)]
    site.attached(connector, *relays)
    for confirming in relays:
        for relay in relays:
            site.reported(relay, *([connector] if relay == confirming else []))
        assert site.paths()[0] == (connector, confirming)


def test_less_loaded_relays_come_first() -> None:
    site = Site()
    connector = site.world.connector(site.network)
    relays = [site.world.relay() for _ in range(4)]
    for idle in relays:
        for relay in relays:
            site.reported(relay, connector, pairs=3 if relay == idle else 5000)
        assert site.paths()[0] == (connector, idle)


def test_devices_are_spread_over_equal_connectors() -> None:
    site = Site()
    connectors = [site.world.connector(site.network) for _ in range(3)]
    relay = site.world.relay()
    for connector in connectors:
        site.attached(connector, relay)
    firsts = [site.paths(DeviceId(f"dev_{number}"))[0][0] for number in range(300)]
    for connector in connectors:
        assert 50 < firsts.count(connector) < 150
    assert site.paths() == site.paths()


def test_paths_are_bounded() -> None:
    site = Site()
    relays = [site.world.relay() for _ in range(5)]
    for _ in range(4):
        site.attached(site.world.connector(site.network), *relays)
    assert len(site.paths()) == PATHS_MAX


def test_f23_pins_are_those_that_the_connector_has_proven_whatever_it_says() -> None:
    site = Site()
    connector, relay = site.world.connector(site.network), site.world.relay()
    site.reported(relay, connector)
    site.attached(connector, relay, pins=(OTHER_PIN, PIN))
    assert site.hops()[0].pins == (PIN,)
    key = fresh_key()
    site.world.do(AnnounceConnectorKey(connector, key, OTHER_PIN))
    assert site.hops()[0].pins == (PIN, OTHER_PIN)
    site.world.do(RotateConnectorKey(connector, key, int(NOW)))
    assert site.hops()[0].pins == (OTHER_PIN, PIN)


def test_where_a_connector_listens_itself_is_handed_out_with_its_paths() -> None:
    site = Site()
    connector, quiet = site.world.connector(site.network), site.world.connector(site.network)
    relay = site.world.relay()
    site.attached(connector, relay)
    site.attached(quiet, relay)
    said = ("10.0.0.5:7443", "127.0.0.1:7443", "office.example:1", "[FD00::5]:7443")
    site.presence.heard(connector, Heartbeat(START * 1000, relays=(relay,), direct=said), NOW)
    assert direct_ways(site.presence, site.hops()) == {connector: ("10.0.0.5:7443", "[fd00::5]:7443")}
    site.presence.heard(connector, Heartbeat(START * 1000, relays=(relay,)), NOW)
    assert direct_ways(site.presence, site.hops()) == {}


def test_t17_a_client_advertises_no_address() -> None:
    site = Site()
    site.presence.arrived(DEVICE, AgentKind.CLIENT, Hello(1, "x", START * 1000), NOW)
    site.presence.heard(DEVICE, Heartbeat(START * 1000, direct=("10.0.0.5:7443",)), NOW)
    line = site.presence.agent(DEVICE)
    assert line is not None
    assert line.direct == ()
