"""The guarded names of strict DNS on disk: they hold before anybody has signed in, and over restarts (T-55).

Each account's are in its own directory. Guarded are those of all: a switch opens nothing of an account that is not active.
"""

import structlog

from client.core.dns_guard import NameGuard, withheld_patterns
from client.daemon.accounts import active_directory, directories
from client.daemon.identity import NAMES_FILE
from protocol.acl.model import NamePattern
from protocol.errors import OstiaryError
from protocol.tokens.claims import Snapshot
from runtime.files import StateDir

_log = structlog.get_logger(__name__)


class StrictNames:
    """Keeps ``guard`` and the accounts' files in step with the whitelists. Blocks while it writes.

    Args:
        root: the daemon's state directory, with all accounts in it.
        guard: is told what to keep.
    """

    def __init__(self, root: StateDir, guard: NameGuard) -> None:
        self.guard = guard
        self._root = root

    def load(self) -> None:
        """Guards what is stored. A damaged file guards nothing, and is said."""
        if self.guard.strict:
            self.guard.keep(self._all_stored())

    def follow(self, snapshot: Snapshot | None) -> None:
        """Guards the names of the active account's whitelist and what it withholds, besides those of the other accounts.

        Args:
            snapshot: None guards what is stored (nobody is signed in). One that was read from disk does not say what it
                withholds: what was stored with it goes on.

        Raises:
            LocalError: STATE_CORRUPT when it cannot be told which one is active.
        """
        if not self.guard.strict:
            return
        if snapshot is None:
            self.guard.keep(self._all_stored())
            return
        account = active_directory(self._root)
        patterns = {entry.resource.address for entry in snapshot.acl.entries}
        stored = self._stored(account)
        names = frozenset(pattern for pattern in patterns if isinstance(pattern, NamePattern))
        names |= frozenset(stored or () if snapshot.withheld is None else snapshot.withheld)
        self.guard.keep(names | self._all_stored(but=account))
        if names != stored:
            self._store(account, names)

    def forget(self) -> None:
        """Guards nothing until there is a whitelist again."""
        for account in directories(self._root):
            account.remove(NAMES_FILE)
        self.guard.keep(())

    def _all_stored(self, *, but: StateDir | None = None) -> set[NamePattern]:
        skipped = None if but is None else but.path
        accounts = [account for account in directories(self._root) if account.path != skipped]
        return {pattern for account in accounts for pattern in self._stored(account) or ()}

    def _stored(self, account: StateDir) -> frozenset[NamePattern] | None:
        try:
            body = account.read_json(NAMES_FILE)
        except OstiaryError as error:
            _log.error("dns.names_unreadable", reason=error.reason.code, detail=error.detail)
            return None
        names = None if body is None else body.get("names")
        return frozenset(withheld_patterns(str(name) for name in names)) if isinstance(names, list) else None

    def _store(self, account: StateDir, names: frozenset[NamePattern]) -> None:
        try:
            account.write_json(NAMES_FILE, {"names": sorted(str(pattern) for pattern in names)})
        except OstiaryError as error:
            _log.error("dns.names_not_stored", reason=error.reason.code, detail=error.detail)
