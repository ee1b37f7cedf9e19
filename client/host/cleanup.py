"""Taking back what a run of the client left behind: at the next start, and by the service manager after a crash (F-14)."""

from pathlib import Path

from client.host import network, resolv_conf
from client.host.journal import Change, Journal

JOURNAL_FILE = "undo.journal"


def clean_up(journal: Journal) -> tuple[Change, ...]:
    """Undoes everything in ``journal``; returns what could not be undone. Blocks; needs no network and no daemon."""
    return journal.undo_all({**network.undoers(), resolv_conf.CHANGE: resolv_conf.undo})


def open_journal(state_directory: Path) -> Journal:
    """Opens the journal of a state directory and undoes what an earlier run has left in it. Raises LocalError."""
    journal = Journal(state_directory / JOURNAL_FILE)
    clean_up(journal)
    return journal
