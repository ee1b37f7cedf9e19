"""`backup` and `restore` as an operator meets them after the worst day (F-26)."""

import gzip
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from test_controller_cli import Cli, cli

__all__ = ["cli"]


def state_of(cli: Cli) -> Path:
    """The state directory."""
    return cli.folder / "state"


def lose_the_database(cli: Cli) -> None:
    """The disk of the database is gone; the master secret was kept elsewhere."""
    for path in state_of(cli).glob("controller.db*"):
        path.unlink()


def made(cli: Cli) -> Path:
    """A controller and its backup."""
    cli.init()
    target = cli.folder / "a.backup"
    ran = cli("backup", str(target), "--json")
    assert (ran.code, ran.json["ok"], ran.json["events"], ran.json["epoch"]) == (0, True, ran.json["rows"]["events"], 1)
    return target


def witness(cli: Cli, issuer: str, *, epoch: int, position: int, **more: Any) -> Path:
    """What a connector wrote down."""
    note = {"epoch": epoch, "position": position, "hash": "0" * 64, "issued_at": 1, "seen_at": 1, "token": ""}
    body = {"format": "ostiary-witness/1", "issuer": issuer, "connector": "con_x", "keys": [], "checkpoints": []}
    path = cli.folder / "office.json"
    path.write_text(json.dumps({**body, "heads": [note], "conflicts": [], "cutoffs": [], **more}))
    return path


def test_f26_what_a_restored_controller_needs_before_it_serves(cli: Cli) -> None:
    target = made(cli)
    kid = cli("keys", "list", "--json").json["keys"][0]["kid"]
    cli("keys", "distrust", kid)
    export = cli.folder / "events.jsonl"
    cli("events", "export", "--output", str(export))
    issuer = cli("events", "replay", str(export), "--json").json["issuer"]
    lose_the_database(cli)
    (state_of(cli) / "ca.pem").unlink()
    notes = witness(cli, issuer, epoch=1, position=500)
    restored = cli("restore", str(target), "--export", str(export), "--witness", str(notes), "--json")
    assert restored.code == 0, restored.err
    (revoked,) = [
        item for item in restored.json["revoked_since"] if item["kind"] == "signing key" and item["id"] == kid
    ]
    assert (revoked["actor"], revoked["what"]) == ("cli", "was removed, revoked or ended")
    assert revoked["event"] > restored.json["position"]
    assert restored.json["lost_events_at_least"] == 500 - restored.json["position"]
    assert "witnesses saw them, the export ends before" in restored.json["cannot_know"][0]
    assert (state_of(cli) / "ca.pem").is_file()
    for command in (("serve",), ("keys", "list"), ("admin", "reset-password", "ada@corp.example")):
        refused = cli(*command)
        assert (refused.code, "restore --bump-epoch" in refused.err) == (1, True), command
    shown = cli("restore", "--review", "--export", str(export))
    assert kid in shown.out
    bumped = cli("restore", "--bump-epoch", "--witness", str(notes), "--json")
    assert (bumped.code, bumped.json["before"]) == (0, 1)
    assert bumped.json["epoch"] > 1_700_000_000
    assert cli("keys", "list").code == 0
    again = cli("restore", "--bump-epoch")
    assert (again.code, "no restore waits" in again.err) == (1, True)
    audited = cli("events", "verify", "--witness", str(notes), "--json")
    assert (audited.code, audited.json["faults"]) == (0, [])
    assert "restored from a backup" in str(audited.json["notes"])


def test_f26_two_restores_of_one_backup_give_two_epochs(cli: Cli) -> None:
    target = made(cli)
    epochs = []
    for _ in range(2):
        lose_the_database(cli)
        assert cli("restore", str(target)).code == 0
        ran = cli("restore", "--bump-epoch", "--json")
        epochs.append(ran.json["epoch"])
        issuer = json.loads(cli("events", "export").out.splitlines()[-1])["issuer"]
        far = witness(cli, issuer, epoch=2_000_000_000 + len(epochs), position=9)
    lose_the_database(cli)
    assert cli("restore", str(target)).code == 0
    last = cli("restore", "--bump-epoch", "--witness", str(far), "--end-sessions", "--json")
    assert last.json["epoch"] == 2_000_000_003
    assert last.json["sessions_ended"] == 0
    assert epochs[0] <= epochs[1] < last.json["epoch"]


def test_f26_witnessed_revocations_of_living_devices_are_listed(cli: Cli) -> None:
    target = made(cli)
    export = cli.folder / "events.jsonl"
    cli("events", "export", "--output", str(export))
    issuer = cli("events", "replay", str(export), "--json").json["issuer"]
    lose_the_database(cli)
    cut = {
        "epoch": 1,
        "revision": 900,
        "device": "dev_unknown",
        "resource": None,
        "before": 1,
        "reason": "device_revoked",
    }
    notes = witness(cli, issuer, epoch=1, position=900, cutoffs=[cut])
    ran = cli("restore", str(target), "--witness", str(notes), "--json")
    assert (ran.code, ran.json["witnessed_revocations"]) == (0, [])
    assert "give a later export" in ran.json["cannot_know"][0]
    other = witness(cli, "ctl_other", epoch=1, position=9)
    refused = cli("restore", "--review", "--witness", str(other))
    assert (refused.code, "is no witness of controller" in refused.err) == (2, True)


def test_f26_an_export_of_another_history_is_refused(cli: Cli) -> None:
    target = made(cli)
    lose_the_database(cli)
    assert cli("restore", str(target)).code == 0
    export = cli.folder / "other.jsonl"
    text = "".join(
        json.dumps(line | {"hash": "f" * 64} if line.get("kind") == "event" else line) + "\n"
        for line in map(json.loads, cli("events", "export").out.splitlines())
    )
    export.write_text(text)
    refused = cli("restore", "--review", "--export", str(export))
    assert (refused.code, "another history" in refused.err) == (2, True)


def test_f26_the_master_secret_of_the_backup_is_needed(cli: Cli) -> None:
    target = made(cli)
    secret = state_of(cli) / "master.secret"
    kept = secret.read_bytes()
    lose_the_database(cli)
    secret.unlink()
    missing = cli("restore", str(target))
    assert (missing.code, "master.secret is missing" in missing.err) == (2, True)
    secret.write_bytes(bytes(32))
    secret.chmod(0o600)
    other = cli("restore", str(target))
    assert (other.code, "was not sealed with this master.secret" in other.err) == (1, True)
    assert not (state_of(cli) / "controller.db").exists()
    secret.write_bytes(kept)
    assert cli("restore", str(target)).code == 0


def test_f26_a_database_in_use_is_never_filled(cli: Cli) -> None:
    target = made(cli)
    before = sqlite3.connect(state_of(cli) / "controller.db").execute("SELECT count(*) FROM events").fetchone()
    refused = cli("restore", str(target))
    assert (refused.code, "is not empty" in refused.err) == (1, True)
    after = sqlite3.connect(state_of(cli) / "controller.db").execute("SELECT count(*) FROM events").fetchone()
    assert before == after
    assert cli("keys", "list").code == 0


def test_t11_a_backup_is_checked_and_holds_no_key_in_the_clear(cli: Cli) -> None:
    target = made(cli)
    assert target.stat().st_mode & 0o777 == 0o600
    shown = cli("backup", "--check", str(target))
    assert (shown.code, "whole" in shown.out, "master.secret" in shown.out) == (0, True, True)
    shutil.copy(target, cli.folder / "b.backup")
    (cli.folder / "b.backup").write_bytes(target.read_bytes()[:-50])
    broken = cli("backup", "--check", str(cli.folder / "b.backup"))
    assert (broken.code, "cut off" in broken.err) == (1, True)
    taken = cli("backup", str(target))
    assert (taken.code, "not overwritten" in taken.err) == (1, True)
    text = gzip.decompress(target.read_bytes())
    assert b"PRIVATE KEY" not in text
    assert (state_of(cli) / "master.secret").read_bytes() not in text


@pytest.mark.parametrize(
    "arguments", [(), ("x.backup", "--review"), ("--review", "--bump-epoch"), ("--review", "--end-sessions")]
)
def test_the_steps_of_a_restore_are_taken_one_by_one(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli("restore", *arguments).code == 2


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_help_says_how(cli: Cli, command: str) -> None:
    shown = cli(command, "--help")
    assert (shown.code, f"ostiary-controller {command} " in shown.out) == (0, True)
