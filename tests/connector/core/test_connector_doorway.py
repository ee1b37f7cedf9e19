"""Places and handshakes of strangers."""

from connector.core.doorway import BURST_S, HANDSHAKES_PER_ADDRESS, HANDSHAKES_PER_S, RATES_MAX, Doorway


def test_t25_an_address_has_few_places_and_a_64_counts_as_one() -> None:
    door = Doorway(0.0, strangers=10, per_address=2)
    assert [door.enter(f"2001:db8::{n}", 0.0) for n in range(3)] == [True, True, False]
    assert door.enter("2001:db8:0:1::1", 0.0)
    door.settle("2001:db8::7")
    assert door.enter("2001:db8::9", 0.0)


def test_t25_all_strangers_together_are_bounded_but_the_proven_are_none() -> None:
    door = Doorway(0.0, strangers=3, total=5)
    assert [door.enter(f"192.0.2.{n}", 0.0) for n in range(4)] == [True, True, True, False]
    door.settle("192.0.2.0")
    assert (door.strangers, door.connections) == (2, 3)
    assert door.enter("192.0.2.4", 0.0)
    door.settle("192.0.2.4")
    assert door.enter("192.0.2.5", 0.0)
    door.settle("192.0.2.5")
    assert not door.enter("192.0.2.6", 0.0), "the total counts the proven, too"
    door.leave()
    assert door.enter("192.0.2.6", 0.0)


def test_t26_handshakes_are_rationed_by_address_and_altogether() -> None:
    door = Doorway(0.0)

    def knock(address: str, now: float) -> bool:
        entered = door.enter(address, now)
        if entered:
            door.settle(address)
            door.leave()
        return entered

    burst = int(HANDSHAKES_PER_ADDRESS * BURST_S)
    assert sum(knock("192.0.2.1", 0.0) for _ in range(3 * burst)) == burst
    assert knock("192.0.2.2", 0.0)
    assert knock("192.0.2.1", 1.0)
    whole = int(HANDSHAKES_PER_S * BURST_S)
    assert sum(knock(f"10.0.{n >> 8}.{n & 255}", 1.0) for n in range(2 * whole)) <= whole
    assert door.refused > 0


def test_t26_what_is_remembered_of_addresses_is_bounded() -> None:
    door = Doorway(0.0)
    for number in range(RATES_MAX + 50):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        assert door.enter(address, float(number))
        door.settle(address)
        door.leave()
    assert len(door._handshakes) == RATES_MAX
