"""Network namespaces for tests of the client's host layer. Needs root and /dev/net/tun."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
SUPPORT = Path(__file__).parent
RESOLV_CONF = b"# of the namespace\nsearch example.test corp.test\nnameserver 192.0.2.53\noptions timeout:1\n"
_DEADLINE_S = 30


def missing() -> str | None:
    """Says what this host lacks for these tests; None when nothing."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun"
    if not Path("/usr/sbin/ip").exists() and not Path("/sbin/ip").exists():
        return "needs iproute2"
    return None


class Namespace:
    """One namespace with ``lo`` up and a resolv.conf of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.resolv_conf = Path("/etc/netns") / name / "resolv.conf"

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Returns the arguments that run a program inside."""
        return ["/usr/sbin/ip", "netns", "exec", self.name, *arguments]

    def run(self, *arguments: str, check: bool = True) -> str:
        """Runs a program inside and returns what it printed."""
        done = subprocess.run(self.command(arguments), capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.stderr}")
        return done.stdout

    def python(self, code: str, *arguments: str) -> str:
        """Runs Python code inside."""
        return self.run(sys.executable, "-c", code, *arguments)

    def start(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        """Starts a program inside; the caller ends it."""
        environment = os.environ | {"PYTHONPATH": f"{ROOT}:{SUPPORT}"}
        return subprocess.Popen(
            self.command(arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def state(self) -> dict[str, str]:
        """Returns everything that the client may change, for comparison."""
        return {
            "rules": self.run("ip", "rule"),
            "rules6": self.run("ip", "-6", "rule"),
            "routes": self.run("ip", "route", "show", "table", "all"),
            "routes6": self.run("ip", "-6", "route", "show", "table", "all"),
            "links": self.run("ip", "-br", "link"),
            "resolv.conf": self.resolv_conf.read_text(),
        }


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Makes a namespace and removes it with all that is in it."""
    name = f"ostt-{secrets.token_hex(4)}"
    inside = Namespace(name)
    inside.resolv_conf.parent.mkdir(parents=True)
    inside.resolv_conf.write_bytes(RESOLV_CONF)
    subprocess.run(["/usr/sbin/ip", "netns", "add", name], check=True)
    try:
        inside.run("ip", "link", "set", "lo", "up")
        yield inside
    finally:
        subprocess.run(["/usr/sbin/ip", "netns", "del", name], check=True)
        for left in inside.resolv_conf.parent.iterdir():
            left.unlink()
        inside.resolv_conf.parent.rmdir()


class TunWorld:
    """``tun_world.py`` inside a namespace."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def tell(self, **order: object) -> None:
        """Sends an order."""
        _pipe(self.process.stdin).write(json.dumps(order) + "\n")
        _pipe(self.process.stdin).flush()

    def wait_for(self, event: str) -> dict[str, Any]:
        """Returns the next event, which must be this one. A world that ends instead fails the test."""
        line = _pipe(self.process.stdout).readline()
        assert line, f"the world ended with {self.process.wait(_DEADLINE_S)} instead of {event}"
        said: dict[str, Any] = json.loads(line)
        assert said["event"] == event, said
        return said

    def stop(self) -> dict[str, Any]:
        """Ends it in order and returns its last words."""
        self.tell(do="stop")
        said = self.wait_for("stopped")
        assert self.process.wait(_DEADLINE_S) == 0
        return said

    def kill(self) -> None:
        """Ends it as a crash or the OOM killer does."""
        self.process.kill()
        self.process.wait(_DEADLINE_S)


@contextmanager
def tun_world(inside: Namespace, state: Path, first: str = "ready", **options: object) -> Iterator[TunWorld]:
    """Starts the world and waits for its first event."""
    program = [sys.executable, str(SUPPORT / "tun_world.py"), json.dumps(options | {"state": str(state)})]
    process = inside.start(program)
    world = TunWorld(process)
    try:
        if first:
            world.wait_for(first)
        yield world
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(_DEADLINE_S)
        for pipe in (process.stdin, process.stdout):
            _pipe(pipe).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
