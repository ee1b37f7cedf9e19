"""The log alone, for ``bench.control``: appends a second on both databases, a start that folds everything, one from a saved fold."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import sqlalchemy as sa

from bench.figures import Figures
from controller.domain import events as e
from controller.domain.commands import CreateNetwork
from controller.domain.event_codec import event_to_json
from controller.domain.model import PublicKey, Role, SubjectKind
from controller.identity.sealing import Seal
from controller.store import Store, folds, schema
from controller.store.chain import GENESIS, canonical_json, row_hash
from controller.store.tables import EVENTS
from protocol.acl.model import PortRange, Ports
from protocol.ids import DeviceId, GrantId, NetworkId, ResourceId, SessionId, UserId
from protocol.tokens.keys import generate_key, public_jwk
from runtime.entropy import new_id

APPENDS: Final = 1_000
WRITERS: Final = 8
BATCH: Final = 20_000
PEOPLE: Final = 5_000
RESOURCES: Final = 200
START_MS: Final = 1_760_000_000_000


async def appends(store: Store, figures: Figures, database: str) -> None:
    """One event in each transaction, eight writers at once."""

    async def writer() -> None:
        for _ in range(APPENDS // WRITERS):
            async with store.write(actor="cli", request_id="bench", now=time.time()) as unit:
                network = NetworkId(new_id("network"))
                await unit.execute(CreateNetwork(network, network))

    began = time.monotonic()
    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    took = time.monotonic() - began
    figures.add(f"append to {database}, {WRITERS} writers, one event each", APPENDS / took, "1/s")


def history(count: int) -> Iterator[e.Event]:
    """The life of a company: people with a device each, then sign-ins and grants that come and go."""
    network = NetworkId(new_id("network"))
    yield e.NetworkCreated(network, "office")
    resources, owners, made = [ResourceId(new_id("resource")) for _ in range(RESOURCES)], [], 1
    for number, resource in enumerate(resources):
        name, made = f"r{number}", made + 1
        yield e.ResourceCreated(resource, network, name, f"{name}.internal", Ports(tcp=(PortRange(443, 443),)), 3600)
    for _ in range(PEOPLE):
        user, device, made = UserId(new_id("user")), DeviceId(new_id("device")), made + 2
        owners.append((user, device))
        yield e.UserCreated(user, Role.MEMBER)
        key = PublicKey.from_jwk(public_jwk(generate_key()))
        yield e.DeviceRegistered(device, SubjectKind.USER, user, key, "linux")
    grants: list[GrantId] = []
    for number in range(count - made):
        user, device = owners[number * 7919 % PEOPLE]
        match number % 4:
            case 0 | 1:
                session = SessionId(new_id("session"))
                yield e.SessionStarted(session, device, user, START_MS // 1000 + 10**7, None, None, "password")
            case 2:
                grants.append(GrantId(new_id("grant")))
                resource = resources[number % RESOURCES]
                yield e.GrantCreated(grants[-1], SubjectKind.USER, user, resource, None, None)
            case 3 if len(grants) > PEOPLE:
                yield e.GrantRevoked(grants.pop(number * 31 % PEOPLE))
            case _:
                grants.append(GrantId(new_id("grant")))
                yield e.GrantCreated(grants[-1], SubjectKind.USER, user, resources[0], None, None)


async def fill(url: str, count: int) -> None:
    """Writes the history as the store would have, without deciding anything."""
    store = await Store.open(url)
    position, previous = int(store.feed.head.position), store.feed.head.log_head or GENESIS
    versions: dict[str, int] = {}
    rows: list[dict[str, object]] = []
    for event in history(count):
        position, stream = position + 1, event.stream
        versions[stream] = versions.get(stream, 0) + 1
        row = {
            "position": position,
            "stream": stream,
            "version": versions[stream],
            "data": canonical_json(event_to_json(event)),
            "actor": "cli",
            "at_ms": START_MS,
            "request_id": "bench",
            "previous_hash": previous,
        }
        previous = row_hash(event_type=event.TYPE, **row)  # type: ignore[arg-type]
        rows.append({**row, "type": event.TYPE, "hash": previous})
        if len(rows) == BATCH:
            await _insert(store, rows)
    await _insert(store, rows)
    await store.close()


async def _insert(store: Store, rows: list[dict[str, object]]) -> None:
    async with store.transact() as connection:
        if rows:
            await connection.execute(sa.insert(EVENTS), rows)
    rows.clear()


async def starts(url: str, count: int, figures: Figures) -> None:
    """Of a process over the whole history: folding everything, then from a saved fold."""
    label = f"{count / 1e6:g} million events"
    seal = Seal(b"s" * 32)
    store = await _timed(f"start, folding {label}", figures, lambda: Store.open(url))
    async with store.transact() as connection:
        await folds.save(connection, seal, store.feed.head, time.time())
    head = store.feed.head
    await store.close()
    store = await _timed(f"start from a saved fold of {label}", figures, lambda: Store.open(url, seal=seal))
    assert store.feed.head == head
    await store.close()


async def _timed(name: str, figures: Figures, step: Callable[[], Awaitable[Store]]) -> Store:
    began = time.monotonic()
    store = await step()
    figures.add(name, time.monotonic() - began, "s")
    return store


@contextmanager
def postgresql() -> Iterator[str | None]:
    """A cluster of our own with its usual durability; None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        yield None
        return
    home = Path(tempfile.mkdtemp(prefix="ostiary-bench-pg-", dir="/tmp"))
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
        prefix = ("runuser", "-u", "postgres", "--")

    def run(program: str, *arguments: str) -> None:
        command = [*prefix, str(found[-1].parent / program), "-D", str(home / "data"), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=home, timeout=60)

    try:
        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        options = f"-c listen_addresses= -c unix_socket_directories={home}"
        run("pg_ctl", "-l", str(home / "log"), "-o", options, "-w", "start")
        try:
            yield f"postgresql://postgres@/postgres?host={quote(str(home), safe='')}"
        finally:
            run("pg_ctl", "-m", "fast", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def measure(figures: Figures, home: Path, count: int) -> None:
    """All of it."""
    home.mkdir()
    url = f"sqlite:///{home / 'appends.db'}"
    schema.upgrade(url)
    asyncio.run(_appends(url, figures, "SQLite"))
    with postgresql() as url_or_none:
        if url_or_none is not None:
            schema.upgrade(url_or_none)
            asyncio.run(_appends(url_or_none, figures, "PostgreSQL"))
    url = f"sqlite:///{home / 'history.db'}"
    schema.upgrade(url)
    asyncio.run(fill(url, count))
    asyncio.run(starts(url, count, figures))


async def _appends(url: str, figures: Figures, database: str) -> None:
    store = await Store.open(url)
    try:
        await appends(store, figures, database)
    finally:
        await store.close()
