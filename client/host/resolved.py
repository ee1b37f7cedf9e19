"""Split DNS by systemd-resolved over D-Bus: our server and our domains belong to a link, everything else stays as it is.

Usually the link is the TUN device, and the settings end with it. With strict DNS it is a link of its own that outlives the
daemon (``guard_link``): then questions about our domains still come to our address, and nobody answers there (T-55).
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from client.core.dns import CANARY
from client.host import resolv_conf
from client.host.system_bus import SystemBus
from client.host.upstream import parse_nameservers, search_domains
from protocol.acl.model import IPAddress
from protocol.errors import LocalError

_log = structlog.get_logger(__name__)

SERVICE: Final = "org.freedesktop.resolve1"
STUB: Final = "127.0.0.53"
STUBS: Final = (STUB, "127.0.0.54")
_MANAGER_PATH: Final = "/org/freedesktop/resolve1"
_MANAGER: Final = "org.freedesktop.resolve1.Manager"
_LINK: Final = "org.freedesktop.resolve1.Link"
_UPSTREAMS: Final = Path("/run/systemd/resolve/resolv.conf")
_FAMILIES: Final = {4: 2, 6: 10}


class SystemdResolved:
    """See ``resolver_settings.ResolverSettings``.

    Args:
        link: returns the index of the link; makes it first, where it is the guard's.
        unlink: takes the guard's link away again.
    """

    name = "systemd-resolved"
    splits = True

    def __init__(
        self,
        link: Callable[[], int],
        servers: Sequence[IPAddress],
        *,
        bus: SystemBus | None = None,
        unlink: Callable[[], None] | None = None,
        upstream_file: Path = _UPSTREAMS,
        path: Path = resolv_conf.RESOLV_CONF,
    ) -> None:
        self.explanation = "systemd-resolved runs and /etc/resolv.conf points to it"
        self._link = link
        self._unlink = unlink
        self._servers = tuple(servers)
        self.server = str(servers[0])
        self._bus = bus or SystemBus()
        self._upstream_file = upstream_file
        self._path = path
        self._domains: tuple[str, ...] | None = None

    def apply(self, domains: Iterable[str]) -> None:
        """See ResolverSettings. The link needs carrier: the device has to be open and up."""
        index = self._link()
        servers = [[_FAMILIES[server.version], server.packed] for server in self._servers]
        self._manage("SetLinkDNS", "ia(iay)", [index, servers])
        self._manage("SetLinkDefaultRoute", "ib", [index, False])
        for member in ("SetLinkLLMNR", "SetLinkMulticastDNS", "SetLinkDNSOverTLS", "SetLinkDNSSEC"):
            # The way from the stub to us never leaves the host, and our answers are of our own making.
            self._manage(member, "is", [index, "no"])
        self._domains = None
        self.update(domains)

    def update(self, domains: Iterable[str]) -> None:
        """See ResolverSettings. Domains for routing only, never for searching.

        The canary comes to us, too, so that browsers keep to the host's resolver (T-54).
        """
        wanted = tuple(sorted({CANARY, *domains}))
        if wanted == self._domains:
            return
        self._manage("SetLinkDomains", "ia(sb)", [self._link(), [[domain, True] for domain in wanted]])
        self._domains = wanted
        # What was answered before the names were ours may be wrong now, NXDOMAIN above all.
        self._manage("FlushCaches")

    def repair(self) -> bool:
        """See ResolverSettings. Somebody may have restarted resolved, or reverted our link: everything is said again."""
        if self._domains is None or self._in_force():
            return False
        self.apply([domain for domain in self._domains if domain != CANARY])
        return True

    def upstreams(self) -> tuple[str, ...]:
        """See ResolverSettings. Questions that are not ours reach us only where a domain of ours covers more than it."""
        ours = {str(server) for server in self._servers}
        found = parse_nameservers(resolv_conf.read_through(self._upstream_file))
        return tuple(server for server in found if server not in ours)

    def searches(self) -> tuple[str, ...]:
        """See ResolverSettings: what the C library reads, and what resolved has of all links, which it may read next."""
        known = self._bus.get(SERVICE, _MANAGER_PATH, _MANAGER, "Domains")
        theirs = search_domains(str(domain) for _, domain, routing_only in known if not routing_only)
        return tuple(dict.fromkeys((*resolv_conf.searches(self._path), *theirs)))

    def restore(self) -> None:
        """See ResolverSettings."""
        try:
            self._manage("RevertLink", "i", [self._link()])
            self._manage("FlushCaches")
        except LocalError as exc:
            _log.info("resolved settings end with the link", error=str(exc))
        if self._unlink is not None:
            self._unlink()

    def asked(self) -> str:
        """See ResolverSettings."""
        return STUB

    def _in_force(self) -> bool:
        (path,) = self._manage("GetLink", "i", [self._link()])
        servers = {bytes(address) for _, address in self._bus.get(SERVICE, path, _LINK, "DNS")}
        domains = {str(domain) for domain, routing in self._bus.get(SERVICE, path, _LINK, "Domains") if routing}
        wanted = {server.packed for server in self._servers}
        return wanted == servers and domains == set(self._domains or ())

    def _manage(self, member: str, signature: str = "", body: list[Any] | None = None) -> list[Any]:
        return self._bus.call(SERVICE, _MANAGER_PATH, _MANAGER, member, signature, body)
