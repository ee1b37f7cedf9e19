"""Erasing a person on both databases: nothing personal is left anywhere, and the chain is whole (T-9)."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from log_checks import verify_chain
from policy_world import START, fresh_id, fresh_key
from store_steps import give, unit_of

from controller.domain import commands as c
from controller.domain.model import Role, SubjectKind
from controller.store import Store, credentials, erasure, identities, second_factors
from controller.store.tables import METADATA
from protocol.ids import DeviceId, UserId

MARK = "marker-of-grace"


async def left_of(store: Store, *marks: str) -> list[str]:
    """The tables that hold one of the texts; the log itself is not asked."""
    found = []
    async with store.read() as connection:
        for table in METADATA.sorted_tables:
            if table.name == "events":
                continue
            rows = (await connection.execute(sa.select(table))).all()
            if any(mark in str(tuple(row)) for row in rows for mark in marks):
                found.append(table.name)
    return sorted(found)


async def test_t9_nothing_personal_is_left_and_the_chain_is_whole(store: Store) -> None:
    owner, grace, other = (UserId(fresh_id("user")) for _ in range(3))
    devices = [DeviceId(fresh_id("device")) for _ in range(3)]
    await give(
        store,
        *(c.CreateUser(user, Role.OWNER) for user in (owner, grace, other)),
        *(c.RegisterDevice(device, SubjectKind.USER, grace, fresh_key(), "linux") for device in devices[:2]),
        c.RegisterDevice(devices[2], SubjectKind.USER, other, fresh_key(), "linux"),
        c.RevokeDevice(devices[0]),
    )
    async with unit_of(store) as unit:
        db = unit.connection
        await credentials.set_personal_data(db, grace, fields={"name": MARK}, email=f"{MARK}@example.com", now=START)
        await credentials.set_personal_data(db, other, fields={"name": "Ann"}, email="ann@example.com", now=START)
        for device in devices[:2]:
            await credentials.set_personal_data(db, device, fields={"name": f"{MARK}'s laptop"}, now=START)
        await credentials.set_personal_data(db, devices[2], fields={"name": "Ann's laptop"}, now=START)
        await credentials.set_password_hash(db, grace, MARK, START)
        await identities.link(db, "https://idp", MARK, grace, START)
        await second_factors.begin(db, grace, MARK.encode(), START)
        await second_factors.set_recovery_codes(db, grace, [MARK], START)
        await db.execute(
            sa.insert(METADATA.tables["web_sessions"]).values(
                hash="h", user=grace, label=MARK, scopes="", created_at=START, expires=START + 9
            )
        )
        await db.execute(
            sa.insert(METADATA.tables["access_request_texts"]).values(
                request="req_x", user=grace, reason=MARK, answer="", created_at=START
            )
        )
    assert len(await left_of(store, MARK)) >= 6
    await give(store, c.DisableUser(grace))
    async with unit_of(store) as unit:
        await erasure.erase(unit.connection, grace)
    assert await left_of(store, MARK) == []
    assert await left_of(store, "Ann") == ["personal_data"]
    assert (await verify_chain(store)).faults == ()
    async with store.read() as connection:
        assert set(await credentials.get_many(connection, [other, devices[2]])) == {other, devices[2]}


async def test_t9_what_was_erased_is_not_in_the_file_either(backend: str, url: str, store: Store) -> None:
    if backend != "sqlite":
        pytest.skip("PostgreSQL gives pages free when it vacuums; nothing overwrites them")
    grace = UserId(fresh_id("user"))
    await give(store, c.CreateUser(UserId(fresh_id("user")), Role.OWNER), c.CreateUser(grace, Role.MEMBER))
    async with unit_of(store) as unit:
        await credentials.set_personal_data(unit.connection, grace, fields={"name": MARK}, now=START)
    async with unit_of(store) as unit:
        await erasure.erase(unit.connection, grace)
    await store.close()
    path = Path(url.removeprefix("sqlite:///"))
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    assert all(MARK.encode() not in found.read_bytes() for found in path.parent.glob(path.name + "*"))
