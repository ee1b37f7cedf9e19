"""Commands and long-running programs on the lab's hosts: started, logged, waited for and ended here."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

DEADLINE_S = 30.0


class LabError(Exception):
    """The lab itself could not be set up, or a command in it failed."""


class Host:
    """Where commands run; this one is the machine itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    def argv(self, command: Sequence[str]) -> list[str]:
        """How to run ``command`` on this host."""
        return list(command)

    def run(
        self,
        *command: str,
        check: bool = True,
        deadline: float = DEADLINE_S,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end. Raises LabError when it fails and ``check`` is set, or when it takes too long."""
        try:
            done = subprocess.run(
                self.argv(command),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=deadline,
                env={**os.environ, **(env or {})},
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise LabError(f"{self.name}: {' '.join(command)} took longer than {deadline} s") from exc
        if check and done.returncode != 0:
            raise LabError(
                f"{self.name}: {' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def start(
        self, *command: str, log: Path | None = None, env: Mapping[str, str] | None = None, pipe: bool = False
    ) -> "subprocess.Popen[bytes]":
        """Starts a command in its own process group; the Lab ends it."""
        sink = log.open("ab") if log else None
        try:
            return subprocess.Popen(
                self.argv(command),
                stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else (sink or subprocess.DEVNULL),
                stderr=subprocess.STDOUT if not pipe else (sink or subprocess.DEVNULL),
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        finally:
            if sink:
                sink.close()


class Processes:
    """Programs by name; their output goes to ``<folder>/<name>.log``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[tuple[str, subprocess.Popen[bytes]]] = []
        folder.mkdir(parents=True, exist_ok=True)
        # Service accounts (postgres) must reach their own folders below this one.
        folder.chmod(0o755)

    def __getitem__(self, name: str) -> Host:
        """The host of that name; the machine itself where there are no namespaces."""
        return Host(name)

    def daemon(
        self, host: str, name: str, *command: str, env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Starts a long-running program whose output goes to ``<folder>/<name>.log``."""
        process = self[host].start(*command, log=self.folder / f"{name}.log", env=env)
        self._processes.append((name, process))
        return process

    def adopt(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        """Takes over the ending of a process started elsewhere."""
        self._processes.append((name, process))

    def process(self, name: str) -> "subprocess.Popen[bytes]":
        """The newest daemon of that name. Raises LabError."""
        for given, process in reversed(self._processes):
            if given == name:
                return process
        raise LabError(f"nothing called {name} was started")

    def pids(self, name: str) -> list[int]:
        """The processes of a daemon: its whole process group."""
        groups = {process.pid for given, process in self._processes if given == name and process.poll() is None}
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if os.getpgid(int(entry.name)) in groups:
                        found.append(int(entry.name))
                except ProcessLookupError:
                    continue
        return found

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self, process: "subprocess.Popen[bytes]", how: int = signal.SIGTERM, deadline: float = 10.0) -> int:
        """Ends one process and everything in its group; returns its exit status."""
        if process.poll() is None:
            _signal_group(process, how)
            try:
                process.wait(deadline)
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)
                process.wait(5)
        _signal_group(process, signal.SIGKILL)
        return process.returncode

    def stop_all(self) -> None:
        """Ends everything that runs."""
        for _, process in reversed(self._processes):
            self.stop(process)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        self._processes.clear()


def _signal_group(process: "subprocess.Popen[bytes]", how: int) -> None:
    # Its children may have outlived it, and keep its number from being given out again. Where there is a process of that
    # number all the same, it is somebody else: another lab's database, perhaps.
    if process.returncode is not None and Path(f"/proc/{process.pid}").exists():
        return
    try:
        os.killpg(process.pid, how)
    except (ProcessLookupError, PermissionError):
        return


def wait_for(what: str, test: Callable[[], object], deadline: float = 60.0) -> float:
    """Calls ``test`` until it returns something true; returns the seconds that it took. Raises LabError."""
    began = time.monotonic()
    while True:
        if test():
            return time.monotonic() - began
        if time.monotonic() - began > deadline:
            raise LabError(f"waited {deadline:g} s in vain for {what}")
        time.sleep(0.02)
