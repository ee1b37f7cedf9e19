"""The undo journal survives power loss at any byte (F-14, F-15)."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from client.host.journal import Change, Journal
from protocol.errors import LocalError
from protocol.reasons import Reason


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "undo.journal"


def test_change_is_on_disk_before_record_returns(path: Path) -> None:
    change = Journal(path).record("rule", {"version": 4})
    assert Journal(path).pending == (change,) == (Change(1, "rule", {"version": 4}),)
    assert path.stat().st_mode & 0o777 == 0o600


def test_done_changes_are_forgotten(path: Path) -> None:
    journal = Journal(path)
    first, second = journal.record("rule", {"version": 4}), journal.record("rule", {"version": 6})
    journal.done(first)
    journal.done(first)
    assert journal.pending == Journal(path).pending == (second,)


def test_numbers_go_on_after_a_restart(path: Path) -> None:
    first = Journal(path).record("a", {})
    second = Journal(path).record("b", {})
    assert second.number > first.number
    assert Journal(path).pending == (first, second)


def test_undo_all_is_newest_first_and_leaves_nothing(path: Path) -> None:
    journal = Journal(path)
    for number in range(3):
        journal.record("kind", {"number": number})
    undone: list[object] = []
    assert Journal(path).undo_all({"kind": lambda data: undone.append(data["number"])}) == ()
    assert undone == [2, 1, 0]
    assert not path.exists()
    assert Journal(path).pending == ()


def test_what_cannot_be_undone_stays_and_does_not_stop_the_rest(path: Path) -> None:
    journal = Journal(path)
    for kind in ("good", "bad", "unknown", "good"):
        journal.record(kind, {})
    undone: list[Mapping[str, object]] = []

    def bad(data: Mapping[str, object]) -> None:
        raise LocalError(Reason.UNAVAILABLE, str(data))

    failed = journal.undo_all({"good": undone.append, "bad": bad})
    assert [change.kind for change in failed] == ["unknown", "bad"]
    assert len(undone) == 2
    assert [change.kind for change in Journal(path).pending] == ["bad", "unknown"]


def test_f15_power_loss_at_any_byte_of_the_last_line(path: Path) -> None:
    journal = Journal(path)
    kept = journal.record("rule", {"version": 4})
    before = path.stat().st_size
    journal.record("resolv_conf", {"content": "nameserver 192.0.2.53"})
    whole = path.read_bytes()
    for length in range(before, len(whole)):
        path.write_bytes(whole[:length])
        assert Journal(path).pending == (kept,)
        late = Journal(path).record("rule", {"version": 6})
        assert Journal(path).pending == (kept, late)


def test_f15_garbage_inside_is_skipped(path: Path) -> None:
    journal = Journal(path)
    journal.record("a", {})
    with path.open("ab") as file:
        file.write(b'\x00\x00\n[]\n{"do":"x"}\n{"undone":99}\n{"do":7,"kind":"b","data":{}}\n')
    assert [change.kind for change in Journal(path).pending] == ["a", "b"]


def test_long_journal_starts_anew_when_nothing_is_pending(path: Path) -> None:
    journal = Journal(path)
    for _ in range(501):
        journal.done(journal.record("a", {}))
    assert not path.exists()
    journal.record("b", {})
    assert [change.kind for change in Journal(path).pending] == ["b"]


def test_unwritable_journal_forbids_the_change(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "missing" / "undo.journal")
    with pytest.raises(LocalError) as caught:
        journal.record("a", {})
    assert caught.value.reason is Reason.NOT_FOUND
    assert journal.pending == ()


def test_unreadable_journal_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalError):
        Journal(tmp_path)


def test_f15_a_full_disk_leaves_no_half_line_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    kept = journal.record("rule", {"version": 4})
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, line: write(handle, line[:7]))
        with pytest.raises(LocalError):
            journal.record("rule", {"version": 6})
    later = journal.record("resolv_conf", {"path": "/etc/resolv.conf"})
    assert Journal(path).pending == (kept, later)
