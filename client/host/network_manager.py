"""Making NetworkManager name our server, over D-Bus, where it writes ``/etc/resolv.conf`` itself.

Its *global DNS configuration* replaces what the connections say, so all questions come to us; their own servers stay
readable, and are where questions go that are not ours. NetworkManager keeps the global configuration on disk: the one that
was there before is in the journal.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from dbus_fast import Variant

from client.host import NETWORK_MANAGER_CHANGE, resolv_conf
from client.host.journal import Change, Journal
from client.host.system_bus import SystemBus
from client.host.upstream import SERVERS_MAX, search_domains
from protocol.acl.model import IPAddress
from protocol.errors import LocalError
from protocol.reasons import Reason

SERVICE: Final = "org.freedesktop.NetworkManager"
CHANGE: Final = NETWORK_MANAGER_CHANGE
WRITES: Final = ("file", "symlink")
"""Its ``rc-manager`` values with which resolv.conf is its own work."""
MODES: Final = ("default", "dnsmasq", "unbound")
"""Its ``dns`` values with which the global configuration means anything."""
_PATH: Final = "/org/freedesktop/NetworkManager"
_DNS_PATH: Final = "/org/freedesktop/NetworkManager/DnsManager"
_DNS: Final = "org.freedesktop.NetworkManager.DnsManager"
_GLOBAL: Final = "GlobalDnsConfiguration"
_ALL: Final = "*"


def serves(bus: SystemBus) -> bool:
    """Tells whether NetworkManager runs, and decides over resolv.conf. Raises nothing."""
    if not bus.has_owner(SERVICE):
        return False
    try:
        return (
            bus.get(SERVICE, _DNS_PATH, _DNS, "RcManager") in WRITES
            and bus.get(SERVICE, _DNS_PATH, _DNS, "Mode") in MODES
        )
    except LocalError:
        return False


class NetworkManager:
    """See ``resolver_settings.ResolverSettings``."""

    name = "NetworkManager"
    splits = False

    def __init__(
        self,
        journal: Journal,
        servers: Sequence[IPAddress],
        *,
        bus: SystemBus | None = None,
        path: Path = resolv_conf.RESOLV_CONF,
    ) -> None:
        self.explanation = "NetworkManager writes /etc/resolv.conf"
        self._journal = journal
        self._servers = tuple(str(server) for server in servers)
        self.server = self._servers[0]
        self._bus = bus or SystemBus()
        self._path = path
        # With strict DNS an earlier run's settings are still in force, and its change holds the original.
        self._change: Change | None = next((each for each in journal.pending if each.kind == CHANGE), None)
        self._searches: tuple[str, ...] = ()

    def apply(self, domains: Iterable[str]) -> None:
        """See ResolverSettings."""
        current = self._global()
        if self._change is None:
            self._change = self._journal.record(CHANGE, {"before": current, "servers": list(self._servers)})
        self._write()

    def update(self, domains: Iterable[str]) -> None:
        """See ResolverSettings; nothing depends on the names here."""

    def repair(self) -> bool:
        """See ResolverSettings. Search domains follow the connections."""
        if self._change is None or (self._names_us(self._global()) and self._found_searches() == self._searches):
            return False
        self._write()
        return True

    def upstreams(self) -> tuple[str, ...]:
        """See ResolverSettings: what the connections themselves say, the preferred ones first."""
        found = [str(server) for item in self._connections() for server in item.get("nameservers", ())]
        return tuple(server for server in dict.fromkeys(found) if server not in self._servers)[:SERVERS_MAX]

    def searches(self) -> tuple[str, ...]:
        """See ResolverSettings: what it wrote, and what it will."""
        return tuple(dict.fromkeys((*resolv_conf.searches(self._path), *search_domains(self._found_searches()))))

    def restore(self) -> None:
        """See ResolverSettings."""
        if self._change is not None:
            undo(self._change.data, self._bus)
            self._journal.done(self._change)
            self._change = None

    def asked(self) -> str:
        """See ResolverSettings."""
        return self.server

    def _write(self) -> None:
        self._searches = self._found_searches()
        wanted: dict[str, Any] = {"domains": {_ALL: {"servers": list(self._servers)}}}
        if self._searches:
            wanted["searches"] = list(self._searches)
        _set(self._bus, wanted)

    def _global(self) -> dict[str, Any]:
        value = self._bus.get(SERVICE, _PATH, SERVICE, _GLOBAL)
        return value if isinstance(value, dict) else {}

    def _names_us(self, value: Mapping[str, Any]) -> bool:
        return bool(value.get("domains", {}).get(_ALL, {}).get("servers") == list(self._servers))

    def _connections(self) -> list[dict[str, Any]]:
        found = self._bus.get(SERVICE, _DNS_PATH, _DNS, "Configuration")
        return sorted((item for item in found if item.get("interface")), key=lambda item: int(item.get("priority", 0)))

    def _found_searches(self) -> tuple[str, ...]:
        domains = (str(domain) for item in self._connections() for domain in item.get("domains", ()))
        return tuple(dict.fromkeys(domain for domain in domains if not domain.startswith("~")))


def undo(data: Mapping[str, object], bus: SystemBus | None = None) -> None:
    """Gives the global configuration back (journal kind ``network_manager``), if it is still ours. LocalError."""
    bus = bus or SystemBus()
    if not bus.has_owner(SERVICE):
        raise LocalError(Reason.DNS_SETUP_FAILED, "NetworkManager does not run: start it and try again")
    current = bus.get(SERVICE, _PATH, SERVICE, _GLOBAL)
    ours = current.get("domains", {}).get(_ALL, {}).get("servers") if isinstance(current, dict) else None
    before = data.get("before")
    if ours is not None and ours == data.get("servers"):
        _set(bus, before if isinstance(before, dict) else {})


def _set(bus: SystemBus, value: Mapping[str, Any]) -> None:
    """Takes what ``plain`` made of the property."""
    body: dict[str, Variant] = {}
    for key in ("searches", "options"):
        if value.get(key):
            body[key] = Variant("as", list(value[key]))
    domains = {
        domain: Variant("a{sv}", {key: Variant("as", list(items)) for key, items in settings.items()})
        for domain, settings in dict(value.get("domains") or {}).items()
    }
    if domains:
        body["domains"] = Variant("a{sv}", domains)
    bus.set(SERVICE, _PATH, SERVICE, _GLOBAL, Variant("a{sv}", body))
