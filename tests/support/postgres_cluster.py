"""A private PostgreSQL cluster for tests: a temporary directory, a Unix socket, no TCP, nobody else's data."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg


def postgres_bin() -> Path | None:
    """Returns the directory of the newest installed server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Cluster:
    """A running cluster. ``create(name)`` makes a database and returns its URL."""

    def __init__(self, home: Path, run: Callable[..., None]) -> None:
        self._home = home
        self._run = run

    def start(self) -> None:
        """Starts the server and waits until it takes connections."""
        options = f"-c listen_addresses= -c unix_socket_directories={self._home} -c fsync=off -c max_connections=100"
        arguments = ("-D", str(self._home / "data"), "-l", str(self._home / "log"), "-o", options, "-w", "start")
        self._run("pg_ctl", *arguments)

    def stop(self, mode: str = "immediate") -> None:
        """Stops the server: ``immediate`` is a crash from which it recovers when it starts."""
        self._run("pg_ctl", "-D", str(self._home / "data"), "-m", mode, "-w", "stop")

    def freeze(self) -> None:
        """Stops all its processes where they stand: connections live and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        postmaster = int((self._home / "data" / "postmaster.pid").read_text().split()[0])
        if number is signal.SIGSTOP:
            # First, so that it starts no others.
            os.kill(postmaster, number)
        for child in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), number)
        os.kill(postmaster, number)

    def url(self, name: str) -> str:
        """The URL of a database, as a setting would say it."""
        return f"postgresql://postgres@/{name}?host={quote(str(self._home), safe='')}"

    def create(self, name: str, *, template: str | None = None, encoding: str = "UTF8") -> str:
        """Makes a database, empty or as a copy."""
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'} ENCODING '{encoding}'")
        return self.url(name)

    def create_on(self, place: Path, name: str) -> str:
        """Makes an empty database whose tables lie in the folder ``place``."""
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(place, account.pw_uid, account.pw_gid)
        with self._connect() as connection:
            connection.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'".encode())
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 TABLESPACE {name}".encode())
        return self.url(name)

    def drop_on(self, name: str) -> None:
        """Removes a database that ``create_on`` made."""
        self.drop(name)
        with self._connect() as connection:
            connection.execute(f"DROP TABLESPACE {name}".encode())

    def drop(self, name: str) -> None:
        """Removes a database and ends whoever is still connected to it."""
        with self._connect() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url("postgres"), autocommit=True)


@contextmanager
def running_cluster(programs: Path) -> Iterator[Cluster]:
    """Starts a cluster and removes it afterwards. As root it runs as user ``postgres``, as PostgreSQL demands."""
    home = Path(tempfile.mkdtemp(prefix="ostiary-pg-", dir="/tmp"))
    prefix: list[str] = []
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
        prefix = ["runuser", "-u", "postgres", "--"]
    data = home / "data"

    def run(program: str, *arguments: str) -> None:
        command = [*prefix, str(programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=home, timeout=60)

    try:
        run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        cluster = Cluster(home, run)
        cluster.start()
        try:
            yield cluster
        finally:
            with suppress(subprocess.CalledProcessError):
                cluster.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)
