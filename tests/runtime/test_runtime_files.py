"""Files: atomic, bounded, private."""

import errno
import os
import stat
from pathlib import Path

import pytest

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import StateDir, os_error, read_limited, write_atomic


def test_t42_state_files_are_private(tmp_path: Path) -> None:
    write_atomic(tmp_path / "key.pem", b"secret")
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]


def test_f15_a_failed_write_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.jws"
    write_atomic(path, "old")

    def no_space(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(LocalError) as caught:
        write_atomic(path, "new")
    assert caught.value.reason is Reason.LIMIT_EXCEEDED
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.jws"]


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 11)
    assert read_limited(tmp_path / "big", 11) == b"x" * 11
    with pytest.raises(LocalError) as caught:
        read_limited(tmp_path / "big", 10)
    assert caught.value.reason is Reason.STATE_CORRUPT


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, Reason.PERMISSION_DENIED),
        (errno.ENOENT, Reason.NOT_FOUND),
        (errno.ENOSPC, Reason.LIMIT_EXCEEDED),
        (errno.EIO, Reason.UNAVAILABLE),
    ],
)
def test_os_errors_get_a_reason_and_name_the_path(number: int, reason: Reason) -> None:
    error = os_error(OSError(number, os.strerror(number)), Path("/x/y"))
    assert error.reason is reason
    assert "/x/y" in error.detail


def test_state_dir_takes_away_what_others_may_do(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    state = StateDir(tmp_path / "state")
    state.ensure()
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700


def test_state_dir_keeps_json(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    assert state.read_json("connector.json") is None
    state.write_json("connector.json", {"connector": "con_x"})
    assert state.read_json("connector.json") == {"connector": "con_x"}
    assert state.exists("connector.json")
    state.remove("connector.json")
    state.remove("connector.json")
    assert not state.exists("connector.json")


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000])
def test_damaged_state_is_named(tmp_path: Path, text: str) -> None:
    state = StateDir(tmp_path)
    state.write("connector.json", text)
    with pytest.raises(LocalError) as caught:
        state.read_json("connector.json")
    assert caught.value.reason is Reason.STATE_CORRUPT
    assert "connector.json" in caught.value.detail


def test_f16_a_second_instance_is_refused(tmp_path: Path) -> None:
    first, second = StateDir(tmp_path), StateDir(tmp_path)
    first.lock()
    first.lock()
    with pytest.raises(LocalError) as caught:
        second.lock()
    assert caught.value.reason is Reason.ALREADY_RUNNING
    first.unlock()
    second.lock()
    second.unlock()
