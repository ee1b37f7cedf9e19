"""The statistics of few rounds: quantiles, and whether two runs differ beyond noise. Pure, and without a library.

Rounds are few (five is usual) and their noise has no known shape, so the test is the exact one of Mann and Whitney: of all ways
to deal the pooled values into two groups, how many have the later group at least so far on the worse side. The size of the change is
the Hodges-Lehmann estimate: the median of all pairwise ratios.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Final

EXACT_DEALS_MAX: Final = 200_000
"""Of ways to deal the values; above it the normal approximation is good enough."""


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which ``part`` of the values lie, between neighbours by interpolation. Raises ValueError: no values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def mann_whitney_greater(old: Sequence[float], new: Sequence[float]) -> float:
    """Returns the probability of ``new`` lying at least so far above ``old`` by chance. Raises ValueError: a side is empty."""
    if not old or not new:
        raise ValueError("nothing to compare")
    pooled = [*old, *new]
    ranks = _ranks(pooled)
    observed = sum(ranks[len(old) :])
    if math.comb(len(pooled), len(new)) > EXACT_DEALS_MAX:
        return _approximate(ranks, len(new), observed)
    deals = reached = 0
    for chosen in itertools.combinations(ranks, len(new)):
        deals += 1
        reached += sum(chosen) >= observed - 1e-9
    return reached / deals


def smallest_p(old: int, new: int) -> float:
    """The smallest probability that so many rounds can give: what a test at that level needs."""
    return 1 / math.comb(old + new, new)


def shift_ratio(old: Sequence[float], new: Sequence[float]) -> float:
    """The Hodges-Lehmann estimate of new/old: the median of all pairwise ratios. Raises ValueError when a value is not positive."""
    if any(value <= 0 for value in (*old, *new)):
        raise ValueError("ratios need positive values")
    return statistics.median(late / early for early in old for late in new)


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = (start + end) / 2 + 1
        start = end + 1
    return ranks


def _approximate(ranks: Sequence[float], count: int, observed: float) -> float:
    """By the normal distribution, corrected for ties and for continuity."""
    whole = len(ranks)
    mean = count * (whole + 1) / 2
    spread = statistics.pvariance(ranks) * count * (whole - count) / (whole - 1)
    if spread == 0:
        return 1.0
    return 0.5 * math.erfc((observed - 0.5 - mean) / math.sqrt(2 * spread))
