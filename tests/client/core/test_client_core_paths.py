"""Racing paths: order, head start, one winner (F-1, F-4)."""

import pytest
from client_policy import path
from hypothesis import given, settings
from hypothesis import strategies as st

from client.core.paths import (
    PENALTY_S,
    CancelPath,
    PathCommand,
    PathMemory,
    PathRace,
    PathWon,
    RaceLost,
    StartPath,
    path_key,
)
from protocol.ids import NetworkId
from protocol.limits import PATH_RACE_DELAY_S
from protocol.reasons import Reason
from protocol.tokens.claims import Path

A1, A2, B1, B2 = path("con_a", "rel_1"), path("con_a", "rel_2"), path("con_b", "rel_1"), path("con_b", "rel_2")


def commands(race: PathRace) -> list[PathCommand]:
    found = []
    while (command := race.next_command()) is not None:
        found.append(command)
    return found


def test_order_keeps_the_best_and_spreads_the_rest() -> None:
    assert PathMemory().order([A1, A2, B1, B2], 0.0) == (A1, B2, A2, B1)
    assert PathMemory().order([A1, B1], 0.0) == (A1, B1)
    assert PathMemory().order([], 0.0) == ()


def test_failed_paths_come_last_for_a_while() -> None:
    memory = PathMemory()
    memory.failed(A1, 0.0)
    assert memory.order([A1, B2], 1.0) == (B2, A1)
    assert memory.order([A1, B2], PENALTY_S) == (A1, B2)
    memory.failed(A1, 10.0)
    memory.failed(B2, 10.0 + PENALTY_S)
    memory.succeeded(B2)
    memory.succeeded(B2)
    assert memory.order([B2, A1], 10.0 + PENALTY_S) == (B2, A1)


def test_path_is_the_same_one_in_the_next_authorisation() -> None:
    assert path_key(A1) == path_key(path("con_a", "rel_1")) != path_key(A2)


def test_first_path_wins_alone() -> None:
    race = PathRace([A1, B2], 0.0, deadline_s=10.0)
    assert commands(race) == [StartPath(A1)]
    assert race.deadline() == (PATH_RACE_DELAY_S, "next_path")
    race.succeeded(A1)
    assert commands(race) == [PathWon(A1)]
    assert race.over
    assert race.deadline() is None
    race.tick(100.0)
    assert commands(race) == []


def test_next_path_starts_after_the_delay_and_the_loser_is_cancelled() -> None:
    race = PathRace([A1, B2], 0.0, deadline_s=10.0)
    race.tick(PATH_RACE_DELAY_S - 0.01)
    assert commands(race) == [StartPath(A1)]
    race.tick(PATH_RACE_DELAY_S)
    assert commands(race) == [StartPath(B2)]
    assert race.deadline() == (10.0, "race")
    race.succeeded(B2)
    assert commands(race) == [PathWon(B2), CancelPath(A1)]
    race.succeeded(A1)  # completed in the same moment
    assert commands(race) == [CancelPath(A1)]
    race.failed(A1, Reason.TIMEOUT, 1.0)
    assert commands(race) == []


def test_next_path_starts_at_once_after_a_failure() -> None:
    race = PathRace([A1, B2], 0.0, deadline_s=10.0)
    race.failed(A1, Reason.CONNECTOR_NOT_ATTACHED, 0.01)
    assert commands(race) == [StartPath(A1), StartPath(B2)]
    race.failed(B2, Reason.RELAY_UNREACHABLE, 0.02)
    assert commands(race) == [RaceLost(Reason.CONNECTOR_NOT_ATTACHED)]
    assert race.over


def test_time_is_over() -> None:
    race = PathRace([A1, B2], 0.0, deadline_s=0.3)
    race.tick(0.25)
    assert commands(race) == [StartPath(A1), StartPath(B2)]
    race.tick(0.3)
    assert commands(race) == [CancelPath(A1), CancelPath(B2), RaceLost(Reason.TIMEOUT)]


def test_no_path_at_all() -> None:
    race = PathRace([], 0.0, deadline_s=1.0)
    assert commands(race) == [RaceLost(Reason.NO_CONNECTOR)]


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ([Reason.RELAY_UNREACHABLE, Reason.PIN_MISMATCH], Reason.PIN_MISMATCH),
        ([Reason.TIMEOUT, Reason.TOKEN_EXPIRED], Reason.TOKEN_EXPIRED),
        ([Reason.RELAY_UNREACHABLE, Reason.TIMEOUT], Reason.RELAY_UNREACHABLE),
        ([Reason.TLS_FAILED, Reason.RELAY_UNREACHABLE], Reason.RELAY_UNREACHABLE),
    ],
)
def test_most_telling_failure_is_reported(failures: list[Reason], told: Reason) -> None:
    race = PathRace([A1, B2], 0.0, deadline_s=10.0)
    for each, reason in zip([A1, B2], failures, strict=True):
        race.failed(each, reason, 0.0)
    assert commands(race)[-1] == RaceLost(told)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 4), st.lists(st.tuples(st.sampled_from(["tick", "fail", "win"]), st.integers(0, 3)), max_size=12))
def test_every_race_ends_once_and_stops_what_it_started(count: int, inputs: list[tuple[str, int]]) -> None:
    race = PathRace([A1, A2, B1, B2][:count], 0.0, deadline_s=2.0)
    now = 0.0
    running: list[Path] = []
    results: list[PathCommand] = []
    ended: set[tuple[str, str]] = set()

    def drain() -> None:
        for command in commands(race):
            if isinstance(command, StartPath):
                running.append(command.path)
            elif isinstance(command, CancelPath):
                running.remove(command.path)
            else:
                results.append(command)

    drain()
    for what, number in [*inputs, ("end", 0)]:
        now += 0.2
        if what == "tick":
            race.tick(now)
        elif what == "end":
            race.tick(10.0)
        elif number < len(running) and path_key(running[number]) not in ended and not race.over:
            chosen = running[number]
            ended.add(path_key(chosen))
            running.remove(chosen)
            if what == "fail":
                race.failed(chosen, Reason.TIMEOUT, now)
            else:
                race.succeeded(chosen)
        drain()
    assert len(results) == 1
    assert running == []


def test_the_likely_path_is_the_best_of_those_named_last_that_did_not_fail() -> None:
    memory = PathMemory()
    here, there = NetworkId("net_here"), NetworkId("net_there")
    assert memory.likely(here, 0.0) is None
    memory.store(here, (A1, B2))
    assert memory.likely(here, 0.0) == A1
    memory.failed(A1, 0.0)
    assert memory.likely(here, 1.0) == B2
    assert memory.of(here) == (A1, B2)
    assert memory.of(there) == ()


def test_a_network_of_which_nothing_is_known_most_likely_has_the_relay_that_was_named_last() -> None:
    memory = PathMemory()
    first, second, third = (NetworkId(f"net_{name}") for name in ("a", "b", "c"))
    memory.store(first, (A1,))
    memory.store(second, (B2,))
    assert memory.likely(third, 0.0) == B2
    memory.store(first, (A2,))
    assert memory.likely(third, 0.0) == A2
    assert set(memory) == {A2, B2}
    assert memory.relay_names == {each.fqdn.lower() for each in (A1, A2, B2)}
