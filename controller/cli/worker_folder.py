"""A folder for the sockets on which workers speak to their parent, private to one parent for as long as it lives.

It lies in the state directory, and its parent holds a lock on it, which ends with the parent, however that one ends: what a
parent that was killed left behind, the next one removes.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import os_error

PREFIX: Final = "run-"
"""Short, as the state directory's other sockets are: a socket's path has at most 107 bytes."""


@contextlib.contextmanager
def private_folder(state_dir: Path) -> Iterator[Path]:
    """Makes the folder, and removes it in the end.

    Raises:
        LocalError: NOT_SET_UP without a state directory; what the system says where nothing can be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = _make(state_dir, stack)
        except FileNotFoundError as exc:
            raise LocalError(Reason.NOT_SET_UP, f"{state_dir} does not exist") from exc
        except OSError as exc:
            raise os_error(exc, state_dir) from exc
        yield folder


def _make(state_dir: Path, stack: contextlib.ExitStack) -> Path:
    # Nobody may take a folder for an abandoned one before its parent has locked it.
    with _open(state_dir) as state:
        fcntl.flock(state, fcntl.LOCK_EX)
        for found in state_dir.glob(f"{PREFIX}*"):
            _remove_abandoned(found)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, dir=state_dir)))
        fcntl.flock(stack.enter_context(_open(folder)), fcntl.LOCK_EX)
    return folder


def _remove_abandoned(folder: Path) -> None:
    with contextlib.suppress(BlockingIOError, NotADirectoryError, FileNotFoundError), _open(folder) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield handle
    finally:
        os.close(handle)
