"""Several addresses of one controller: kept, tried in turn, and never a way around what the first one promised."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from fake_controller import FakeController, fake_controller

from protocol.control import Goodbye, Heartbeat, Hello
from protocol.errors import OstiaryError
from protocol.limits import CONTROLLER_URL_MAX, CONTROLLERS_MAX
from protocol.reasons import Reason
from runtime import agent_dial, agent_link
from runtime.agent_link import AgentLink
from runtime.backoff import Backoff
from runtime.clock import ManualClock, SystemClock
from runtime.controllers import CONTROLLERS_FILE, KEEP_S, NOTE_EVERY_S, Controllers, load_controllers
from runtime.files import StateDir

HOME = "https://home.example"
A, B, C = "https://a.example:8443", "https://b.example:8443", "https://c.example:8443"


def rounds(controllers: Controllers, count: int) -> list[str]:
    return [controllers.take() for _ in range(count)]


def test_the_last_good_one_comes_first_then_the_others_in_another_order_each_time() -> None:
    controllers = Controllers(HOME, others=(A, B, C), last=B, shuffle=lambda urls: urls.reverse())
    assert rounds(controllers, 4) == [B, C, A, HOME]
    assert controllers.exhausted
    controllers.answered(C, (A, B, C))
    controllers.begin()
    assert rounds(controllers, 5) == [C, B, A, HOME, C]


def test_a_round_that_was_broken_off_begins_with_the_last_good_one_again() -> None:
    controllers = Controllers(HOME, others=(A,), shuffle=lambda _: None)
    assert controllers.take() == HOME
    controllers.begin()
    assert rounds(controllers, 2) == [HOME, A]


def test_what_is_announced_replaces_what_was_known() -> None:
    controllers = Controllers(HOME, others=(A, B))
    controllers.answered(A, (C, HOME))
    assert controllers.urls == (HOME, C)
    assert controllers.last == HOME, "an address that is not announced any more is not tried again"
    controllers.answered(HOME, ())
    assert controllers.urls == (HOME,)


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example",
        "http://127.0.0.1:1",
        "ftp://a.example",
        "https://user:word@a.example",
        "https://a.example:no",
        "",
        "https://" + "a" * CONTROLLER_URL_MAX,
    ],
)
def test_an_announced_address_protects_no_less_than_the_one_that_was_given(url: str) -> None:
    controllers = Controllers(HOME)
    controllers.answered(HOME, (url, A))
    assert controllers.urls == (HOME, A)


def test_no_more_addresses_are_kept_than_agreed() -> None:
    controllers = Controllers(HOME)
    controllers.answered(HOME, tuple(f"https://{n}.example" for n in range(CONTROLLERS_MAX + 5)))
    assert len(controllers.urls) == 1 + CONTROLLERS_MAX


def test_addresses_outlive_the_process_and_belong_to_one_home(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    wall = ManualClock().wall
    load_controllers(state, HOME, wall).answered(A, (A, B))
    kept = load_controllers(state, HOME, wall)
    assert (kept.urls, kept.last) == ((HOME, A, B), A)
    assert load_controllers(state, "https://other.example", wall).urls == ("https://other.example",)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"home": "https://home.example", "others": [7, "http://x"], "last": "y", "heard": 1800000000}',
        '{"home": "https://home.example", "others": ["https://a.example"], "last": "y", "heard": NaN}',
    ],
)
def test_a_damaged_file_of_addresses_costs_no_more_than_the_addresses(tmp_path: Path, text: str) -> None:
    (tmp_path / CONTROLLERS_FILE).write_text(text)
    assert load_controllers(StateDir(tmp_path), HOME, ManualClock().wall).urls == (HOME,)


def test_addresses_of_a_controller_that_was_not_heard_for_a_month_are_dropped(tmp_path: Path) -> None:
    state, clock = StateDir(tmp_path), ManualClock()
    load_controllers(state, HOME, clock.wall).answered(A, (A, B))
    clock.advance(KEEP_S)
    assert load_controllers(state, HOME, clock.wall).urls == (HOME, A, B)
    clock.advance(1)
    dropped = load_controllers(state, HOME, clock.wall)
    assert (dropped.urls, dropped.last) == ((HOME,), HOME)


def test_who_hears_the_controller_keeps_its_addresses_for_another_month_and_writes_that_once_a_day(
    tmp_path: Path,
) -> None:
    state, clock = StateDir(tmp_path), ManualClock()
    controllers = load_controllers(state, HOME, clock.wall)
    controllers.answered(A, (A, B))
    first = state.read(CONTROLLERS_FILE)
    clock.advance(NOTE_EVERY_S - 1)
    controllers.answered(A, (A, B))
    controllers.heard()
    assert state.read(CONTROLLERS_FILE) == first
    clock.advance(1)
    controllers.heard()
    assert state.read(CONTROLLERS_FILE) != first
    clock.advance(KEEP_S)
    assert load_controllers(state, HOME, clock.wall).urls == (HOME, A, B)


def test_addresses_without_a_time_are_old(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.write_json(CONTROLLERS_FILE, {"home": HOME, "others": [A], "last": A})
    assert load_controllers(state, HOME, ManualClock().wall).urls == (HOME,)


def test_a_full_disk_costs_no_more_than_the_next_start(tmp_path: Path) -> None:
    controllers = load_controllers(StateDir(tmp_path / "missing" / "deeper"), HOME, ManualClock().wall)
    controllers.answered(A, (A,))
    assert controllers.urls == (HOME, A)


@asynccontextmanager
async def linked(
    home: str, known: Controllers | None = None, on_lost: Callable[[OstiaryError], None] | None = None
) -> AsyncIterator[AgentLink]:
    link = AgentLink(
        home,
        None,
        assertion=lambda: "assertion",
        hello=lambda: Hello(1, "test", 1_000_000),
        on_message=lambda _: None,
        clock=SystemClock(),
        backoff=Backoff(initial_s=0.001, cap_s=0.01),
        known=known,
        on_lost=on_lost,
    )
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def two() -> AsyncIterator[tuple[FakeController, FakeController]]:
    async with fake_controller() as one, fake_controller() as other:
        one.announced = other.announced = (one.url, other.url)
        yield one, other


@asynccontextmanager
async def mute() -> AsyncIterator[str]:
    """Takes connections and says nothing: a stopped process behind a kernel that lives."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_f7_an_agent_learns_the_other_address_and_goes_there() -> None:
    async with two() as (one, other), linked(one.url) as link:
        await one.wait_for(Hello)
        one.refuse = (503, {})
        one.drop()
        await other.wait_for(Hello)
        await link.wait_connected(deadline_s=30)
        assert link.state.url == other.url


async def test_f7_a_mute_controller_costs_one_connect_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_dial, "CONNECT_DEADLINE_S", 1.0)
    async with mute() as dead, fake_controller() as live:
        live.announced = (live.url,)
        async with linked(dead, Controllers(dead, others=(live.url,))) as link:
            await link.wait_connected(deadline_s=30)
            assert link.state.url == live.url
            assert link.controllers.last == live.url
            live.drop()
            await live.wait_for(Hello, nth=2)
            await link.wait_connected(deadline_s=30)
            assert link.state.url == live.url


async def test_f7_the_addresses_are_tried_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_link, "SWITCH_MAX_S", 0.0)
    async with two() as (one, other):
        one.refuse = other.refuse = (503, {})
        losses = asyncio.Semaphore(0)
        known = Controllers(one.url, others=(other.url,))
        async with linked(one.url, known, lambda _: losses.release()) as link:
            for _ in range(5):
                await losses.acquire()
            assert len(one.authorizations) > 1
            other.refuse = None
            await link.wait_connected(deadline_s=30)
            assert link.state.url == other.url


async def test_t18_a_hint_to_wait_counts_also_when_there_are_others() -> None:
    async with two() as (one, other), linked(one.url) as link:
        await one.wait_for(Hello)
        one.refuse = (503, {})
        started = asyncio.get_running_loop().time()
        await one.push(Goodbye(Reason.SHUTTING_DOWN.code, retry_after_s=0.3))
        await other.wait_for(Hello)
        assert asyncio.get_running_loop().time() - started >= 0.3
        await link.wait_connected(deadline_s=30)


async def test_f7_a_link_that_stands_for_a_month_keeps_the_addresses() -> None:
    kept = asyncio.Semaphore(0)
    async with (
        fake_controller() as one,
        linked(one.url, Controllers(one.url, keep=lambda _: kept.release())) as link,
    ):
        await link.wait_connected(deadline_s=30)
        await one.push(Heartbeat(1_000_000))
        async with asyncio.timeout(30):
            await kept.acquire()  # the Welcome
            await kept.acquire()  # the heartbeat
