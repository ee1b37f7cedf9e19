"""Direct ways: which are worth a try, and how they race with relays."""

import pytest

from client.core.direct import FIRST_PAUSE_S, LONGEST_PAUSE_S, DirectMemory, DirectPath, describe, way_body
from client.core.paths import CancelPath, PathMemory, PathRace, PathWon, RaceLost, StartPath
from protocol.direct import parse_direct_untrusted
from protocol.ids import ConnectorHash, ConnectorId, RelayId, SpkiPin
from protocol.limits import PATH_RACE_DELAY_S
from protocol.reasons import Reason
from protocol.tokens.claims import Path

ONE, TWO = ConnectorId("con_1"), ConnectorId("con_2")
PIN = SpkiPin("sha256/" + "A" * 43 + "=")
HERE, THERE = parse_direct_untrusted("10.0.0.5:7443"), parse_direct_untrusted("192.0.2.5:7443")


def relayed(connector: ConnectorId = ONE, relay: str = "rel_1") -> Path:
    return Path(connector, ConnectorHash("hash"), (PIN,), RelayId(relay), f"{relay}.example", 443, "ticket")


def direct(connector: ConnectorId = ONE) -> DirectPath:
    return DirectPath(connector, (PIN,), HERE)


def commands(race: PathRace) -> list[object]:
    found: list[object] = []
    while (command := race.next_command()) is not None:
        found.append(command)
    return found


def test_candidates_are_the_addresses_of_the_paths_connectors_with_their_pins() -> None:
    memory = DirectMemory()
    memory.store(ONE, (HERE, THERE))
    memory.store(TWO, (HERE,))
    found = memory.candidates([relayed(ONE), relayed(ONE, "rel_2")], 0.0)
    assert found == (DirectPath(ONE, (PIN,), HERE), DirectPath(ONE, (PIN,), THERE))
    assert memory.candidates([direct(TWO)], 0.0) == (direct(TWO),)
    memory.store(ONE, ())
    assert memory.candidates([relayed(ONE)], 0.0) == ()


def test_after_each_failure_the_next_try_comes_later_until_this_host_moves() -> None:
    memory = DirectMemory()
    memory.store(ONE, (HERE,))
    now, pauses = 0.0, []
    for _ in range(8):
        memory.failed(direct(), now, Reason.CONNECT_TIMEOUT)
        began = now
        while not memory.candidates([relayed()], now):
            now += 1.0
        pauses.append(now - began)
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S
    memory.failed(direct(), now, Reason.CONNECT_TIMEOUT)
    assert memory.failures(ONE) == {"10.0.0.5:7443": Reason.CONNECT_TIMEOUT}
    memory.moved()
    assert memory.candidates([relayed()], now) == (direct(),)
    assert memory.failures(ONE) == {}


def test_t60_who_answers_with_another_key_is_not_asked_again_soon() -> None:
    memory = DirectMemory()
    memory.store(ONE, (HERE,))
    memory.failed(direct(), 0.0, Reason.PIN_MISMATCH)
    assert memory.candidates([relayed()], LONGEST_PAUSE_S - 1) == ()


def test_failures_of_addresses_that_are_gone_are_forgotten() -> None:
    memory = PathMemory()
    memory.direct.store(ONE, (HERE,))
    memory.failed(direct(), 0.0, Reason.CONNECTION_REFUSED)
    memory.direct.store(ONE, (THERE,))
    memory.failed(direct(), 0.0, Reason.CONNECTION_REFUSED)
    assert memory.direct.failures(ONE) == {}
    memory.failed(DirectPath(ONE, (PIN,), THERE), 0.0)
    memory.succeeded(DirectPath(ONE, (PIN,), THERE))
    assert memory.direct.failures(ONE) == {}


def test_direct_ways_start_at_once_and_the_relay_a_moment_later() -> None:
    near, other, by_relay = direct(), direct(TWO), relayed()
    race = PathRace([by_relay], 0.0, deadline_s=10.0, direct=[near, other])
    assert commands(race) == [StartPath(near), StartPath(other)]
    race.failed(other, Reason.CONNECTION_REFUSED, 0.1)
    assert commands(race) == []
    race.tick(PATH_RACE_DELAY_S)
    assert commands(race) == [StartPath(by_relay)]
    race.succeeded(near)
    assert commands(race) == [PathWon(near), CancelPath(by_relay)]


def test_when_no_direct_way_is_left_the_relay_starts_without_delay() -> None:
    near, by_relay = direct(), relayed()
    race = PathRace([by_relay], 0.0, deadline_s=10.0, direct=[near])
    commands(race)
    race.failed(near, Reason.CONNECTION_REFUSED, 0.01)
    assert commands(race) == [StartPath(by_relay)]


@pytest.mark.parametrize("reason", [Reason.PIN_MISMATCH, Reason.CONNECT_TIMEOUT])
def test_t60_what_happened_at_a_direct_address_is_no_reason_for_the_flow(reason: Reason) -> None:
    near, by_relay = direct(), relayed()
    race = PathRace([by_relay], 0.0, deadline_s=10.0, direct=[near])
    race.failed(near, reason, 0.0)
    race.failed(by_relay, Reason.CONNECTOR_NOT_ATTACHED, 0.1)
    assert commands(race)[-1] == RaceLost(Reason.CONNECTOR_NOT_ATTACHED)


def test_a_way_in_words_and_in_status() -> None:
    assert (describe(direct()), describe(relayed())) == ("direct 10.0.0.5:7443", "relay rel_1.example")
    assert way_body(direct()) == {"path": "direct", "relay": None, "relay_name": "", "direct": "10.0.0.5:7443"}
    assert way_body(relayed()) == {"path": "relay", "relay": "rel_1", "relay_name": "rel_1.example", "direct": None}
