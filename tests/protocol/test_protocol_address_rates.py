"""Rates by address."""

from protocol.address_rates import AddressRates


def rates(*, per_second: float = 100, most: int = 10) -> AddressRates:
    return AddressRates(0.0, per_second=per_second, per_address=2, burst_s=2, most=most)


def test_one_address_is_limited_and_others_are_not() -> None:
    found = rates()
    assert [found.take("a", 0.0) for _ in range(5)] == [True] * 4 + [False]
    assert found.take("b", 0.0)
    assert not found.take("a", 0.4)
    assert found.take("a", 0.6)


def test_all_together_are_limited() -> None:
    found = rates(per_second=3, most=100)
    assert sum(found.take(str(number), 0.0) for number in range(50)) == 6


def test_the_address_unheard_for_longest_is_forgotten() -> None:
    found = rates(most=2)
    for group in ("a", "a", "a", "a", "b", "a", "c"):
        found.take(group, 0.0)
    assert len(found) == 2
    assert not found.take("a", 0.0), "it was heard after b"
    assert [found.take("b", 0.0) for _ in range(5)] == [True] * 4 + [False], "b begins anew"
