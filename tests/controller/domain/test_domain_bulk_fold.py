"""The quick fold is the fold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_commands import commands_in
from policy_world import World

from controller.domain.bulk_fold import BulkFold
from controller.domain.decide import decide
from controller.domain.events import NetworkCreated
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from protocol.errors import LocalError
from protocol.ids import NetworkId
from protocol.reasons import Reason


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_it_ends_where_single_steps_end_and_leaves_its_start_alone(data: st.DataObject) -> None:
    world = World(initialised=False)
    for command in data.draw(st.lists(commands_in(world), max_size=60)):
        decided = decide(world.state, command)
        for event in () if isinstance(decided, Refusal) else decided:
            world.append(event)
    middle = data.draw(st.integers(0, len(world.changes)))
    start = world.changes[middle].before if middle < len(world.changes) else world.state
    versions, position = dict(start.versions), start.position
    folding = BulkFold(start)
    for change in world.changes[middle:]:
        folding.add(change.event, change.position, change.after.state.at_ms)
    assert folding.finish() == world.state
    assert (dict(start.versions), start.position) == (versions, position)


@pytest.mark.parametrize("position", [0, 2])
def test_t7_a_gap_or_a_repetition_is_fatal(position: int) -> None:
    with pytest.raises(LocalError) as failed:
        BulkFold(PolicyState()).add(NetworkCreated(NetworkId("net_x"), "x"), position, 0)
    assert failed.value.reason is Reason.STATE_CORRUPT
