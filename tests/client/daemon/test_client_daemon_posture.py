"""The controller is told how this device is set up: at first, on a change, and again from time to time."""

import threading
from collections.abc import Mapping

import pytest

from client.daemon import posture
from client.daemon.posture import Posture
from protocol.device_facts import DeviceFacts
from protocol.limits import FACTS_INTERVAL_S


class Teller:
    def __init__(self) -> None:
        self.told: list[Mapping[str, str]] = []

    def say_facts(self, facts: Mapping[str, str]) -> None:
        self.told.append(facts)


async def test_facts_are_told_when_they_change_and_when_it_is_time() -> None:
    now, facts, teller = 0.0, DeviceFacts("linux", firewall=True), Teller()
    watched = Posture(lambda: now, lambda: facts)
    await watched.tell(teller)
    await watched.tell(teller)
    assert teller.told == [{"os": "linux", "firewall": "yes"}]
    facts = DeviceFacts("linux", firewall=False)
    await watched.tell(teller)
    assert teller.told[-1] == {"os": "linux", "firewall": "no"}
    now = FACTS_INTERVAL_S - 1
    await watched.tell(teller)
    assert len(teller.told) == 2
    now = FACTS_INTERVAL_S
    await watched.tell(teller)
    assert len(teller.told) == 3


async def test_a_disk_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posture, "LOOK_DEADLINE_S", 0.05)
    release = threading.Event()
    teller = Teller()

    looks = 0

    def hang() -> DeviceFacts:
        nonlocal looks
        looks += 1
        release.wait(10)
        return DeviceFacts("linux")

    hanging = Posture(lambda: 0.0, hang)
    await hanging.tell(teller)
    await hanging.tell(teller)
    assert (teller.told, looks) == ([], 1)
    release.set()
    monkeypatch.setattr(posture, "LOOK_DEADLINE_S", 10)
    await hanging.tell(teller)
    assert teller.told == [{"os": "linux"}]
