"""The statistics that say whether a run became slower."""

import itertools
import math
import random
import statistics

import pytest

from bench.stats import mann_whitney_greater, quantile, shift_ratio, smallest_p


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [
        ([5.0], 0.99, 5.0),
        ([1, 2, 3], 0.5, 2.0),
        ([3, 1, 2, 4], 0.5, 2.5),
        (list(range(101)), 0.99, 99.0),
        ([1, 2], 1.0, 2.0),
    ],
)
def test_quantiles_lie_between_neighbours(values: list[float], part: float, expected: float) -> None:
    assert quantile(values, part) == pytest.approx(expected)


def test_no_values_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_five_rounds_apart_are_one_deal_of_252() -> None:
    assert mann_whitney_greater([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == pytest.approx(1 / 252)
    assert mann_whitney_greater([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]) == 1.0
    assert smallest_p(5, 5) == pytest.approx(1 / 252)


def test_both_sides_of_a_deal_make_more_than_one() -> None:
    """What is observed counts on both sides, so p for greater and p for less overlap in it."""
    old, new = [1.0, 4.0, 2.0], [3.0, 5.0, 0.5]
    assert mann_whitney_greater(old, new) + mann_whitney_greater(new, old) > 1


def test_equal_values_say_nothing() -> None:
    assert mann_whitney_greater([7, 7, 7], [7, 7, 7]) == 1.0


def test_ties_agree_with_counting_pairs() -> None:
    """The same by U, counted pair by pair over all deals."""
    old, new = [1.0, 2.0, 2.0, 3.0], [2.0, 3.0, 3.0]
    pooled = [*old, *new]

    def u(chosen: tuple[int, ...]) -> float:
        late = [pooled[place] for place in chosen]
        early = [pooled[place] for place in range(len(pooled)) if place not in chosen]
        return sum((b > a) + 0.5 * (b == a) for a in early for b in late)

    observed = u((4, 5, 6))
    deals = [u(chosen) for chosen in itertools.combinations(range(7), 3)]
    assert mann_whitney_greater(old, new) == pytest.approx(sum(each >= observed for each in deals) / len(deals))


def test_the_approximation_meets_the_exact_test() -> None:
    chance = random.Random(3)
    old = [chance.gauss(10, 1) for _ in range(11)]
    new = [chance.gauss(10.8, 1) for _ in range(11)]
    approximate = mann_whitney_greater(old, new)
    assert math.comb(22, 11) > 200_000
    pooled = sorted([*old, *new])
    observed = sum(pooled.index(value) + 1 for value in new)
    hits = sum(sum(chance.sample(range(1, 23), 11)) >= observed for _ in range(40_000)) / 40_000
    assert approximate == pytest.approx(hits, abs=0.01)


def test_alarms_come_as_often_as_promised() -> None:
    chance = random.Random(5)
    alarms = sum(
        mann_whitney_greater([chance.random() for _ in range(5)], [chance.random() for _ in range(5)]) <= 0.05
        for _ in range(400)
    )
    assert alarms / 400 < 0.08


def test_the_shift_is_a_ratio_that_one_outlier_does_not_move() -> None:
    old = [10.0, 11.0, 9.0, 10.0, 10.0]
    assert shift_ratio(old, [value * 1.5 for value in old]) == pytest.approx(1.5, rel=0.05)
    assert shift_ratio(old, [*old[:4], 500.0]) == pytest.approx(1.0, rel=0.15)
    assert statistics.mean([*old[:4], 500.0]) > 100
    with pytest.raises(ValueError, match="positive"):
        shift_ratio([0.0], [1.0])


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="nothing"):
        mann_whitney_greater([], [1.0])
