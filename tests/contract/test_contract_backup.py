"""Backup and restore, on and between both databases: whole or not at all, and never silently older (F-25, F-26, T-8)."""

import asyncio
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from checkpoint_steps import Notary
from log_checks import verify_chain
from log_forger import EVENTS, forge, rewrite, written
from policy_world import START
from store_steps import give, new_network, raw_connection, unit_of

from controller.domain import commands as c
from controller.store import Store, backup, credentials, restoring, schema, secrets
from controller.store.backup import LEFT_OUT
from controller.store.engine import parse_url, sync_url
from controller.store.tables import METADATA
from protocol.errors import LocalError
from protocol.ids import Epoch, UserId
from protocol.reasons import Reason

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"
USER = UserId("usr_AAAAAAAAAAAAAAAAAAAABQ")
SEALED = bytes(range(256))

# Whoever adds a table says here or in LEFT_OUT whether a restore brings it back.
BACKED_UP = {
    "access_request_texts",
    "api_tokens",
    "checkpoints",
    "connections",
    "counters",
    "credentials",
    "events",
    "identities",
    "passkeys",
    "personal_data",
    "recovery_codes",
    "restores",
    "second_factors",
    "secrets",
    "sinks",
}


async def filled(store: Store) -> Notary:
    """A log, and something beside it."""
    notary = Notary()
    await written(store, notary)
    async with unit_of(store) as unit:
        db = unit.connection
        await credentials.set_personal_data(db, USER, fields={"name": "Ada „Ö“"}, email="ada@example.com", now=START)
        await credentials.set_password_hash(db, USER, "$argon2id$x", START)
        await secrets.put(db, "ca", SEALED, START + 0.25)
        passkey = {"id": "psk_1", "user": USER, "credential": "Y3JlZA", "public_key": b"\0\xff", "sign_count": 2**31}
        await db.execute(
            sa.insert(METADATA.tables["passkeys"]).values(**passkey, name="key", synced=True, created_at=START)
        )
        await db.execute(
            sa.insert(METADATA.tables["web_sessions"]).values(
                hash="h", user=USER, label="l", scopes="", created_at=START, expires=START + 9
            )
        )
    return notary


async def rows_of(url: str) -> dict[str, list[Any]]:
    """All rows of all tables."""
    async with raw_connection(url) as connection:
        return {
            table.name: sorted(map(repr, (await connection.execute(sa.select(table))).all()))
            for table in await connection.run_sync(backup.tables_of)
        }


def restored(url: str, path: Path) -> None:
    """Restores as the command does."""
    restoring.restore(url, path, backup.inspect(path), now=START + 50)


def test_every_table_is_backed_up_or_left_out_on_purpose(url: str) -> None:
    engine = sa.create_engine(sync_url(parse_url(url)))
    with engine.connect() as connection:
        names = {table.name for table in backup.tables_of(connection)}
    engine.dispose()
    assert names == BACKED_UP | LEFT_OUT
    assert not BACKED_UP & LEFT_OUT


async def test_f26_a_backup_is_restored_as_it_was_and_waits(
    url: str, empty_url: str, store: Store, tmp_path: Path
) -> None:
    notary = await filled(store)
    before = await rows_of(url)
    target = tmp_path / "b.backup"
    await backup.write(url, target, now=START + 7)
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.glob(".*.part")) == []
    await give(store, new_network("later"))
    manifest = backup.inspect(target)
    assert (manifest.position, manifest.epoch, manifest.made_at, manifest.schema) == (
        EVENTS,
        1,
        START + 7,
        schema.head_revision(),
    )
    assert (manifest.report.checkpoints, manifest.sealed_ca, manifest.rows["events"]) == (3, SEALED, EVENTS)
    await asyncio.to_thread(restored, empty_url, target)
    after = await rows_of(empty_url)
    assert len(after.pop("restores")) == 1
    del before["restores"]
    assert {name: rows for name, rows in after.items() if name not in LEFT_OUT} == {
        name: rows for name, rows in before.items() if name not in LEFT_OUT
    }
    assert all(after[name] == [] for name in LEFT_OUT)
    assert before["web_sessions"] != []
    with pytest.raises(LocalError) as refused:
        await Store.open(empty_url)
    assert refused.value.reason is Reason.RESTORE_PENDING
    opened = await Store.open(empty_url, restored=True)
    assert opened.feed.state == store.feed.recent[-2].after.state
    await give(opened, c.RaiseEpoch(Epoch(5)), new_network())
    await notary.over(opened).load()
    assert (await verify_chain(opened)).faults == ()
    await opened.close()
    schema.check(empty_url)


async def test_f26_a_backup_moves_between_the_databases(
    backend: str, url: str, store: Store, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    await filled(store)
    target, back = tmp_path / "b.backup", tmp_path / "c.backup"
    await backup.write(url, target, now=START)
    if backend == "sqlite":
        cluster = request.getfixturevalue("cluster")
        other = cluster.create("moved_here")
    else:
        other = f"sqlite:///{tmp_path / 'moved.db'}"
    await asyncio.to_thread(restored, other, target)
    await backup.write(other, back, now=START)
    lines = [[line for line in backup.read(path) if not _is_restore(line)] for path in (target, back)]
    assert lines[0] == lines[1]
    if backend == "sqlite":
        cluster.drop("moved_here")


def _is_restore(line: Any) -> bool:
    return isinstance(line, list) and line[0] == START + 50


async def test_f25_a_backup_is_of_one_moment_while_others_write(url: str, store: Store, tmp_path: Path) -> None:
    await filled(store)
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("log_writer.py")),
        url,
        "60",
        env=_env(),
    )
    found = []
    for number in range(6):
        target = tmp_path / f"{number}.backup"
        await backup.write(url, target, now=START)
        found.append(backup.inspect(target).position)
    assert await writer.wait() == 0
    assert found == sorted(found)
    await store.catch_up()
    await backup.write(url, tmp_path / "last.backup", now=START)
    assert backup.inspect(tmp_path / "last.backup").position == EVENTS + 60


@pytest.mark.parametrize("table", ["personal_data", "events"])
async def test_f26_only_an_empty_database_is_filled(
    url: str, empty_url: str, store: Store, tmp_path: Path, table: str
) -> None:
    await filled(store)
    target = tmp_path / "b.backup"
    await backup.write(url, target, now=START)
    schema.upgrade(empty_url)
    other = await Store.open(empty_url)
    if table == "events":
        await give(other, new_network())
    else:
        async with other.transact() as connection:
            await credentials.set_personal_data(connection, USER, fields={}, now=START)
    await other.close()
    before = await rows_of(empty_url)
    with pytest.raises(LocalError, match=f"table {table} has rows") as refused:
        await asyncio.to_thread(restored, empty_url, target)
    assert refused.value.reason is Reason.IN_USE
    assert await rows_of(empty_url) == before


async def test_a_database_with_empty_tables_of_another_schema_is_filled(
    url: str, empty_url: str, store: Store, tmp_path: Path
) -> None:
    await filled(store)
    target = tmp_path / "b.backup"
    await backup.write(url, target, now=START)
    schema.upgrade(empty_url, "0001")
    await asyncio.to_thread(restored, empty_url, target)
    await (await Store.open(empty_url, restored=True)).close()


def changed(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    """Edits the lines of a backup; the digest is not mended."""

    def edit(path: Path) -> None:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
        path.write_bytes(gzip.compress("".join(change(lines)).encode()))

    return edit


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "cut off"),
        (lambda path: path.write_bytes(b"rubbish"), "no backup"),
        (lambda path: path.write_bytes(gzip.compress(b"{}\n")), "no backup of format"),
        (changed(lambda lines: lines[:-1]), "cut off"),
        (changed(lambda lines: [lines[0], *lines[3:]]), "b.backup was changed|damaged"),
        (changed(lambda lines: [line.replace("ada@example.com", "eve@example.com") for line in lines]), "was changed"),
        (changed(lambda lines: [*lines, "[]\n"]), "was changed"),
        (changed(lambda lines: [lines[0], "{\n", *lines[1:]]), "damaged"),
    ],
)
async def test_f26_a_damaged_backup_is_refused_and_restores_nothing(
    url: str, empty_url: str, store: Store, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    await filled(store)
    target = tmp_path / "b.backup"
    await backup.write(url, target, now=START)
    damage(target)
    with pytest.raises(LocalError, match=words) as refused:
        restored(empty_url, target)
    assert refused.value.reason is Reason.BACKUP_INVALID


async def test_t70_a_backup_of_a_rewritten_log_is_refused(url: str, store: Store, tmp_path: Path) -> None:
    await filled(store)
    await rewrite(url, 6, checkpoints=False)
    await backup.write(url, tmp_path / "b.backup", now=START)
    with pytest.raises(LocalError, match="event 8: changed") as refused:
        backup.inspect(tmp_path / "b.backup")
    assert refused.value.reason is Reason.BACKUP_INVALID
    await forge(url, "UPDATE events SET actor = 'me' WHERE position = 2")
    await backup.write(url, tmp_path / "c.backup", now=START)
    with pytest.raises(LocalError, match="event 2: changed"):
        backup.inspect(tmp_path / "c.backup")


async def test_a_backup_of_a_newer_version_is_refused(url: str, empty_url: str, store: Store, tmp_path: Path) -> None:
    await filled(store)
    target = tmp_path / "b.backup"
    await backup.write(url, target, now=START)
    manifest = backup.inspect(target)
    newer = type(manifest)(**{**{name: getattr(manifest, name) for name in manifest.__slots__}, "schema": "9999"})
    with pytest.raises(LocalError) as refused:
        restoring.restore(empty_url, target, newer, now=START)
    assert refused.value.reason is Reason.SCHEMA_NEWER


async def test_a_backup_never_replaces_a_file(url: str, store: Store, tmp_path: Path) -> None:
    await filled(store)
    target = tmp_path / "b.backup"
    target.write_text("precious")
    with pytest.raises(LocalError) as refused:
        await backup.write(url, target, now=START)
    assert refused.value.reason is Reason.ALREADY_EXISTS
    assert target.read_text() == "precious"


@pytest.mark.parametrize("after", [0, 9, 22])
async def test_f9_a_backup_that_is_killed_leaves_no_file_of_its_name(
    url: str, store: Store, tmp_path: Path, after: int
) -> None:
    await filled(store)
    target = tmp_path / "b.backup"
    assert _killed("backup", url, target, after)
    assert not target.exists()
    await backup.write(url, target, now=START)
    assert backup.inspect(target).position == EVENTS


@pytest.mark.parametrize("after", [3, 12, 30])
async def test_f9_a_restore_that_is_killed_leaves_an_empty_database(
    url: str, empty_url: str, store: Store, tmp_path: Path, after: int
) -> None:
    await filled(store)
    target = tmp_path / "b.backup"
    await backup.write(url, target, now=START)
    assert await asyncio.to_thread(_killed, "restore", empty_url, target, after)
    await asyncio.to_thread(restored, empty_url, target)
    opened = await Store.open(empty_url, restored=True)
    assert opened.feed.head.position == EVENTS
    await opened.close()


def _killed(deed: str, url: str, path: Path, after: int) -> bool:
    program = [sys.executable, str(SUPPORT / "dying.py"), deed, url, str(path), str(after)]
    ran = subprocess.run(program, env=_env(), capture_output=True, timeout=60, check=False)
    assert ran.stderr == b""
    return ran.returncode == -9


def _env() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{SUPPORT}"}


def test_the_form_has_no_surprises() -> None:
    assert json.loads(json.dumps(SEALED, default=backup._packed), object_hook=backup._unpacked) == SEALED
    with pytest.raises(TypeError):
        json.dumps(object(), default=backup._packed)
