"""The services of the four programs under systemd: installed, removed, shown.

A package brings the units itself (in ``/usr/lib/systemd/system``); then ``install`` only enables them. Otherwise it writes
them into ``/etc/systemd/system`` with the path of this installation, and ``uninstall`` takes them away again. State stays.
"""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import AdviceError
from runtime.files import os_error, write_atomic

GROUP: Final = "ostiary"
"""Members use the client without sudo."""
WRITTEN: Final = "# Written by `service install`; `service uninstall` removes it.\n"
_UNIT_MODE: Final = 0o644
_DEADLINE_S: Final = 120.0
_SHOWN: Final = ("LoadState", "UnitFileState", "ActiveState", "SubState", "StatusText", "MainPID", "NRestarts")
_GROUP_OR_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

Runner = Callable[[str, Sequence[str]], str]
"""Runs a program of the host by its name and returns its output. Raises LocalError."""

_RUN: Final = Path("/run")
"""Where systemd has its directory on hosts that it started (sd_booted(3))."""
_SYSTEMCTL: Final = "/usr/bin/systemctl"
_GROUPADD: Final = "/usr/sbin/groupadd"
_USERADD: Final = "/usr/sbin/useradd"
_USERMOD: Final = "/usr/sbin/usermod"
_CHOWN: Final = "/usr/bin/chown"


@dataclass(frozen=True, slots=True)
class Role:
    """One of the four programs as a service."""

    program: str
    units: tuple[str, ...]
    user: str | None
    """The system user it runs as; None for root with few capabilities."""
    state: Path


ROLES: Final = {
    "client": Role("ostiaryd", ("ostiaryd.service", "ostiary-cleanup.service"), None, Path("/var/lib/ostiary/client")),
    **{
        name: Role(f"ostiary-{name}", (f"ostiary-{name}.service",), f"ostiary-{name}", Path("/var/lib/ostiary") / name)
        for name in ("connector", "relay", "controller")
    },
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a service is."""

    unit: str
    shown: dict[str, str] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """It runs and has said that it is ready."""
        return self.shown.get("ActiveState") == "active"

    @property
    def sentence(self) -> str:
        """One line for people."""
        if self.shown.get("LoadState") == "not-found":
            return f"{self.unit} is not installed"
        said = self.shown.get("StatusText", "")
        state = f"{self.shown.get('ActiveState')} ({self.shown.get('SubState')})"
        return f"{self.unit} is {state}, {self.shown.get('UnitFileState')}" + (f": {said}" if said else "")


def run_program(name: str, arguments: Sequence[str]) -> str:
    """Runs one of the host's programs that services need, by its absolute path and with a clean environment (T-59).

    Raises:
        LocalError: UNAVAILABLE when the host does not have it, or with what it said; TIMEOUT.
    """
    options: dict[str, Any] = {
        "env": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "SYSTEMD_PAGER": ""},
        "stdin": subprocess.DEVNULL,
        "capture_output": True,
        "text": True,
        "timeout": _DEADLINE_S,
        "check": False,
    }
    try:
        match name:
            case "systemctl":
                done = subprocess.run([_SYSTEMCTL, *arguments], **options)
            case "groupadd":
                done = subprocess.run([_GROUPADD, *arguments], **options)
            case "useradd":
                done = subprocess.run([_USERADD, *arguments], **options)
            case "usermod":
                done = subprocess.run([_USERMOD, *arguments], **options)
            case "chown":
                done = subprocess.run([_CHOWN, *arguments], **options)
            case _:
                raise LocalError(Reason.INTERNAL, f"services need no {name!r}")
    except FileNotFoundError as exc:
        if name != "systemctl":
            raise LocalError(Reason.UNAVAILABLE, f"this host has no {name}") from exc
        raise _no_systemd(name) from exc
    except subprocess.TimeoutExpired as exc:
        raise LocalError(Reason.TIMEOUT, f"{name} did not end within {_DEADLINE_S:g} s") from exc
    if done.returncode != 0:
        if name == "systemctl" and not (_RUN / "systemd/system").is_dir():
            raise _no_systemd("systemd is installed, but it did not start this host")
        raise LocalError(Reason.UNAVAILABLE, f"{name} {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
    return str(done.stdout)


def _no_systemd(detail: str) -> AdviceError:
    return AdviceError(
        Reason.UNAVAILABLE,
        detail,
        sentence="systemd does not run on this host.",
        next_step="Run the daemon by the service manager that this host has; docs/client-install.md says how.",
    )


class Service:
    """One role's service on this host.

    Args:
        role: which program.
        root: where the host's files are; another folder than ``/`` in tests.
        programs: folder of the installed commands; by default that of this interpreter.
        loaded: what the commands are made of; by default the interpreter, its libraries and our code.
        run: runs the host's programs.
    """

    def __init__(
        self,
        role: Role,
        *,
        root: Path = Path("/"),
        programs: Path | None = None,
        loaded: Sequence[Path] | None = None,
        run: Runner = run_program,
    ) -> None:
        self._role = role
        self._root = root
        self._programs = programs or Path(sys.executable).parent
        self._loaded = loaded_by_programs() if loaded is None else loaded
        self._run = run

    def install(self, *, users: Sequence[str] = ()) -> tuple[str, ...]:
        """Installs, enables and starts it; says what was done.

        Args:
            users: people who shall use the client without sudo.

        Raises:
            LocalError: NEEDS_ROOT, PERMISSION_DENIED (the program could be changed by somebody else), UNAVAILABLE.
        """
        self._need_root()
        packaged = all((self._root / "usr/lib/systemd/system" / unit).exists() for unit in self._role.units)
        done = list(self._make_accounts(users))
        if not packaged:
            self._check_program()
            for unit in self._role.units:
                path = self._unit_path(unit)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, WRITTEN + unit_text(unit, self._programs), mode=_UNIT_MODE)
                done.append(f"wrote {path}")
        self._systemctl("daemon-reload")
        # Not waited for: a connector is ready when it has a relay, and that may be never.
        self._systemctl("enable", *self._role.units)
        self._systemctl("restart", "--no-block", self._role.units[0])
        return (*done, f"enabled and started {self._role.units[0]}")

    def uninstall(self) -> tuple[str, ...]:
        """Stops it, disables it and removes the units that ``install`` wrote; state stays. Raises as ``install``."""
        self._need_root()
        if self.standing().shown.get("LoadState") != "loaded":
            return (f"{self._role.units[0]} is not installed",)
        self._systemctl("disable", "--now", *self._role.units)
        done = [f"stopped and disabled {self._role.units[0]}"]
        for unit in self._role.units:
            path = self._unit_path(unit)
            if _is_ours(path):
                path.unlink()
                done.append(f"removed {path}")
        self._systemctl("daemon-reload")
        return (*done, f"kept {self._role.state}: delete it to forget this host's identity")

    def standing(self) -> Standing:
        """Asks systemd. Raises LocalError."""
        unit = self._role.units[0]
        said = self._systemctl("show", f"--property={','.join(_SHOWN)}", unit)
        pairs = (line.partition("=") for line in said.splitlines())
        return Standing(unit, {key: value for key, _, value in pairs if key})

    def _need_root(self) -> None:
        if os.geteuid() != 0:
            raise AdviceError(Reason.NEEDS_ROOT, "services are the whole host's", next_step="Run it with sudo.")

    def _systemctl(self, *arguments: str) -> str:
        return self._run("systemctl", arguments)

    def _unit_path(self, unit: str) -> Path:
        return self._root / "etc/systemd/system" / unit

    def _make_accounts(self, users: Sequence[str]) -> list[str]:
        done = []
        if self._role.user is None:
            self._run("groupadd", ("--system", "--force", GROUP))
            for user in users:
                self._run("usermod", ("--append", "--groups", GROUP, user))
                done.append(f"{user} may use the client after the next sign-in to this host")
            return done
        user = self._role.user
        if f"\n{user}:" not in "\n" + (self._root / "etc/passwd").read_text():
            shell = "/usr/sbin/nologin"
            self._run("useradd", ("--system", "--user-group", "--no-create-home", "--shell", shell, user))
            done.append(f"made the user {user}")
        state = self._root / self._role.state.relative_to("/")
        if state.exists():
            # Enrolled by root; the service has to read it.
            self._run("chown", ("--recursive", "--no-dereference", f"{user}:{user}", str(state)))
        return done

    def _check_program(self) -> None:
        """Root alone may change the program, what it loads, and the folders that these lie in (T-59)."""
        program = self._programs / self._role.program
        for wanted in (program, *self._loaded):
            # Where a link leads, too.
            for path in dict.fromkeys((wanted, wanted.resolve())):
                self._check_path(path, program)

    def _check_path(self, wanted: Path, program: Path) -> None:
        for path in (wanted, *wanted.parents):
            try:
                found = path.stat()
            except OSError as exc:
                raise os_error(exc, path) from exc
            sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
            if found.st_uid != 0 or (found.st_mode & _GROUP_OR_OTHERS and not sticky):
                raise AdviceError(
                    Reason.PERMISSION_DENIED,
                    f"others than root may change {path}",
                    sentence=f"{program} is no program that a service may run.",
                    next_step="Install Ostiary for the whole host: the package, or a venv below /opt that root owns.",
                )
            if path == self._root:
                break


def loaded_by_programs() -> tuple[Path, ...]:
    """Returns what the installed commands run: the interpreter, the folders of its libraries, and this package."""
    return (Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parent)


def unit_text(unit: str, programs: Path) -> str:
    """Returns a unit with the folder of the programs filled in."""
    return files("runtime").joinpath("units", unit).read_text().replace("@bin@", str(programs))


def _is_ours(path: Path) -> bool:
    try:
        return path.read_text().startswith(WRITTEN)
    except OSError:
        return False
