"""A host of its own with systemd as its first process: Debian in namespaces, for what only a service manager shows.

The base is a minimal Debian that debootstrap made once, kept in the lab's cache and never written to: each machine has an
overlay over it in memory. It has a loopback interface only. Nothing of it outlives its first process.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from lab.engine import CACHE
from lab.processes import Host, LabError, Processes, wait_for

PACKAGES: Final = ("systemd", "dbus", "python3", "iproute2", "ca-certificates")
BASE: Final = CACHE / f"machine-{'-'.join(PACKAGES)}"
_CGROUPS: Final = Path("/sys/fs/cgroup")
_BOOT: Final = """
set -e
mount -t tmpfs tmpfs "$FOLDER"
mkdir "$FOLDER/upper" "$FOLDER/work" "$FOLDER/root"
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$FOLDER/upper,workdir=$FOLDER/work" "$FOLDER/root"
cd "$FOLDER/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
for each in run tmp dev; do mount -t tmpfs tmpfs $each; done
mkdir -p dev/net dev/shm dev/pts dev/mqueue given old
ln -s pts/ptmx dev/ptmx
mount -t devpts devpts dev/pts
for each in null zero full random urandom tty net/tun; do touch dev/$each; mount --bind /dev/$each dev/$each; done
mount --bind "$GIVEN" given
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
echo ostiary-lab > etc/hostname
printf '127.0.0.1 localhost\\n::1 localhost\\n' > etc/hosts
printf 'nameserver 192.0.2.53\\n' > etc/resolv.conf
: > etc/machine-id
ln -sf /dev/null etc/systemd/system/systemd-resolved.service
ln -sf /dev/null etc/systemd/system/systemd-timesyncd.service
ip link set lo up
pivot_root . old
umount -l old
rmdir old
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --show-status=0 --unit=multi-user.target
"""


def missing_for_machine() -> str:
    """Why no machine can be started here; empty when one can."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun"
    if not (_CGROUPS / "systemd").is_dir() and not (_CGROUPS / "cgroup.controllers").exists():
        return "needs a cgroup hierarchy that systemd can use"
    if shutil.which("debootstrap", path=os.environ.get("PATH", "") + ":/usr/sbin") is None and not BASE.exists():
        return "needs debootstrap (lab/ensure-engine installs it)"
    if subprocess.run(["/usr/bin/unshare", "-m", "-p", "-n", "-f", "/bin/true"], check=False).returncode != 0:
        return "namespaces cannot be made here"
    return ""


class Machine(Host):
    """A running machine; a context manager.

    Args:
        processes: owns the machine's first process and its log.
        name: of its log and its cgroup.
        given: a folder of the host that the machine sees as ``/given``.
    """

    def __init__(self, processes: Processes, name: str, given: Path) -> None:
        super().__init__(name)
        self._processes = processes
        self._given = given
        self._folder = processes.folder / f"{name}-root"
        self._cgroup = (_CGROUPS / "systemd" if (_CGROUPS / "systemd").is_dir() else _CGROUPS) / f"{name}-{os.getpid()}"
        self._process: subprocess.Popen[bytes] | None = None
        self._first = 0

    def __enter__(self) -> "Machine":
        try:
            self._boot()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def argv(self, command: Sequence[str]) -> list[str]:
        """How to run ``command`` inside."""
        environment = ("/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root")
        return ["/usr/bin/nsenter", "-t", str(self._first), "-m", "-p", "-n", "-u", "-i", "-C", *environment, *command]

    def shell(self, script: str, *, check: bool = True, deadline: float = 60.0) -> str:
        """Runs a shell script inside and returns what it printed. Raises LabError."""
        return self.run("/bin/sh", "-ec", script, check=check, deadline=deadline).stdout

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Returns properties of a unit, as systemd has them."""
        said = self.run("systemctl", "show", f"--property={','.join(properties)}", unit).stdout
        return {key: value for key, _, value in (line.partition("=") for line in said.splitlines()) if key}

    def wait_active(self, unit: str, deadline: float = 60.0) -> None:
        """Waits until a unit has said that it is ready. Raises LabError with its log."""
        try:
            wait_for(unit, lambda: self.show(unit, "ActiveState").get("ActiveState") == "active", deadline)
        except LabError as exc:
            log = self.shell(f"journalctl -u {unit} -n 40 --no-pager; systemctl status {unit} || true", check=False)
            raise LabError(f"{exc}\n{log}") from exc

    def stop(self) -> None:
        """Ends it with everything in it. Safe to call twice."""
        if self._process is not None:
            self._processes.stop(self._process, signal.SIGKILL)
        wait_for("the machine's cgroup to be empty", self._remove_cgroup, 20)

    def _remove_cgroup(self) -> bool:
        """A process that was killed leaves its cgroup a moment later."""
        try:
            for folder in sorted((path for path in self._cgroup.rglob("*") if path.is_dir()), reverse=True):
                folder.rmdir()
            self._cgroup.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _boot(self) -> None:
        make_base()
        self._folder.mkdir()
        self._cgroup.mkdir()
        script = (
            f"echo $$ > {self._cgroup}/cgroup.procs && exec /usr/bin/unshare --mount --pid --net --uts --ipc --cgroup "
            '--fork --kill-child=SIGKILL --propagation private /bin/sh -c "$BOOT"'
        )
        environment = {"FOLDER": str(self._folder), "BASE": str(BASE), "GIVEN": str(self._given), "BOOT": _BOOT}
        process = self._process = self._processes.daemon("here", self.name, "/bin/sh", "-c", script, env=environment)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_for("the machine's first process", lambda: children.read_text().split(), 20)
        self._first = int(children.read_text().split()[0])
        wait_for("systemd", self._is_up, 60)

    def _is_up(self) -> bool:
        try:
            done = self.run("systemctl", "is-system-running", check=False, deadline=20)
        except LabError:
            return False
        return done.stdout.strip() in ("running", "degraded")


def make_base() -> None:
    """Makes the base unless it is in the cache; takes minutes, and a network. Raises LabError."""
    if BASE.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    partial = BASE.with_name(f"{BASE.name}.partial-{os.getpid()}")
    try:
        Host("here").run(
            *("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", str(partial)),
            deadline=600,
            env={"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
        )
        partial.rename(BASE)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
