"""A connector's own clock may be wrong, or set while it runs: tokens are judged by the controller's (F-13)."""

import time
from pathlib import Path

import pytest
from connector_lab import echo_server, port_of
from structlog.testing import capture_logs
from test_connector_daemon import staged

from connector.timekeeper import Timekeeper
from protocol.control import Hello
from protocol.limits import CLOCK_WARN_S
from runtime.agent_link import LinkState
from runtime.clock import ManualClock, SystemClock
from runtime.controller_clock import SAMPLES_OUTDATED_S, ControllerClock


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_f13_somebody_sets_the_clock_and_the_time_for_tokens_goes_on(step_s: float) -> None:
    local = ManualClock()
    clock, link = ControllerClock(local), LinkState(connected=True, clock_offset_ms=0.0)
    keeper = Timekeeper(clock)
    keeper.look(link, fresh=True)
    true = clock.wall()
    with capture_logs() as said:
        local.jump_wall(step_s)
        keeper.look(link)  # the link still holds what it measured before
        assert clock.wall() == pytest.approx(true)
        local.advance(SAMPLES_OUTDATED_S + 1)
        link.clock_offset_ms = -step_s * 1000
        keeper.look(link)
        keeper.look(link)
        assert clock.wall() == pytest.approx(true + SAMPLES_OUTDATED_S + 1)
    assert [line["event"] for line in said] == ["clock.wrong"], "said once"


def test_f13_a_small_offset_is_no_matter_and_what_was_measured_before_a_loss_does_not_count() -> None:
    local = ManualClock()
    clock, link = ControllerClock(local), LinkState(connected=True, clock_offset_ms=(CLOCK_WARN_S - 1) * 1000)
    keeper = Timekeeper(clock)
    with capture_logs() as said:
        keeper.look(link, fresh=True)
        assert clock.wall() == pytest.approx(local.wall() + CLOCK_WARN_S - 1)
        link.connected, link.clock_offset_ms = False, 0.0
        keeper.look(link)
    assert clock.wall() == pytest.approx(local.wall() + CLOCK_WARN_S - 1)
    assert said == []


class SetClock(SystemClock):
    """This host's clocks, of which somebody sets one."""

    def __init__(self) -> None:
        self.step_s = 0.0

    def wall(self) -> float:  # type: ignore[override]
        return time.time() + self.step_s


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
async def test_f13_after_a_step_new_proofs_and_new_flows_go_on(step_s: float, tmp_path: Path) -> None:
    async with staged(tmp_path, start=False) as stage, await echo_server() as server:
        clock = SetClock()
        stage.daemon.clock.base = stage.daemon.link.clock = clock
        stage.start()
        await stage.controller.wait_for(Hello)
        await stage.enforce(stage.config())
        before = await stage.client()
        clock.step_s = step_s
        after = await stage.client()
        for number, tunnel in enumerate((before, after), 1):
            stream = stage.open(tunnel, port_of(server), number)
            assert (await stream.answer()).reason is None
