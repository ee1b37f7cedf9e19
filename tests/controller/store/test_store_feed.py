"""The live end of the log: in order, without gaps, without queues (T-7)."""

import asyncio

import pytest
from policy_world import World

from controller.domain.log import Head, Resync
from controller.domain.state import PolicyState
from controller.store import feed as feed_module
from controller.store.feed import Feed
from protocol.errors import LocalError
from protocol.ids import Revision


def log_of(count: int) -> World:
    world = World(initialised=False)
    for _ in range(count):
        world.network()
    return world


def empty_feed() -> Feed:
    return Feed(Head(PolicyState()))


async def test_changes_come_in_order_and_once() -> None:
    world, feed = log_of(5), empty_feed()
    subscription = feed.subscribe()
    feed.advance(world.changes[:2])
    feed.advance(world.changes[:4])
    assert await subscription.next() == tuple(world.changes[:4])
    feed.advance(world.changes)
    assert await subscription.next() == (world.changes[4],)
    assert feed.head == world.head
    assert feed.state == world.state
    assert feed.recent == tuple(world.changes)


async def test_t7_a_gap_is_fatal() -> None:
    world, feed = log_of(3), empty_feed()
    with pytest.raises(LocalError, match="event 2"):
        feed.advance(world.changes[1:])
    assert feed.head.position == 0


async def test_waiting_ends_with_the_next_change_only() -> None:
    world, feed = log_of(2), empty_feed()
    waiting = asyncio.create_task(feed.wait_beyond(1))
    feed.advance(world.changes[:1])
    await asyncio.wait({waiting}, timeout=0)
    assert not waiting.done()
    feed.advance(world.changes)
    assert (await asyncio.wait_for(waiting, 60)).position == 2


async def test_a_reader_may_start_in_the_past() -> None:
    world, feed = log_of(4), empty_feed()
    feed.advance(world.changes)
    assert await feed.subscribe(Revision(2)).next() == tuple(world.changes[2:])
    assert feed.since(Revision(4)) == ()


async def test_who_is_too_far_behind_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "HISTORY", 3)
    world, feed = log_of(6), empty_feed()
    subscription = feed.subscribe()
    feed.advance(world.changes)
    assert await subscription.next() == Resync(world.head)
    assert subscription.position == 6
    assert feed.since(Revision(3)) == tuple(world.changes[3:])
