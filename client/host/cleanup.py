"""Taking back what a run of the client left behind (F-14): at the next start, by the guard, by the service manager.

Two locks in the state directory tell who is there. ``.lock`` belongs to the daemon for as long as it lives, and to a
clean-up while it works; a clean-up holds ``.cleaning`` as well. So a daemon that starts while a clean-up works waits for
it, whereas a second daemon is refused at once (F-16).

Nothing here loads more than it needs: the host has no resolver until the first change is taken back.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from client.host import NETWORK_MANAGER_CHANGE, RESOLVCONF_CHANGE, RULE_CHANGE, resolv_conf, resolvconf
from client.host.journal import Change, Journal, Undoer
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import PRIVATE_FILE, StateDir, os_error

JOURNAL_FILE = "undo.journal"
CLEANING_MAX_S: Final = 10.0
"""Longer than any clean-up; who waits for one gives up after this."""
_CLEANING_FILE: Final = ".cleaning"
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a clean-up did."""

    undone: tuple[Change, ...]
    left: tuple[Change, ...]
    """What could not be taken back; it stays in the journal."""


def undoers() -> dict[str, Undoer]:
    """Returns what takes back each kind of change."""
    return {
        RULE_CHANGE: _undo_rule,
        resolv_conf.CHANGE: resolv_conf.undo,
        NETWORK_MANAGER_CHANGE: _undo_network_manager,
        RESOLVCONF_CHANGE: resolvconf.undo,
    }


def clean_up(journal: Journal) -> tuple[Change, ...]:
    """Undoes everything in ``journal``; returns what could not be undone. Blocks; needs no network and no daemon."""
    return journal.undo_all(undoers())


def open_journal(state_directory: Path) -> Journal:
    """Opens the journal of a state directory and undoes what an earlier run has left in it. Raises LocalError."""
    journal = Journal(state_directory / JOURNAL_FILE)
    clean_up(journal)
    return journal


def claim(state: StateDir) -> None:
    """Claims the state directory for a daemon; waits for a clean-up that is going on, and for nobody else.

    Raises:
        LocalError: ALREADY_RUNNING when another daemon has it.
    """
    until = time.monotonic() + CLEANING_MAX_S
    while True:
        cleaning = _is_cleaning(state.path)  # asked first: it may end between the two questions
        try:
            state.lock()
        except LocalError as error:
            if error.reason is not Reason.ALREADY_RUNNING or not cleaning or time.monotonic() > until:
                raise
            time.sleep(_POLL_S)
        else:
            return


def clean_up_dead(state: StateDir, *, wait_s: float = 0.0) -> Cleaned:
    """Takes back what a daemon that lives no more has left.

    Args:
        state: the daemon's state directory; it must exist.
        wait_s: for how long to wait for a daemon that is just ending.

    Raises:
        LocalError: ALREADY_RUNNING while a daemon lives, which takes everything back itself.
    """
    until = time.monotonic() + wait_s
    with _cleaning(state.path):
        while True:
            try:
                state.lock()
            except LocalError as error:
                if error.reason is not Reason.ALREADY_RUNNING or time.monotonic() >= until:
                    raise
                time.sleep(_POLL_S)
            else:
                break
        try:
            journal = Journal(state.path / JOURNAL_FILE)
            before = journal.pending
            left = clean_up(journal)
            return Cleaned(tuple(change for change in reversed(before) if change not in left), left)
        finally:
            state.unlock()


def describe(change: Change) -> str:
    """Says in words what was changed."""
    match change.kind, change.data:
        case "rule", {"version": version}:
            return f"the routing rule for IPv{version}"
        case "resolv_conf", {"path": path}:
            return f"the original of {path}"
        case "network_manager", _:
            return "NetworkManager's global DNS configuration"
        case "resolvconf", _:
            return "our record in resolvconf"
        case "guard_link", _:
            return "the link of strict DNS"
    return f"a change of kind {change.kind}"


def _undo_rule(data: Mapping[str, object]) -> None:
    from client.host.network import undo_rule  # takes half a second to load; the resolver comes first

    undo_rule(data)


def _undo_network_manager(data: Mapping[str, object]) -> None:
    from client.host import network_manager  # D-Bus takes its time to load

    network_manager.undo(data)


@contextmanager
def _cleaning(directory: Path) -> Iterator[None]:
    """Only one clean-up at a time. Raises LocalError(ALREADY_RUNNING) when the other one does not end."""
    path = directory / _CLEANING_FILE
    until = time.monotonic() + CLEANING_MAX_S
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as exc:
        raise os_error(exc, path) from exc
    try:
        while not _lock(handle):
            if time.monotonic() > until:
                raise LocalError(Reason.ALREADY_RUNNING, f"another clean-up of {directory}")
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def _is_cleaning(directory: Path) -> bool:
    try:
        handle = os.open(directory / _CLEANING_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
