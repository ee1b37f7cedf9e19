"""Clients are woken some at a time."""

import asyncio
import itertools

from publish_office import private_key

from controller.publish import AgentKind, Attachment
from controller.publish.waking import AT_ONCE, Waker

DEADLINE_S = 20


def clients(count: int, woken: list[str]) -> list[Attachment]:
    _, key = private_key()
    return [
        Attachment(f"dev_{number}", AgentKind.CLIENT, key, 0.0, lambda name=f"dev_{number}": woken.append(name))  # type: ignore[misc]
        for number in range(count)
    ]


async def test_f29_others_get_their_turn_while_thousands_are_woken() -> None:
    woken: list[str] = []
    waker = Waker(lambda _: True)
    for attachment in clients(10 * AT_ONCE, woken):
        waker.add(attachment)
    task = asyncio.create_task(waker.run())
    seen: list[int] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(woken) < 10 * AT_ONCE:
            seen.append(len(woken))
            await asyncio.sleep(0)
    task.cancel()
    steps = [after - before for before, after in itertools.pairwise(seen)]
    assert len(seen) >= 10
    assert max(steps) <= AT_ONCE
    assert woken == [f"dev_{number}" for number in range(10 * AT_ONCE)]


async def test_who_has_what_he_needs_meanwhile_is_not_woken() -> None:
    woken: list[str] = []
    first, second = clients(2, woken)
    waker = Waker(lambda attachment: attachment is second)
    waker.add(first)
    waker.add(second)
    waker.add(second)
    task = asyncio.create_task(waker.run())
    async with asyncio.timeout(DEADLINE_S):
        while not woken:
            await asyncio.sleep(0)
    task.cancel()
    assert woken == ["dev_1"]
