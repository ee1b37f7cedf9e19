"""The relay's metrics and readiness: load and refusals; a relay that drains is not ready."""

from relay_world import connector_id, relay_world

from relay.metrics import collect, source
from runtime.metrics import exposition


async def test_the_numbers_follow_the_load_and_draining_is_not_ready() -> None:
    async with relay_world() as world:
        await world.attach(connector_id(1))
        found = {metric.name: metric.samples for metric in collect(world.server)}
        assert (found["ostiary_relay_attachments"], found["ostiary_relay_ready"]) == ({(): 1}, {(): 1.0})
        assert await source(world.server).why_not_ready() is None
        assert b"ostiary_relay_attachments 1.0" in exposition(collect(world.server), component="relay")
        await world.server.drain(0.0)
        why = await source(world.server).why_not_ready()
        assert why is not None
        assert why["reason"] == "shutting_down"
