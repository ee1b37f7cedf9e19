"""Making the host ask our resolver: which of the ways there are is chosen, and said (field note a.7).

systemd-resolved   it runs and /etc/resolv.conf is its: split DNS on our link by ``resolvectl`` (which knows D-Bus)
resolv.conf        everything else: all questions come to us, and those that are not ours go on to the old servers
"""

import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

import structlog

from client.core.dns import CANARY
from client.host import resolv_conf
from client.host.journal import Change, Journal
from client.host.resolv_conf import RESOLV_CONF
from client.host.upstream import parse_nameservers
from protocol.acl.model import IPAddress
from protocol.errors import LocalError
from protocol.reasons import Reason

_log = structlog.get_logger(__name__)

RESOLVECTL: Final = "/usr/bin/resolvectl"
_RESOLVED_SOCKET: Final = Path("/run/systemd/resolve/io.systemd.Resolve")
_RESOLVED_UPSTREAMS: Final = Path("/run/systemd/resolve/resolv.conf")
_STUBS: Final = ("127.0.0.53", "127.0.0.54")
_COMMAND_DEADLINE_S: Final = 5.0
_CLEAN_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


class ResolverSettings(Protocol):
    """One way to make the host ask us. All methods block for milliseconds, or for one external command."""

    name: str
    explanation: str
    """Why this way was chosen, for ``status`` and the log."""

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

    def restore(self) -> None:
        """Gives the settings back."""
        ...


class ResolvConf:
    """The ``/etc/resolv.conf`` way."""

    name = "resolv.conf"

    def __init__(
        self, journal: Journal, servers: Sequence[IPAddress], *, path: Path = RESOLV_CONF, explanation: str = ""
    ) -> None:
        self.explanation = explanation or f"{path} names the host's nameservers itself"
        self._journal = journal
        self._servers = tuple(servers)
        self._path = path
        self._change: Change | None = None
        self._original = b""
        self._symlink: Path | None = None

    def apply(self, domains: Iterable[str]) -> None:
        """See ResolverSettings. A file that is ours already, of a run whose journal is lost, is refused."""
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

    def restore(self) -> None:
        """See ResolverSettings."""
        if self._change is not None:
            resolv_conf.undo(self._change.data)
            self._journal.done(self._change)
            self._change = None

    def _take_over(self) -> None:
        original = resolv_conf.read_through(self._path)
        symlink = self._path.parent / self._path.readlink() if self._path.is_symlink() else None
        ours = resolv_conf.rewritten(original, self._servers)
        change = self._journal.record(resolv_conf.CHANGE, resolv_conf.snapshot_of(self._path, ours))
        self._original, self._symlink, self._change = original, symlink, change
        resolv_conf.replace(self._path, ours)


class SystemdResolved:
    """Split DNS by systemd-resolved. Its per-link settings end with the link, so nothing has to be undone."""

    name = "systemd-resolved"

    def __init__(
        self,
        device: str,
        servers: Sequence[IPAddress],
        *,
        resolvectl: Callable[[Sequence[str]], str] | None = None,
        upstream_file: Path = _RESOLVED_UPSTREAMS,
    ) -> None:
        self.explanation = "systemd-resolved runs and /etc/resolv.conf points to it"
        self._device = device
        self._servers = tuple(servers)
        self._resolvectl = resolvectl or run_resolvectl
        self._upstream_file = upstream_file
        self._domains: tuple[str, ...] = ()

    def apply(self, domains: Iterable[str]) -> None:
        """See ResolverSettings. The link needs carrier: the TUN device has to be open and up."""
        self._resolvectl(["dns", self._device, *(str(server) for server in self._servers)])
        self._resolvectl(["default-route", self._device, "false"])
        self._resolvectl(["llmnr", self._device, "false"])
        self.update(domains)

    def update(self, domains: Iterable[str]) -> None:
        """See ResolverSettings. ``~`` makes a domain one for routing only, never for searching.

        The canary comes to us, too, so that browsers keep to the host's resolver (T-54).
        """
        wanted = tuple(sorted({f"~{domain}" for domain in (CANARY, *domains)}))
        if wanted != self._domains:
            self._resolvectl(["domain", self._device, *wanted])
            self._domains = wanted

    def repair(self) -> bool:
        """See ResolverSettings. A restarted resolved has forgotten our link: everything is said again."""
        shown = self._resolvectl(["dns", self._device])
        if all(str(server) in shown for server in self._servers):
            return False
        domains = [domain.removeprefix("~") for domain in self._domains]
        self._domains = ()
        self.apply(domains)
        return True

    def upstreams(self) -> tuple[str, ...]:
        """See ResolverSettings. Questions that are not ours reach us only by accident here."""
        ours = {str(server) for server in self._servers}
        found = parse_nameservers(resolv_conf.read_through(self._upstream_file))
        return tuple(server for server in found if server not in ours)

    def restore(self) -> None:
        """See ResolverSettings."""
        try:
            self._resolvectl(["revert", self._device])
        except LocalError as exc:
            _log.info("resolved settings end with the device", error=str(exc))


def run_resolvectl(arguments: Sequence[str]) -> str:
    """Runs resolvectl by its absolute path with a clean environment (T-59) and returns what it printed.

    Raises:
        LocalError: DNS_SETUP_FAILED with what it said.
    """
    try:
        done = subprocess.run(
            [RESOLVECTL, *arguments],
            env=_CLEAN_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise LocalError(Reason.DNS_SETUP_FAILED, f"{RESOLVECTL} {arguments[0]}: {exc}") from exc
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip()
        raise LocalError(Reason.DNS_SETUP_FAILED, f"{RESOLVECTL} {arguments[0]}: {message}")
    return done.stdout.decode(errors="replace")


def choose_resolver_settings(
    journal: Journal,
    device: str,
    servers: Sequence[IPAddress],
    *,
    path: Path = RESOLV_CONF,
    resolved_socket: Path = _RESOLVED_SOCKET,
) -> ResolverSettings:
    """Returns the way that fits this host; ``name`` and ``explanation`` say which and why. Undo the journal before."""
    named = parse_nameservers(resolv_conf.read_through(path))
    if not set(named) & set(_STUBS):
        return ResolvConf(journal, servers, path=path)
    if not resolved_socket.exists():
        return ResolvConf(journal, servers, path=path, explanation="systemd-resolved is named but does not run")
    if not Path(RESOLVECTL).is_file():
        return ResolvConf(
            journal, servers, path=path, explanation=f"systemd-resolved runs, but there is no {RESOLVECTL}"
        )
    return SystemdResolved(device, servers)
