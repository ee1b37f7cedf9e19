"""Links, addresses, routes and rules over netlink (``pyroute2``), synchronously; no external program (T-59).

Everything is idempotent: what is there already, or gone already, is no error. ``network.HostNetwork`` calls this from a
thread of its own, because the library runs an event loop inside each call.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from client.host import ROUTING_TABLE, RULE_PRIORITY, SOCKET_MARK
from protocol.acl.model import IPAddress, IPNetwork
from protocol.errors import LocalError
from protocol.reasons import Reason

_RULE_INVERT: Final = 0x2
"""FIB_RULE_INVERT: the rule holds for packets that do *not* carry the mark."""
_TABLE_LOCAL: Final = 255
_RTN_UNICAST: Final = 1
_RTN_LOCAL: Final = 2
_RTN_UNREACHABLE: Final = 7
_ADDRESS_NODAD: Final = 0x02
_ADDRESS_NOPREFIXROUTE: Final = 0x200
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_IGNORED_V6: Final = ipaddress.ip_network("ff00::/8")


class Netlink:
    """One netlink socket; a context manager. All methods raise LocalError."""

    def __init__(self) -> None:
        self._ip: Any = IPRoute()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the socket."""
        self._ip.close()

    def add_address(self, index: int, address: IPAddress) -> None:
        """Gives the device a single address; no route comes with it, and no duplicate address detection."""
        with _reported(f"address {address}", errno.EEXIST):
            self._ip.addr(
                "add",
                index=index,
                address=str(address),
                prefixlen=address.max_prefixlen,
                family=_FAMILIES[address.version],
                flags=_ADDRESS_NOPREFIXROUTE | (_ADDRESS_NODAD if address.version == 6 else 0),
            )

    def add_route(self, network: IPNetwork, index: int, source: IPAddress) -> None:
        """Routes ``network`` into the device, in our own table."""
        with _reported(f"route {network}"):
            self._ip.route(
                "replace",
                family=_FAMILIES[network.version],
                dst=str(network),
                oif=index,
                table=ROUTING_TABLE,
                prefsrc=str(source),
            )

    def remove_route(self, network: IPNetwork, index: int) -> None:
        """Takes the route away."""
        with _reported(f"route {network}", errno.ESRCH, errno.ENOENT, errno.ENODEV):
            self._ip.route("del", family=_FAMILIES[network.version], dst=str(network), oif=index, table=ROUTING_TABLE)

    def own_routes(self, version: int) -> frozenset[IPNetwork]:
        """Returns what is routed in our own table."""
        with _reported("routes"):
            routes = list(self._ip.get_routes(family=_FAMILIES[version], table=ROUTING_TABLE))
        found = (_destination(route, version) for route in routes if _table(route) == ROUTING_TABLE)
        return frozenset(network for network in found if network is not None)

    def add_rule(self, version: int) -> None:
        """Makes everything without our mark look into our table before ``main``."""
        if self.has_rule(version):
            return
        with _reported("routing rule", errno.EEXIST):
            self._ip.rule("add", **_rule(version))

    def remove_rule(self, version: int) -> None:
        """Takes the rule away, however often it is there."""
        while self.has_rule(version):
            with _reported("routing rule", errno.ENOENT, errno.ESRCH, errno.EAFNOSUPPORT):
                self._ip.rule("del", **_rule(version))

    def has_rule(self, version: int) -> bool:
        """Tells whether our rule is in force."""
        with _reported("routing rules", errno.EAFNOSUPPORT):
            for rule in self._ip.get_rules(family=_FAMILIES[version]):
                ours = rule.get_attr("FRA_TABLE") == ROUTING_TABLE and rule.get_attr("FRA_PRIORITY") == RULE_PRIORITY
                if ours and rule.get_attr("FRA_FWMARK") == SOCKET_MARK and rule["flags"] & _RULE_INVERT:
                    return True
        return False

    def rules_before_ours(self, version: int) -> tuple[str, ...]:
        """Returns the rules that are asked before ours, as ``ip rule`` shows them; the one for local addresses left out."""
        found = []
        with _reported("routing rules", errno.EAFNOSUPPORT):
            for rule in self._ip.get_rules(family=_FAMILIES[version]):
                priority, table = rule.get_attr("FRA_PRIORITY") or 0, rule.get_attr("FRA_TABLE") or rule["table"]
                if priority < RULE_PRIORITY and table != _TABLE_LOCAL:
                    found.append(f"rule {priority} (table {table})")
        return tuple(found)

    def owners(self) -> dict[IPNetwork, str]:
        """Returns the device of each network that the host has a route to."""
        found: dict[IPNetwork, str] = {}
        names = {}
        with _reported("links"):
            names = {link["index"]: str(link.get_attr("IFLA_IFNAME")) for link in self._ip.get_links()}
        for version, family in _FAMILIES.items():
            with _reported("routes", errno.EAFNOSUPPORT):
                for route in self._ip.get_routes(family=family):
                    network, device = _destination(route, version), names.get(route.get_attr("RTA_OIF"))
                    if network is not None and device is not None and _table(route) != ROUTING_TABLE:
                        found.setdefault(network, device)
        return found

    def in_use(self, but_index: int | None = None) -> tuple[IPNetwork, ...]:
        """Returns every network that the host has an address in or a route to, except through one device or our table."""
        found: set[IPNetwork] = set()
        for version, family in _FAMILIES.items():
            with _reported("routes and addresses", errno.EAFNOSUPPORT):
                for route in self._ip.get_routes(family=family):
                    network = _destination(route, version)
                    foreign = _table(route) != ROUTING_TABLE and route.get_attr("RTA_OIF") != but_index
                    if (
                        network is not None
                        and foreign
                        and route["type"] in (_RTN_UNICAST, _RTN_LOCAL, _RTN_UNREACHABLE)
                    ):
                        found.add(network)
                for item in self._ip.get_addr(family=family):
                    if item["index"] != but_index:
                        text = f"{item.get_attr('IFA_ADDRESS')}/{item['prefixlen']}"
                        found.add(ipaddress.ip_network(text, strict=False))
        return tuple(network for network in sorted(found, key=str) if network.prefixlen and not _ignored(network))


def _rule(version: int) -> dict[str, object]:
    return {
        "family": _FAMILIES[version],
        "table": ROUTING_TABLE,
        "priority": RULE_PRIORITY,
        "fwmark": SOCKET_MARK,
        "fwmask": 0xFFFFFFFF,
        "flags": _RULE_INVERT,
    }


def _table(route: Any) -> int:
    table = route.get_attr("RTA_TABLE")
    return int(route["table"] if table is None else table)


def _destination(route: Any, version: int) -> IPNetwork | None:
    """None for a default route."""
    text = route.get_attr("RTA_DST")
    if text is None:
        return None
    network = ipaddress.ip_network(f"{text}/{route['dst_len']}", strict=False)
    return network if network.version == version else None


def _ignored(network: IPNetwork) -> bool:
    return network.is_loopback or network.is_link_local or (network.version == 6 and network.overlaps(_IGNORED_V6))


@contextmanager
def _reported(what: str, *harmless: int) -> Iterator[None]:
    try:
        yield
    except NetlinkError as exc:
        if exc.code in harmless:
            return
        reason = Reason.NEEDS_ROOT if exc.code == errno.EPERM else Reason.UNAVAILABLE
        raise LocalError(reason, f"{what}: {exc}") from exc
    except OSError as exc:
        raise LocalError(Reason.UNAVAILABLE, f"{what}: {exc}") from exc
