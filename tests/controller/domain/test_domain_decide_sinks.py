"""Sinks leave their trace in the log, and only what is printable gets there."""

import pytest
from policy_world import World, fresh_id

from controller.domain.commands_sinks import AddSink, RemoveSink
from controller.domain.events import SinkCreated, SinkRemoved
from protocol.reasons import Reason


def test_a_sink_is_added_and_removed() -> None:
    world, sink = World(), fresh_id("sink")
    added = world.do(AddSink(sink, "siem", "https", "https://siem.example/in", "events"))
    assert added == (SinkCreated(sink, "siem", "https", "https://siem.example/in", "events"),)
    assert world.do(RemoveSink(sink, "siem")) == (SinkRemoved(sink, "siem"),)


@pytest.mark.parametrize("field", ["sink", "name", "kind", "destination", "content"])
@pytest.mark.parametrize("value", ["", "a\nb", "x" * 600])
def test_what_is_no_line_is_refused(field: str, value: str) -> None:
    given = {"sink": fresh_id("sink"), "name": "n", "kind": "https", "destination": "d", "content": "events"}
    reason, detail = World().refused(AddSink(**{**given, field: value}))
    assert (reason, detail.startswith(field)) == (Reason.INVALID_INPUT, True)
