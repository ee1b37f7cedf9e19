"""A killed daemon's guard puts the host's settings back, and keeps out of everybody's way otherwise (F-14, F-16)."""

import ipaddress
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from client.host.cleanup import JOURNAL_FILE, claim, clean_up_dead, describe
from client.host.guard import Guard
from client.host.journal import Journal
from client.host.resolver_settings import ResolvConf
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import StateDir

ORIGINAL = b"search corp.test\nnameserver 192.0.2.53\n"
DAEMON = """
import ipaddress, sys, time
from pathlib import Path
from client.host.cleanup import claim, open_journal
from client.host.guard import Guard
from client.host.resolver_settings import ResolvConf
from runtime.files import StateDir

folder, how = Path(sys.argv[1]), sys.argv[2]
state = StateDir(folder / "state")
state.ensure()
claim(state)
journal = open_journal(state.path)
guard = Guard(state.path, log_json=True)
guard.start()
settings = ResolvConf(journal, [ipaddress.ip_address("100.96.0.1")], path=folder / "resolv.conf")
settings.apply([])
print("ready", guard._process.pid, flush=True)
sys.stdin.readline()
if how == "orderly":
    settings.restore()
    guard.stop(all_undone=not journal.pending)
elif how == "half":
    guard.stop(all_undone=not journal.pending)
"""


class Daemon:
    """What the client daemon does to resolv.conf, in a process of its own."""

    def __init__(self, folder: Path, how: str = "orderly") -> None:
        self.resolv_conf = folder / "resolv.conf"
        self.resolv_conf.write_bytes(ORIGINAL)
        self.state = StateDir(folder / "state")
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DAEMON, str(folder), how],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        word, pid = self.process.stdout.readline().split()
        assert word == "ready"
        self.guard = int(pid)

    def kill(self) -> None:
        """As the OOM killer or a crash does, and the whole process group with it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self._ended()

    def end(self) -> int:
        """In order."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._ended()

    def _ended(self) -> int:
        code = self.process.wait(20)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        return code


def eventually(test: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not test():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_f14_the_guard_gives_resolv_conf_back_when_the_daemon_is_killed(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    assert b"100.96.0.1" in daemon.resolv_conf.read_bytes()
    daemon.kill()
    eventually(lambda: daemon.resolv_conf.read_bytes() == ORIGINAL)
    eventually(lambda: gone(daemon.guard))
    assert Journal(daemon.state / JOURNAL_FILE).pending == ()
    assert "the original of" in (tmp_path / "log").read_text()


def test_an_orderly_end_leaves_nothing_to_the_guard(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    assert daemon.end() == 0
    assert gone(daemon.guard)
    assert daemon.resolv_conf.read_bytes() == ORIGINAL
    assert (tmp_path / "log").read_text() == ""


def test_f14_what_the_daemon_could_not_take_back_the_guard_tries_again(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "half")
    assert daemon.end() == 0
    eventually(lambda: daemon.resolv_conf.read_bytes() == ORIGINAL)
    eventually(lambda: gone(daemon.guard))


def test_f15_the_guard_keeps_what_somebody_else_has_written_meanwhile(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    newer = b"# by DHCP\nnameserver 198.51.100.53\n"
    daemon.resolv_conf.write_bytes(newer)
    daemon.kill()
    eventually(lambda: gone(daemon.guard))
    assert daemon.resolv_conf.read_bytes() == newer


def test_f16_the_next_daemon_waits_for_the_clean_up_and_takes_over(tmp_path: Path) -> None:
    first = Daemon(tmp_path)
    first.kill()
    second = Daemon(tmp_path)  # claims the directory, whoever of the two cleans up
    assert second.end() == 0
    assert second.resolv_conf.read_bytes() == ORIGINAL
    eventually(lambda: gone(first.guard))


def test_a_guard_that_was_ended_is_started_again(tmp_path: Path) -> None:
    guard = Guard(tmp_path, log_json=None)
    guard.start()
    assert not guard.keep()
    assert guard._process is not None
    first = guard._process.pid
    os.kill(first, signal.SIGKILL)
    eventually(guard.keep)
    assert guard._process is not None
    assert guard._process.pid != first
    second = guard._process.pid
    guard.stop(all_undone=True)
    assert gone(second)
    guard.stop(all_undone=True)  # once more does nothing


def test_a_clean_up_refuses_while_a_daemon_lives_and_a_second_daemon_too(tmp_path: Path) -> None:
    one, two = StateDir(tmp_path), StateDir(tmp_path)
    claim(one)
    for refused in (lambda: clean_up_dead(two), lambda: claim(two)):
        with pytest.raises(LocalError) as caught:
            refused()
        assert caught.value.reason is Reason.ALREADY_RUNNING
    one.unlock()
    assert clean_up_dead(two).undone == ()
    claim(one)


def test_f16_who_starts_during_a_clean_up_waits_for_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working, go_on = threading.Event(), threading.Event()
    conf = tmp_path / "resolv.conf"
    conf.write_bytes(ORIGINAL)
    journal = Journal(tmp_path / JOURNAL_FILE)
    ResolvConf(journal, [ipaddress.ip_address("100.96.0.1")], path=conf).apply([])

    def slow(_: Journal) -> tuple[()]:
        working.set()
        assert go_on.wait(20)
        return ()

    monkeypatch.setattr("client.host.cleanup.clean_up", slow)
    cleaning = threading.Thread(target=clean_up_dead, args=(StateDir(tmp_path),))
    cleaning.start()
    assert working.wait(20)
    state = StateDir(tmp_path)
    claiming = threading.Thread(target=claim, args=(state,))
    claiming.start()
    claiming.join(0.1)
    assert claiming.is_alive()
    go_on.set()
    claiming.join(20)
    cleaning.join(20)
    assert not claiming.is_alive()
    with pytest.raises(LocalError):
        StateDir(tmp_path).lock()


def test_changes_are_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path / JOURNAL_FILE)
    assert describe(journal.record("rule", {"version": 6})) == "the routing rule for IPv6"
    assert describe(journal.record("resolv_conf", {"path": "/etc/resolv.conf"})) == "the original of /etc/resolv.conf"
