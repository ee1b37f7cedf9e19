"""The folder of one parent's sockets: removed in the end, or by the next parent if that one was killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli.worker_folder import PREFIX, private_folder
from protocol.errors import LocalError
from protocol.reasons import Reason

_HOLD = """
import sys
from pathlib import Path
from controller.cli.worker_folder import private_folder
with private_folder(Path(sys.argv[1])) as folder:
    (folder / "1").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


def folders(state_dir: Path) -> list[Path]:
    """What lies there."""
    return sorted(state_dir.glob(f"{PREFIX}*"))


def test_nobody_else_may_enter_and_nothing_is_left(tmp_path: Path) -> None:
    with private_folder(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folders(tmp_path) == [folder]
    assert folders(tmp_path) == []


def test_what_a_killed_parent_left_the_next_one_removes(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        left = Path(parent.stdout.readline().strip())
        parent.kill()
    assert folders(tmp_path) == [left]
    with private_folder(tmp_path) as folder:
        assert folders(tmp_path) == [folder]


def test_the_folder_of_a_living_parent_stays(tmp_path: Path) -> None:
    with private_folder(tmp_path) as first, private_folder(tmp_path) as second:
        assert folders(tmp_path) == sorted([first, second])


def test_other_files_stay(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"{PREFIX}file").touch()
    os.symlink(elsewhere, tmp_path / f"{PREFIX}link")
    with private_folder(tmp_path):
        pass
    assert elsewhere.is_dir()
    assert len(folders(tmp_path)) == 2


def test_without_a_state_directory_nothing_is_set_up(tmp_path: Path) -> None:
    with pytest.raises(LocalError) as refused, private_folder(tmp_path / "missing"):
        pass
    assert refused.value.reason is Reason.NOT_SET_UP
