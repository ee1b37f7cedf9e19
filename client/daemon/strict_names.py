"""The guarded names of strict DNS on disk: they hold before anybody has signed in, and over restarts (T-55)."""

import structlog

from client.core.dns_guard import NameGuard, withheld_patterns
from client.daemon.identity import NAMES_FILE
from protocol.acl.model import NamePattern
from protocol.errors import OstiaryError
from protocol.tokens.claims import Snapshot
from runtime.files import StateDir

_log = structlog.get_logger(__name__)


class StrictNames:
    """Keeps ``guard`` and its file in step with the whitelist. Blocks while it writes."""

    def __init__(self, state: StateDir, guard: NameGuard) -> None:
        self.guard = guard
        self._state = state

    def load(self) -> None:
        """Guards what is stored. A damaged file guards nothing, and is said."""
        if self.guard.strict:
            self.guard.keep(self._stored())

    def follow(self, snapshot: Snapshot | None) -> None:
        """Guards the names of a whitelist and those that it withholds; without one, what is stored (nobody is signed in).

        A whitelist that was read from disk does not say what it withholds: what was stored with it goes on.
        """
        if not self.guard.strict:
            return
        if snapshot is None:
            self.guard.keep(self._stored())
            return
        patterns = {entry.resource.address for entry in snapshot.acl.entries}
        names = {pattern for pattern in patterns if isinstance(pattern, NamePattern)}
        names.update(self._stored() if snapshot.withheld is None else snapshot.withheld)
        if names != self.guard.patterns or not self._state.exists(NAMES_FILE):
            self.guard.keep(names)
            self._store()

    def forget(self) -> None:
        """Guards nothing until there is a whitelist again."""
        self._state.remove(NAMES_FILE)
        self.guard.keep(())

    def _stored(self) -> tuple[NamePattern, ...]:
        try:
            body = self._state.read_json(NAMES_FILE) or {}
        except OstiaryError as error:
            _log.error("dns.names_unreadable", reason=error.reason.code, detail=error.detail)
            return ()
        names = body.get("names")
        return withheld_patterns(str(name) for name in names) if isinstance(names, list) else ()

    def _store(self) -> None:
        try:
            self._state.write_json(NAMES_FILE, {"names": sorted(str(pattern) for pattern in self.guard.patterns)})
        except OstiaryError as error:
            _log.error("dns.names_not_stored", reason=error.reason.code, detail=error.detail)
