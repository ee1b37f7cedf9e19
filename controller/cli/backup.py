"""`backup` and `restore` (F-26): the whole database in one file, and back, without anything coming back silently."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.api.operations import keys
from controller.cli import review as reviewing
from controller.cli.access import writing
from controller.cli.options import load_settings
from controller.domain.commands import EndSession, RaiseEpoch
from controller.identity.sealing import MASTER_SECRET_FILE, Seal, load_seal
from controller.settings import CA_FILE, Settings
from controller.store import Store, backup, restores, restoring
from controller.store.backup import Manifest
from protocol.errors import LocalError
from protocol.ids import Epoch
from protocol.reasons import Reason
from runtime.console import exit_on_error, print_json, print_lines
from runtime.files import StateDir
from runtime.lifecycle import run_command


@dataclass(frozen=True, slots=True)
class Evidence:
    """What else is known of the time after the backup."""

    export: Path | None
    witnesses: Sequence[Path]


def make(config: Path | None, target: Path, *, as_json: bool) -> None:
    """Writes a backup and reads it again."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        settings.require_database()
        run_command(backup.write(settings.effective_database_url, target, now=time.time()))
        _show(target, backup.inspect(target), settings, as_json=as_json)


def check(config: Path | None, source: Path, *, as_json: bool) -> None:
    """Reads a backup."""
    with exit_on_error(as_json=as_json):
        _show(source, backup.inspect(source), load_settings(config), as_json=as_json)


def restore(config: Path | None, source: Path, evidence: Evidence, *, as_json: bool) -> None:
    """Fills the empty database of the settings with a backup."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        manifest = backup.inspect(source)
        seal = _seal_of(settings, manifest)
        restoring.restore(settings.effective_database_url, source, manifest, now=time.time())
        ca_pem = run_command(_ca_pem(settings, seal))
        StateDir(settings.state_dir).write(CA_FILE, ca_pem, mode=0o644)
        if not as_json:
            print_lines(f"Restored {source}: {manifest.position} events, {manifest.report.checkpoints} checkpoints.")
        _review(settings, evidence, as_json=as_json, restored=True)


def review(config: Path | None, evidence: Evidence, *, as_json: bool) -> None:
    """Shows again what is known of the time after the backup."""
    with exit_on_error(as_json=as_json):
        _review(load_settings(config), evidence, as_json=as_json, restored=False)


def bump_epoch(config: Path | None, evidence: Evidence, *, end_sessions: bool, as_json: bool) -> None:
    """Raises the epoch of a restored database, so that it may serve again."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        settings.require_database()
        body = run_command(_bump(settings, evidence, end_sessions=end_sessions))
        if as_json:
            print_json({"ok": True, **body})
            return
        print_lines(f"The epoch is {body['epoch']} now, after {body['before']}; agents take it although they saw more.")
        if end_sessions:
            print_lines(f"{body['sessions_ended']} sign-ins of devices were ended.")
        print_lines("next: ostiary-controller serve")


async def _bump(settings: Settings, evidence: Evidence, *, end_sessions: bool) -> dict[str, Any]:
    store = await Store.open(settings.effective_database_url, restored=True)
    try:
        async with store.read() as connection:
            if await restores.pending(connection) is None:
                raise LocalError(Reason.CONFLICT, "no restore waits for a new epoch")
        state = store.feed.state
        known = reviewing.review(state, store.feed.head.log_head, evidence.export, evidence.witnesses)
        # Above everything that anybody can have seen, also when two backups of one epoch were restored in turn.
        epoch = max(state.epoch, known.newest_epoch, int(time.time())) + 1
        async with writing(store, "restore --bump-epoch") as unit:
            await unit.execute(RaiseEpoch(Epoch(epoch)))
            sessions = sorted(state.sessions) if end_sessions else []
            for session in sessions:
                await unit.execute(EndSession(session, "restored"))
            await restores.confirm(unit.connection, epoch)
        return {"epoch": epoch, "before": state.epoch, "sessions_ended": len(sessions)}
    finally:
        await store.close()


def _review(settings: Settings, evidence: Evidence, *, as_json: bool, restored: bool) -> None:
    made = run_command(_made_review(settings, evidence))
    following = "ostiary-controller restore --bump-epoch"
    if as_json:
        print_json({"ok": True, "restored": restored, "next": following, **made.as_json()})
        return
    reviewing.show(made)
    print_lines("", f"next: review this list, then {following}")


async def _made_review(settings: Settings, evidence: Evidence) -> reviewing.Review:
    settings.require_database()
    store = await Store.open(settings.effective_database_url, restored=True)
    try:
        head = store.feed.head
        return reviewing.review(head.state, head.log_head, evidence.export, evidence.witnesses)
    finally:
        await store.close()


async def _ca_pem(settings: Settings, seal: Seal) -> bytes:
    store = await Store.open(settings.effective_database_url, restored=True)
    try:
        return (await keys.load_ca(seal, store)).pem
    finally:
        await store.close()


def _seal_of(settings: Settings, manifest: Manifest) -> Seal:
    """The master secret of this host, which must be the one that the backup's keys were sealed with."""
    path = settings.state_dir / MASTER_SECRET_FILE
    if not path.exists():
        raise LocalError(
            Reason.CONFIG_INVALID,
            f"{path} is missing: put the one there that was kept for this backup, and not a new one",
        )
    seal = load_seal(settings.state_dir)
    if manifest.sealed_ca is None:
        raise LocalError(Reason.BACKUP_INVALID, "it holds no CA: it was made before `init` was through")
    seal.open(keys.CA_SECRET, manifest.sealed_ca)
    return seal


def _show(path: Path, manifest: Manifest, settings: Settings, *, as_json: bool) -> None:
    rows = sum(manifest.rows.values())
    if as_json:
        print_json(
            {
                "ok": True,
                "file": str(path),
                "database_schema": manifest.schema,
                "made_at": manifest.made_at,
                "events": manifest.position,
                "epoch": manifest.epoch,
                "log_head": manifest.log_head,
                "checkpoints": manifest.report.checkpoints,
                "rows": manifest.rows,
            }
        )
        return
    print_lines(
        f"{path}: {manifest.position} events, {manifest.report.checkpoints} checkpoints, {rows} rows, whole.",
        f"Its private keys are sealed: keep {settings.state_dir / MASTER_SECRET_FILE} as well, and at another place.",
    )
