"""F-9: kill -9 under eight writers, again and again; nothing acknowledged is lost, doubled or skipped.

``OSTIARY_KILL_ROUNDS=200`` for the whole of it; a few rounds otherwise.
"""

import asyncio
import contextlib
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from log_checks import verify_chain

from controller.domain.log import Resync
from controller.store import Store

ROUNDS = int(os.environ.get("OSTIARY_KILL_ROUNDS", "5"))
KEYS_PER_ROUND = 2_000
DEADLINE_S = 60
PROGRAM = str(Path(__file__).with_name("crash_writer.py"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


async def one_round(url: str, keys: Path, patience_s: float) -> list[str]:
    """Lets a process write for a while after its first answer and kills it; returns the keys that were answered."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, url, str(keys), env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        answered = [await process.stdout.readline()]
        assert answered[0], "the writers did not start"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while line := await process.stdout.readline():
                    answered.append(line)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        answered += (await process.stdout.read()).splitlines(keepends=True)
        await process.wait()
    return [line.split()[0].decode() for line in answered if line.endswith(b"\n")]


@pytest.mark.timeout(1800)
async def test_f9_kill_nine_under_eight_writers(url: str, store: Store, tmp_path: Path) -> None:
    chance = random.Random(9)
    acknowledged: list[str] = []
    waiting: list[str] = []
    seen: list[int] = []
    follower = asyncio.create_task(store.follow())

    async def read() -> None:
        subscription = store.feed.subscribe()
        while True:
            news = await subscription.next()
            assert not isinstance(news, Resync)
            seen.extend(change.position for change in news)

    reader = asyncio.create_task(read())
    for number in range(ROUNDS):
        waiting += [f"k{number}-{index}" for index in range(KEYS_PER_ROUND)]
        file = tmp_path / "keys"
        file.write_text("\n".join(waiting))
        answered = await one_round(url, file, chance.uniform(0.0, 0.4))
        acknowledged += answered
        done = set(answered)
        # Whatever was begun without an answer is asked for again; the rest was never tried.
        waiting = [key for key in waiting if key not in done][:64]
    await store.catch_up()
    async with asyncio.timeout(DEADLINE_S):
        while len(seen) < store.feed.head.position:
            await asyncio.sleep(0.05)
    for task in (reader, follower):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    written = Counter(network.name.split()[0] for network in store.feed.state.networks.values())
    assert len(acknowledged) >= ROUNDS
    assert not set(acknowledged) - set(written), "an acknowledged write is lost"
    assert max(written.values()) == 1, "a write was done twice"
    assert seen == list(range(1, store.feed.head.position + 1))
    report = await verify_chain(store)
    assert (report.checked, report.faults) == (store.feed.head.position, ())
    again = await Store.open(url)
    assert again.feed.head == store.feed.head
    await again.close()
