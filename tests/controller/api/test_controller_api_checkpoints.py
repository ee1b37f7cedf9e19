"""The running controller and its checkpoints: signed as it stops, compared as it starts (T-70)."""

from pathlib import Path

import pytest
from controller_api import running_with, set_up
from log_forger import rewrite

from controller.store import Store, checkpoints
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.clock import ManualClock


async def test_t70_a_controller_signs_as_it_stops_and_refuses_a_rewritten_log(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = await set_up(tmp_path, now=clock.wall())
    async with running_with(settings, clock) as controller:
        position = controller.services.state.position
    store = await Store.open(settings.effective_database_url)
    async with store.read() as connection:
        (signed,) = await checkpoints.between(connection, 0, 999)
    assert (signed.position, signed.hash) == (position, store.feed.head.log_head)
    await store.close()
    async with running_with(settings, clock):
        pass
    await rewrite(settings.effective_database_url, 2, checkpoints=False)
    with pytest.raises(LocalError) as refused:
        async with running_with(settings, clock):
            raise AssertionError("it serves a log that was rewritten")
    assert refused.value.reason is Reason.LOG_CONFLICT
