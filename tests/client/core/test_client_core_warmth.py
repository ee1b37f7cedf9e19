"""Which networks are kept warm: the latest, for a while, and without spinning."""

from client.core.warmth import RETRY_FIRST_S, RETRY_MOST_S, WARM_FOR_S, WARM_MAX, Warmth
from protocol.ids import NetworkId

OFFICE, LAB = NetworkId("net_" + "A" * 22), NetworkId("net_" + "B" * 22)


def test_a_network_that_was_used_lately_is_kept_warm_for_a_while() -> None:
    warmth = Warmth()
    assert warmth.due(0.0, warm=()) == []
    warmth.used(OFFICE, 0.0)
    assert warmth.due(1.0, warm=()) == [OFFICE]
    assert warmth.due(1.0, warm=(OFFICE,)) == []
    assert warmth.due(WARM_FOR_S - 1, warm=()) == [OFFICE]
    assert warmth.due(WARM_FOR_S, warm=()) == []
    assert warmth.due(1.0, warm=()) == []  # forgotten


def test_the_latest_used_come_first_and_are_bounded() -> None:
    warmth = Warmth()
    networks = [NetworkId(f"net_{number:022d}") for number in range(WARM_MAX + 3)]
    for moment, network in enumerate(networks):
        warmth.used(network, float(moment))
    assert warmth.due(10.0, warm=()) == networks[: -WARM_MAX - 1 : -1]


def test_a_network_that_cannot_be_reached_is_tried_less_and_less_often() -> None:
    warmth = Warmth()
    now, pauses = 0.0, []
    for _ in range(8):
        warmth.used(OFFICE, now)
        assert warmth.due(now, warm=()) == [OFFICE]
        warmth.failed(OFFICE, now)
        began = now
        while not warmth.due(now, warm=()):
            now += 0.5
        pauses.append(now - began)
    assert pauses[:3] == [RETRY_FIRST_S, 2 * RETRY_FIRST_S, 4 * RETRY_FIRST_S]
    assert pauses[-1] == RETRY_MOST_S
    warmth.due(now, warm=(OFFICE,))  # it came back
    warmth.failed(OFFICE, now)
    assert warmth.due(now + RETRY_FIRST_S, warm=()) == [OFFICE]
    warmth.failed(LAB, now)  # never used: nothing to remember
    assert warmth.due(now, warm=(OFFICE,)) == []
