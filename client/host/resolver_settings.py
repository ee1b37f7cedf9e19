"""Making the host ask our resolver: which of the ways there are is chosen, and said (field note a.7).

systemd-resolved   it runs and /etc/resolv.conf names its stub: only our domains come to us
NetworkManager     it runs and writes /etc/resolv.conf: its global DNS configuration names us
resolvconf         it made /etc/resolv.conf: we are its first record
resolv.conf        everything else: the file itself, with a backup

With all but the first every question comes to us, and those that are not ours go on to the host's own servers.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from client.host import network_manager, resolv_conf, resolvconf, resolved
from client.host.guard_link import GUARD_SERVER, GuardLink
from client.host.journal import Change, Journal
from client.host.network_manager import NetworkManager
from client.host.resolv_conf import RESOLV_CONF
from client.host.resolvconf import Resolvconf
from client.host.resolved import SystemdResolved
from client.host.system_bus import SystemBus
from client.host.tun import TunDevice
from client.host.upstream import parse_nameservers
from protocol.acl.model import IPAddress
from protocol.errors import LocalError
from protocol.reasons import Reason


class ResolverSettings(Protocol):
    """One way to make the host ask us. All methods block for milliseconds, or for one external command."""

    name: str
    explanation: str
    """Why this way was chosen, for ``status`` and the log."""
    splits: bool
    """Whether only questions about our domains come to us; else all do."""
    server: str
    """Where the host's resolver finds us."""

    def apply(self, domains: Iterable[str]) -> None:
        """Makes the host ask us; ``domains`` are the names and wildcard suffixes of the resources. LocalError."""
        ...

    def update(self, domains: Iterable[str]) -> None:
        """The resources have changed."""
        ...

    def repair(self) -> bool:
        """Puts our settings back if somebody else replaced them; True if so. Call every few seconds."""
        ...

    def upstreams(self) -> tuple[str, ...]:
        """Returns the host's own nameservers, for what is not ours."""
        ...

    def searches(self) -> tuple[str, ...]:
        """Returns the domains that this host's programs put behind names (T-55)."""
        ...

    def restore(self) -> None:
        """Gives the settings back."""
        ...

    def asked(self) -> str:
        """Returns the address that the host's programs ask, for ``doctor``."""
        ...


class ResolvConf:
    """The ``/etc/resolv.conf`` way."""

    name = "resolv.conf"
    splits = False

    def __init__(
        self, journal: Journal, servers: Sequence[IPAddress], *, path: Path = RESOLV_CONF, explanation: str = ""
    ) -> None:
        self.explanation = explanation or f"{path} names the host's nameservers itself"
        self._journal = journal
        self._servers = tuple(servers)
        self.server = str(servers[0])
        self._path = path
        self._change: Change | None = None
        self._original = b""
        self._symlink: Path | None = None
        self._adopt()

    def apply(self, domains: Iterable[str]) -> None:
        """See ResolverSettings. A file that is ours already, of a run whose journal is lost, is refused."""
        if self._change is not None:
            self.repair()
            return
        if resolv_conf.is_ours(self._path):
            detail = (
                f"{self._path} is ours, but the journal with its original is gone; write the host's nameservers into it"
            )
            raise LocalError(Reason.DNS_SETUP_FAILED, detail)
        self._take_over()

    def update(self, domains: Iterable[str]) -> None:
        """See ResolverSettings; nothing depends on the names here."""

    def repair(self) -> bool:
        """See ResolverSettings. What somebody wrote meanwhile becomes the original to give back."""
        if self._change is None or resolv_conf.is_ours(self._path):
            return False
        stale = self._change
        self._take_over()
        self._journal.done(stale)
        return True

    def upstreams(self) -> tuple[str, ...]:
        """See ResolverSettings. Behind a symlink the target is asked anew, since a DHCP client keeps it current."""
        if self._change is None:
            original = resolv_conf.read_through(self._path)
        elif self._symlink is not None:
            original = resolv_conf.read_through(self._symlink)
        else:
            original = self._original
        ours = {str(server) for server in self._servers}
        return tuple(server for server in parse_nameservers(original) if server not in ours)

    def searches(self) -> tuple[str, ...]:
        """See ResolverSettings."""
        return resolv_conf.searches(self._path)

    def restore(self) -> None:
        """See ResolverSettings."""
        if self._change is not None:
            resolv_conf.undo(self._change.data)
            self._journal.done(self._change)
            self._change = None

    def asked(self) -> str:
        """See ResolverSettings."""
        return next(iter(parse_nameservers(resolv_conf.read_through(self._path))), "")

    def _adopt(self) -> None:
        """With strict DNS an earlier run's file is still in force, and the journal holds what was there before."""
        changes = [each for each in self._journal.pending if each.kind == resolv_conf.CHANGE]
        found = next((each for each in reversed(changes) if each.data.get("path") == str(self._path)), None)
        if found is not None:
            self._change = found
            self._original = resolv_conf.original_of(found.data)
            self._symlink = resolv_conf.target_of(found.data)

    def _take_over(self) -> None:
        original = resolv_conf.read_through(self._path)
        symlink = self._path.parent / self._path.readlink() if self._path.is_symlink() else None
        ours = resolv_conf.rewritten(original, self._servers)
        change = self._journal.record(resolv_conf.CHANGE, resolv_conf.snapshot_of(self._path, ours))
        self._original, self._symlink, self._change = original, symlink, change
        resolv_conf.replace(self._path, ours)


def choose_resolver_settings(
    journal: Journal,
    device: TunDevice,
    servers: Sequence[IPAddress],
    *,
    strict: bool = False,
    path: Path = RESOLV_CONF,
    bus: SystemBus | None = None,
) -> ResolverSettings:
    """Returns the way that fits this host; ``name`` and ``explanation`` say which and why. Undo the journal before.

    ``strict``: what is set has to outlive the daemon; an earlier run's settings, which the journal holds, are gone on with.
    """
    bus = bus or SystemBus()
    taken = {change.kind for change in journal.pending}
    content = resolv_conf.read_through(path)
    if resolv_conf.CHANGE in taken:
        return ResolvConf(journal, servers, path=path)
    if set(parse_nameservers(content)) & set(resolved.STUBS):
        if not bus.has_owner(resolved.SERVICE):
            return ResolvConf(journal, servers, path=path, explanation="systemd-resolved is named but does not run")
        if not strict:
            return SystemdResolved(lambda: device.index, servers, bus=bus, path=path)
        guard = GuardLink(journal)
        return SystemdResolved(guard.index, servers, bus=bus, unlink=guard.remove, path=path)
    if network_manager.CHANGE in taken or (b"NetworkManager" in content and network_manager.serves(bus)):
        return NetworkManager(journal, servers, bus=bus, path=path)
    if resolvconf.CHANGE in taken or resolvconf.serves(content):
        return Resolvconf(journal, [GUARD_SERVER], path=path)
    return ResolvConf(journal, servers, path=path)
