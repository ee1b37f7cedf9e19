"""Measures the log by hand: ``python tests/support/log_figures.py URL [EVENTS]`` over an empty database.

How many appends a second (one event each, eight writers), how long a start folds EVENTS (default a million) events, and how
long it takes from a saved fold. Prints wall seconds and the process's own; others on the machine spoil only the former.
"""

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from policy_world import START, WEB, fresh_id, fresh_key
from store_steps import give, new_network

from controller.domain import events as e
from controller.domain.model import Role, SubjectKind
from controller.identity.sealing import Seal
from controller.store import Store, events, schema, upkeep
from controller.store.engine import take_log_lock
from protocol.ids import DeviceId, GrantId, NetworkId, ResourceId, SessionId, UserId

APPENDS = 2_000
WRITERS = 8
BATCH = 5_000
SEAL = Seal(b"s" * 32)


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    wall, own = time.perf_counter(), time.process_time()
    yield
    wall, own = time.perf_counter() - wall, time.process_time() - own
    print(f"{what}: {wall:.2f} s, own {own:.2f} s; {count / wall:,.0f} a second, own {own / count * 1e6:.1f} us each")


def history(chance: random.Random) -> Iterator[e.Event]:
    """The life of a company: sign-ins and grants above all."""
    network = NetworkId(fresh_id("network"))
    yield e.NetworkCreated(network, "network")
    users: list[UserId] = []
    devices: list[tuple[DeviceId, UserId]] = []
    resources: list[ResourceId] = []
    grants: list[GrantId] = []
    while True:
        what = chance.random()
        if what < 0.04 or not users:
            users.append(UserId(fresh_id("user")))
            yield e.UserCreated(users[-1], Role.MEMBER)
        elif what < 0.06 or not resources:
            resources.append(ResourceId(fresh_id("resource")))
            name = f"r{len(resources)}"
            yield e.ResourceCreated(resources[-1], name, network, f"{name}.internal", WEB, 3600)
        elif what < 0.12 or not devices:
            devices.append((DeviceId(fresh_id("device")), chance.choice(users)))
            device, user = devices[-1]
            yield e.DeviceRegistered(device, SubjectKind.USER, user, fresh_key(), "linux")
        elif what < 0.42 or not grants:
            grants.append(GrantId(fresh_id("grant")))
            user, resource = chance.choice(users), chance.choice(resources)
            yield e.GrantCreated(grants[-1], SubjectKind.USER, user, resource, None, None)
        elif what < 0.6:
            place = chance.randrange(len(grants))
            grants[place], grants[-1] = grants[-1], grants[place]
            yield e.GrantRevoked(grants.pop())
        else:
            device, user = chance.choice(devices)
            session = SessionId(fresh_id("session"))
            yield e.SessionStarted(session, device, user, START + 10**7, None, None, "password")


async def appends(store: Store) -> None:
    async def writer() -> None:
        for _ in range(APPENDS // WRITERS):
            await give(store, new_network())

    with timed(f"append, {WRITERS} writers, one event each", APPENDS):
        await asyncio.gather(*(writer() for _ in range(WRITERS)))


async def fill(store: Store, count: int) -> None:
    source, head = history(random.Random(1)), store.feed.head
    with timed("insert in batches", count):
        for _ in range(count // BATCH):
            batch = [next(source) for _ in range(BATCH)]
            async with store.transact() as connection:
                await take_log_lock(connection)
                changes = await events.append(
                    connection, head, batch, actor="cli", at_ms=START * 1000, request_id="figures"
                )
            head = changes[-1].after


async def main(url: str, count: int) -> None:
    schema.upgrade(url)
    store = await Store.open(url)
    await appends(store)
    await fill(store, count)
    await store.close()
    with timed("start, everything folded", count):
        store = await Store.open(url)
    with timed("save the fold", count):
        assert await upkeep.save_fold(store, SEAL, START + 10**6)
    await store.close()
    with timed("start from the saved fold", count):
        again = await Store.open(url, seal=SEAL)
    assert again.base.position == again.feed.head.position
    assert again.feed.head == store.feed.head
    await again.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000))
