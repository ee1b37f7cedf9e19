"""Tampering with the log, on both databases: our audit and the stand-alone verifier name the same place (T-9, T-70)."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_steps import Notary
from log_forger import EVENTS, exported, forge, rewrite, seen_by, swap, written
from store_steps import give, new_network

from controller.domain import commands as c
from controller.publish import verification_keys
from controller.store import Store
from controller.store.evidence import Audit, Report
from controller.store.exporting import Line
from protocol.ids import Epoch
from protocol.tokens.keys import SigningKey, VerificationKeys, generate_key

TOOL = Path(__file__).parents[2] / "tools" / "verify_events.py"
Deed = Callable[[str], Awaitable[None]]


def audited(lines: Iterable[Line], *witnesses: Line, keys: VerificationKeys | None = None) -> Report:
    """What our audit says."""
    audit = Audit(keys)
    for line in lines:
        audit.take(line)
    for number, witness in enumerate(witnesses):
        audit.take_witness(witness, f"witness {number}")
    return audit.finish()


class Bench:
    """A log, what was seen of it, and both verifiers."""

    def __init__(self, url: str, store: Store, notary: Notary, folder: Path) -> None:
        self.url = url
        self.notary = notary
        self.folder = folder
        self.witness = seen_by(store, notary)
        self.keys = verification_keys(store.feed.state)

    async def both(self, *, witnessed: bool = False, keys: VerificationKeys | None = None) -> Report:
        """Our report; the stand-alone verifier must say the same of the export."""
        target = self.folder / "events.jsonl"
        lines = await exported(self.url, target)
        report = audited(lines, *((self.witness,) if witnessed else ()), keys=keys)
        arguments = [str(target)]
        if witnessed:
            (self.folder / "witness.json").write_text(json.dumps(self.witness))
            arguments += ["--witness", str(self.folder / "witness.json")]
        if keys is not None:
            (self.folder / "jwks.json").write_text(json.dumps(keys.to_jwks()))
            arguments += ["--keys", str(self.folder / "jwks.json")]
        code, other = stand_alone(self.folder, *arguments)
        assert code == (1 if report.faults else 0)
        assert [(item["position"], item["kind"]) for item in other["faults"]] == [
            (item.position, item.kind) for item in report.faults
        ]
        assert (other["checked"], other["checkpoints"], other["witnessed"], other["log_head"], other["issuer"]) == (
            report.events,
            report.checkpoints,
            report.witnessed,
            report.log_head,
            report.issuer,
        )
        assert len(other["notes"]) == len(report.notes)
        return report


def stand_alone(folder: Path, *arguments: str) -> tuple[int, Any]:
    """Runs a copy of the verifier far away from our code; ``-I`` keeps our folders out of its path."""
    copy = folder / "elsewhere" / "verify.py"
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(TOOL, copy)
    ran = subprocess.run(
        [sys.executable, "-I", str(copy), "--json", *arguments],
        capture_output=True,
        text=True,
        cwd=copy.parent,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert ran.stderr == ""
    return ran.returncode, json.loads(ran.stdout)


@pytest.fixture
async def bench(url: str, store: Store, tmp_path: Path) -> Bench:
    """A log of EVENTS events with three checkpoints."""
    notary = Notary()
    await written(store, notary)
    return Bench(url, store, notary, tmp_path)


async def test_t70_a_whole_log_is_whole(bench: Bench) -> None:
    report = await bench.both(witnessed=True, keys=bench.keys)
    assert (report.faults, report.notes) == ((), ())
    assert (report.events, report.checkpoints, report.witnessed, report.issuer) == (EVENTS, 3, 4, "ctl_test")
    alone = await bench.both()
    assert alone.faults == ()
    assert "keys come from the log itself" in alone.notes[0]


async def test_t70_an_export_holds_no_personal_data_and_ends(bench: Bench) -> None:
    lines = await exported(bench.url, bench.folder / "events.jsonl")
    assert [line["kind"] for line in lines[:8]] == ["header", *["event"] * 5, "checkpoint", "event"]
    assert lines[-2] == {
        "kind": "key",
        "kid": next(iter(bench.keys.keys)),
        "jwk": lines[-2]["jwk"],
        "added": 2,
    }
    assert lines[-1]["kind"] == "end"
    assert (lines[0]["events"], lines[0]["format"], lines[-1]["checkpoints"]) == (EVENTS, "ostiary-events/1", 3)


def sql(*statements: str) -> Deed:
    return lambda url: forge(url, *statements)


@pytest.mark.parametrize(
    ("deed", "position", "kind"),
    [
        (sql("UPDATE events SET actor = 'somebody' WHERE position = 6"), 6, "changed"),
        (sql("UPDATE events SET data = replace(data, 'n6', 'n9') WHERE position = 6"), 6, "changed"),
        (sql("UPDATE events SET at_ms = at_ms + 1 WHERE position = 6"), 6, "changed"),
        (sql("UPDATE events SET hash = 'rubbish' WHERE position = 6"), 6, "changed"),
        (sql("UPDATE events SET previous_hash = hash WHERE position = 6"), 6, "changed"),
        (sql("DELETE FROM events WHERE position = 6"), 6, "missing"),
        (sql("DELETE FROM events WHERE position = 1"), 1, "missing"),
        (sql("DELETE FROM events WHERE position >= 9"), 9, "truncated"),
        (lambda url: swap(url, 6, 7), 6, "reordered"),
        (lambda url: swap(url, 4, 9), 4, "reordered"),
        (lambda url: rewrite(url, 6, checkpoints=False), 8, "changed"),
        (sql("DELETE FROM checkpoints WHERE position = 8"), 10, "checkpoint"),
        (sql("DELETE FROM checkpoints WHERE position = 5"), 8, "checkpoint"),
        (sql("UPDATE checkpoints SET token = token || 'A' WHERE position = 8"), 8, "checkpoint"),
        (sql("UPDATE checkpoints SET epoch = 2 WHERE position = 8"), 8, "checkpoint"),
        (sql("UPDATE checkpoints SET hash = 'x' WHERE position = 8"), 8, "checkpoint"),
    ],
)
async def test_t9_t70_what_was_done_to_the_log_is_named(bench: Bench, deed: Deed, position: int, kind: str) -> None:
    await deed(bench.url)
    report = await bench.both()
    assert (report.faults[0].position, report.faults[0].kind) == (position, kind)


@pytest.mark.parametrize(
    ("deed", "position", "kind"),
    [
        (lambda url: rewrite(url, 6, checkpoints=True), 8, "changed"),
        (lambda url: rewrite(url, EVENTS, checkpoints=True), EVENTS, "changed"),
        (sql("DELETE FROM events WHERE position >= 9", "DELETE FROM checkpoints WHERE position >= 9"), 9, "truncated"),
        (sql(f"DELETE FROM events WHERE position = {EVENTS}"), EVENTS, "truncated"),
    ],
)
async def test_t70_what_only_a_witness_can_tell_is_told_by_one(
    bench: Bench, deed: Deed, position: int, kind: str
) -> None:
    await deed(bench.url)
    assert (await bench.both()).faults == ()
    report = await bench.both(witnessed=True)
    assert (report.faults[0].position, report.faults[0].kind) == (position, kind)


async def test_t70_a_log_cut_and_grown_again_contradicts_a_witness(bench: Bench) -> None:
    await forge(bench.url, "DELETE FROM events WHERE position >= 9", "DELETE FROM checkpoints WHERE position >= 9")
    again = await Store.open(bench.url)
    await give(again, *(new_network() for _ in range(6)))
    await bench.notary.over(again).sign()
    await again.close()
    assert (await bench.both()).faults == ()
    assert [(item.position, item.kind) for item in (await bench.both(witnessed=True)).faults] == [
        (10, "changed"),
        (EVENTS, "changed"),
    ]


async def test_t64_a_forged_log_with_keys_of_its_own_fails_against_kept_keys(bench: Bench) -> None:
    other = VerificationKeys.of(SigningKey(next(iter(bench.keys.keys)), generate_key()))
    report = await bench.both(keys=other)
    assert [(item.position, item.kind) for item in report.faults] == [(2, "changed")]
    unknown = VerificationKeys.of(SigningKey("another", generate_key()))
    report = await bench.both(keys=unknown)
    assert [(item.position, item.kind) for item in report.faults] == [(0, "checkpoint")]


async def test_t64_what_a_distrusted_key_signs_afterwards_does_not_count(bench: Bench, store: Store) -> None:
    signer = bench.notary.over(store)
    await signer.load()
    (kid,) = bench.notary.ring.keys
    key = bench.notary.ring.make()
    await give(store, key, c.ActivateSigningKey(key.kid), c.DistrustSigningKey(kid))
    report = await bench.both()
    assert (report.faults, f"key {kid} was distrusted" in str(report.notes)) == ((), True)
    bench.notary.ring.active = lambda state: bench.notary.ring.keys[kid]  # type: ignore[method-assign]
    await signer.sign()
    report = await bench.both()
    assert [(item.position, item.kind) for item in report.faults] == [(EVENTS + 3, "checkpoint")]


async def test_f26_what_a_restore_lost_is_a_note_and_no_fault(bench: Bench) -> None:
    await forge(bench.url, "DELETE FROM events WHERE position >= 9", "DELETE FROM checkpoints WHERE position >= 9")
    again = await Store.open(bench.url)
    await give(again, c.RaiseEpoch(Epoch(7)), new_network())
    await bench.notary.over(again).sign()
    await again.close()
    report = await bench.both(witnessed=True)
    assert report.faults == ()
    assert len([note for note in report.notes if "restored from a backup that ended at event 8" in note]) == 2
    # What was before the backup must still be the same.
    await rewrite(bench.url, 7, checkpoints=True)
    assert (await bench.both(witnessed=True)).faults[0].position == 8


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"issuer": "ctl_other"}, "witness"),
        ({"format": "rubbish/1"}, "witness"),
        ({"keys": []}, "witness"),
    ],
)
async def test_a_witness_that_is_none_is_told(bench: Bench, change: dict[str, Any], kind: str) -> None:
    bench.witness |= change
    assert {item.kind for item in (await bench.both(witnessed=True)).faults} == {kind}


async def test_a_forged_witness_accuses_nobody(bench: Bench) -> None:
    bench.witness["checkpoints"][0]["hash"] = "0" * 64
    bench.witness["checkpoints"][1]["token"] += "A"
    bench.witness["heads"] = []
    assert {item.kind for item in (await bench.both(witnessed=True)).faults} == {"witness"}


async def test_t70_an_export_that_was_cut_off_or_shuffled_is_no_whole_one(bench: Bench) -> None:
    lines = await exported(bench.url, bench.folder / "events.jsonl")
    assert [item.kind for item in audited(lines[:-1]).faults] == ["truncated"]
    assert [(item.position, item.kind) for item in audited(lines[:3]).faults] == [(3, "truncated"), (3, "truncated")]
    at = [index for index, line in enumerate(lines) if line["kind"] == "event"]
    shuffled = list(lines)
    shuffled[at[3]], shuffled[at[5]] = lines[at[5]], lines[at[3]]
    assert audited(shuffled).faults[0].kind == "reordered"
    assert [item.kind for item in audited([*lines[: at[4]], lines[at[3]], *lines[at[4] :]]).faults] == ["duplicate"]
    for rubbish in ({}, {"kind": "event"}, {"kind": "checkpoint", "position": "x"}, {"kind": "rumour"}):
        assert {item.kind for item in audited([*lines, rubbish]).faults} <= {"format", "checkpoint"}


async def test_an_export_is_taken_while_the_log_grows(bench: Bench, store: Store) -> None:
    from controller.store import exporting

    async with exporting.opened(bench.url) as engine:
        lines = []
        async for line in exporting.lines(engine):
            lines.append(line)
            if line["kind"] == "header":
                await give(store, new_network())
                await bench.notary.over(store).sign()
    report = audited(lines)
    assert (report.faults, report.events, report.checkpoints) == ((), EVENTS, 3)
