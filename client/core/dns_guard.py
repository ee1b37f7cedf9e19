"""Strict DNS: names that no other resolver is asked about, whether their resource can be reached or not (T-55).

Guarded are the names of each account's newest whitelist and those that its controller withholds (granted, but a condition is
not met). They stay guarded while nobody is signed in, while another account is active, while the client is down, and over
restarts, until a newer list of that account replaces them.
Without strict DNS nothing is guarded, and what is no resource at the moment is the host's own business (C9).

The C library makes up further names from a name that got no answer, and from every name where ``ndots`` says so: the name with
each search domain of the host behind it (resolver(5)). Such a question holds the resource's name, and is nobody's resource; so
these are guarded as well.
"""

from collections.abc import Iterable
from typing import Final

from client.core.network_names import SUFFIX, is_network_name
from protocol.acl.dns_names import service_owner
from protocol.acl.model import NamePattern
from protocol.acl.names import is_canonical_name, parse_pattern
from protocol.errors import LocalError

NAMES_MAX: Final = 16_384
"""Names that are kept; what a controller sends beyond that is not looked at."""


def withheld_patterns(texts: Iterable[str]) -> tuple[NamePattern, ...]:
    """Returns the name patterns in ``texts``; what is none is left out: it could guard nothing."""
    found = []
    for text in list(texts)[:NAMES_MAX]:
        try:
            pattern = parse_pattern(text)
        except LocalError:
            continue
        if isinstance(pattern, NamePattern):
            found.append(pattern)
    return tuple(found)


class NameGuard:
    """The names that strict DNS keeps on this host. Not ``strict``: guards nothing; after a change ``keep`` says what."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.patterns: frozenset[NamePattern] = frozenset()
        self.searches: tuple[str, ...] = ()
        self._exact: frozenset[str] = frozenset()
        self._suffixes: frozenset[str] = frozenset()

    def keep(self, patterns: Iterable[NamePattern]) -> None:
        """Guards exactly these from here on."""
        self.patterns = frozenset(patterns) if self.strict else frozenset()
        self._exact = frozenset(str(pattern) for pattern in self.patterns if not pattern.wildcard)
        self._suffixes = frozenset(str(pattern)[2:] for pattern in self.patterns if pattern.wildcard)

    def search(self, domains: Iterable[str]) -> bool:
        """Takes the host's search domains (lower case, no trailing dot); True when they are others than before."""
        before, self.searches = self.searches, tuple(domains)
        return self.searches != before

    def covers_searched(self, name: str) -> bool:
        """Tells whether ``name`` is a guarded one, or one of ours by its network, with a search domain behind it."""
        return any(self._covers_below(name, search) for search in self.searches) if self.strict else False

    def covers(self, name: str) -> bool:
        """Tells whether ``name`` (lower case, no trailing dot), or the host that it is a service of, is guarded."""
        if not self.patterns:
            return False
        if name in self._exact or service_owner(name) in self._exact:
            return True
        dot = name.find(".")
        while dot >= 0:
            if name[dot + 1 :] in self._suffixes:
                return True
            dot = name.find(".", dot + 1)
        return False

    def domains(self) -> tuple[str, ...]:
        """The guarded names and suffixes, for split DNS."""
        return tuple(sorted(self._exact | self._suffixes))

    def searched(self, domains: Iterable[str]) -> tuple[str, ...]:
        """Returns ``domains`` and the guarded ones with each search domain behind them, for split DNS."""
        if not self.strict:
            return ()
        bases = {*domains, *self.domains(), SUFFIX}
        made_up = (f"{base}.{search}" for search in self.searches for base in bases)
        return tuple(name for name in sorted(made_up) if is_canonical_name(name))

    def _covers_below(self, name: str, search: str) -> bool:
        if not name.endswith("." + search):
            return False
        base = name[: -len(search) - 1]
        return self.covers(base) or is_network_name(base)
