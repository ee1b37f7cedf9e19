"""Sinks are no part of the policy: nobody's access depends on where logs go."""

from policy_world import World, fresh_id

from controller.domain.commands_sinks import AddSink, RemoveSink


def test_the_policy_stays_as_it_is() -> None:
    world, sink = World(), fresh_id("sink")
    before = world.state
    for command in (AddSink(sink, "siem", "https", "https://h/", "events"), RemoveSink(sink, "siem")):
        world.do(command)
        after = world.state
        assert (after.devices, after.grants, after.connectors) == (before.devices, before.grants, before.connectors)
    assert after.position == before.position + 2
