"""The Tab key in real interactive shells; one that is not installed is skipped, and says so (lab/ensure-tools all)."""

import os
import pty
import re
import select
import shutil
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import CommandLine

DEADLINE_S = 30.0
SHELLS = {
    "bash": (("--norc", "--noprofile", "-i"), "source {folder}/completion"),
    "zsh": (("-f", "-i"), "fpath=({folder}/functions $fpath); autoload -Uz compinit; compinit -D -u"),
    "fish": (("-N", "-i"), "source {folder}/completion"),
}
"""Options, and how the documentation has the script loaded."""
_COLOURS = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\(B|\][^\x07]*\x07)")


@dataclass
class Terminal:
    """A shell that a person types at."""

    fd: int

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def shows(self, pattern: str) -> str:
        """Waits until it shows this, and returns all that it showed."""
        shown, until = "", time.monotonic() + DEADLINE_S
        while re.search(pattern, shown) is None:
            ready, _, _ = select.select([self.fd], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"no {pattern!r} in {shown!r}"
            shown = _COLOURS.sub("", shown + os.read(self.fd, 65_536).decode(errors="replace"))
        return shown


@contextmanager
def terminal(path: str, options: tuple[str, ...], folder: Path) -> Iterator[Terminal]:
    """Starts the shell in a folder with files whose names begin like commands and resources."""
    work = folder / "work"
    work.mkdir()
    for name in ("compose.yaml", "wikipedia.txt"):
        (work / name).touch()
    environment = {
        "PATH": f"{folder}/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TERM": "xterm",
        "LANG": "C.UTF-8",
    }
    fd, inner = pty.openpty()
    termios.tcsetwinsize(fd, (24, 200))
    # A session whose terminal this is, as a terminal's program makes one.
    process = subprocess.Popen(
        ("/usr/bin/setsid", "--ctty", path, *options),
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=work,
        env=environment,
    )
    os.close(inner)
    try:
        yield Terminal(fd)
    finally:
        process.kill()
        process.wait(30)
        os.close(fd)


@pytest.mark.parametrize("shell", list(SHELLS))
def test_tab_completes_commands_and_names_of_resources(shell: str, ostiary: CommandLine, tmp_path: Path) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed: lab/ensure-tools all")
    for folder in ("bin", "functions"):
        (tmp_path / folder).mkdir()
    script = ostiary("completion", shell).out
    (tmp_path / "completion").write_text(script)
    (tmp_path / "functions/_ostiary").write_text(script)
    double = tmp_path / "bin/ostiary"  # stands for the daemon's answer
    double.write_text("#!/bin/sh\nprintf 'db.corp.internal\\nwiki.corp.internal\\n'\n")
    double.chmod(0o755)
    options, load = SHELLS[shell]
    with terminal(path, options, tmp_path) as user:
        # What the terminal echoes is not what the shell prints.
        user.type(f"{load.format(folder=tmp_path)}; echo rea''dy.\r")
        user.shows(r"ready\.")
        user.type("ostiary comp\t")
        shown = user.shows(r"completion ")
        assert "compose.yaml" not in shown, "a file is offered where a command fits"
        user.type("\x15ostiary explain w\t")
        assert "wikipedia" not in user.shows(r"wiki\.corp\.internal ")
        user.type("\x15ostiary admin user cre\t")
        user.shows(r"create ")
