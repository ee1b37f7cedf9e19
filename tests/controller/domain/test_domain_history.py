"""The bounded number of saved folds: always the nearest one, spread over the whole log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.history import START, SavedHeads
from controller.domain.log import Head
from controller.domain.state import PolicyState
from protocol.ids import Revision


def _head(position: int) -> Head:
    return Head(PolicyState(position=Revision(position)))


def test_before_the_first_one_is_the_start() -> None:
    saved = SavedHeads()
    assert saved.at_or_before(5) is START
    saved.keep(_head(6))
    assert saved.at_or_before(5) is START


@given(st.lists(st.integers(1, 1000), max_size=60), st.integers(0, 1000))
def test_the_nearest_one_is_found(positions: list[int], wanted: int) -> None:
    saved = SavedHeads(most=100)
    for position in positions:
        saved.keep(_head(position))
    assert saved.at_or_before(wanted).position == max([0, *(item for item in positions if item <= wanted)])


def test_a_hundred_thousand_events_keep_the_bound_and_stay_spread() -> None:
    saved = SavedHeads(most=32)
    for position in range(500, 100_001, 500):
        saved.keep(_head(position))
    assert len(saved) == 32
    gaps = [wanted - saved.at_or_before(wanted).position for wanted in range(0, 100_001, 250)]
    assert max(gaps) <= 2 * 100_000 / 32
    assert saved.at_or_before(100_000).position == 100_000


def test_one_is_not_enough() -> None:
    with pytest.raises(ValueError):
        SavedHeads(most=1)
