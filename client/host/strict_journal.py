"""What strict DNS leaves in force on purpose when the daemon ends or is killed (T-55), and how it is taken back.

It stands in a journal of its own, so that cleaning up after a dead daemon does not open what is to stay closed. The next
start goes on with it, or takes it back when strict DNS was turned off; ``ostiaryd cleanup --all`` takes it back at once.
"""

from pathlib import Path
from typing import Final

from client.host import guard_link, network_manager, resolv_conf, resolvconf
from client.host.journal import Change, Journal

JOURNAL_FILE: Final = "strict-dns.journal"


def open_strict(state_directory: Path) -> Journal:
    """Opens the journal of strict DNS; what is in it stays in force. Raises LocalError."""
    return Journal(state_directory / JOURNAL_FILE)


def release(state_directory: Path) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """Takes back what strict DNS has left; returns what was undone and what could not be. Raises LocalError."""
    journal = open_strict(state_directory)
    before = journal.pending
    if not before:
        return (), ()
    left = journal.undo_all(
        {
            guard_link.CHANGE: guard_link.undo,
            network_manager.CHANGE: network_manager.undo,
            resolv_conf.CHANGE: resolv_conf.undo,
            resolvconf.CHANGE: resolvconf.undo,
        }
    )
    return tuple(change for change in reversed(before) if change not in left), left
