"""Bounds that depend on each other."""

from protocol import limits


def test_every_limit_is_a_positive_number() -> None:
    values = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert len(values) > 50
    assert all(isinstance(value, int | float) and value > 0 for value in values.values())


def test_lives_fit_into_each_other() -> None:
    assert limits.LEASE_MIN_S <= limits.LEASE_DEFAULT_S <= limits.LEASE_MAX_S
    assert limits.CLIENT_TICKET_LIFE_S < limits.ACCESS_LIFE_S < limits.CONNECTOR_TICKET_LIFE_S
    assert limits.CLOCK_WARN_S < limits.CLOCK_LEEWAY_S < limits.CLIENT_TICKET_LIFE_S
    assert limits.SNAPSHOT_LIFE_S >= limits.LEASE_MAX_S
    assert limits.CONFIG_LIFE_S >= limits.LEASE_MAX_S


def test_a_silent_peer_is_noticed_after_more_than_one_missed_beat() -> None:
    assert limits.AGENT_STALL_S > 2 * limits.HEARTBEAT_INTERVAL_S
    assert limits.HEARTBEAT_SLOWEST_S > limits.HEARTBEAT_INTERVAL_S
    assert limits.LEG_DEAD_AFTER_S > 2 * limits.LEG_PING_INTERVAL_S
    assert limits.TUNNEL_DEAD_AFTER_S > 2 * limits.TUNNEL_KEEPALIVE_S


def test_a_hold_outlives_what_it_waits_for() -> None:
    assert limits.HOLD_DEADLINE_S > limits.CONTROL_REQUEST_DEADLINE_S + limits.PAIRING_DEADLINE_S
    assert limits.HOLD_DEADLINE_S > limits.DIAL_DEADLINE_S


def test_sizes_fit_into_each_other() -> None:
    assert limits.SNAPSHOT_MAX_BYTES < limits.CONTROL_MESSAGE_MAX_BYTES
    assert limits.PROOF_MAX_BYTES >= limits.SNAPSHOT_MAX_BYTES
    assert limits.MUX_FRAME_DATA_SHARED <= limits.MUX_FRAME_DATA_MAX <= limits.MUX_WINDOW_INITIAL
    assert limits.MUX_WINDOW_INITIAL <= limits.MUX_WINDOW_MAX <= limits.MUX_WINDOW_TOTAL
    assert limits.DATAGRAM_MAX_BYTES + 2 <= limits.MUX_WINDOW_INITIAL
    assert limits.PARKED_LEGS_DEFAULT <= limits.PARKED_LEGS_MAX
