"""What leaves this host in a report is read by strangers: secrets go, people and addresses become numbers. Pure.

The same thing always becomes the same number within one report, so that what belongs together can still be seen.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from protocol.acl.model import IPAddress
from protocol.acl.names import is_address

REMOVED: Final = "[secret removed]"

_SECRET: Final = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # a compact JWS
    r"|otk_[A-Za-z0-9_-]{4,}"  # an enrolment token
    r"|ost_(?:api_)?[A-Za-z0-9_-]{16,}"  # a session's or an API token's secret
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?i:bearer|basic) [A-Za-z0-9._~+/=-]{8,}"
    r"|user_code=[A-Za-z0-9-]+"
    r"|(?:(?<=://)|(?<=upstream_proxy = ))[^/\s\"']+(?=@)",  # a login in a URL, whose password may hold an @
    re.DOTALL,
)
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_MAC: Final = re.compile(
    r"\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b"
    r"|(?<=\benx)[0-9a-f]{12}\b"  # an interface that is named after its own
)
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]\d)")
_IPV6: Final = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{3,39}(?![\w:])")
_SOLICITED_NODE: Final = ipaddress.IPv6Network("ff02::1:ff00:0/104")
_NAME_MIN: Final = 3
"""Shorter names would be found inside other words."""


class Redactor:
    """Takes out what does not belong into a report, and counts it.

    Args:
        names: names that are replaced wherever they stand (people, resources, networks, hosts).
        private_addresses: replace addresses of private networks, too. Only loopback, unspecified and multicast always stay.
    """

    def __init__(self, names: Iterable[tuple[str, str]] = (), *, private_addresses: bool = False) -> None:
        self._private = private_addresses
        self._numbers: dict[tuple[str, str], int] = {}
        self.counts: Counter[str] = Counter()
        # The longest first: `db.corp.internal` before `corp.internal`.
        known = {name: kind for kind, name in names if len(name) >= _NAME_MIN}
        longest = sorted(known, key=len, reverse=True)
        pattern = "|".join(re.escape(name) for name in longest)
        self._pattern = re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE) if longest else None
        self._folded = {name.casefold(): kind for name, kind in known.items()}

    def clean(self, text: str) -> str:
        """Returns ``text`` without secrets and with numbers in the place of people and addresses."""
        text = _SECRET.sub(self._secret, text)
        text = _EMAIL.sub(lambda match: self._number("user", match[0].casefold()), text)
        text = _MAC.sub(lambda match: self._number("mac", match[0].casefold().replace(":", "")), text)
        if self._pattern is not None:
            text = self._pattern.sub(lambda m: self._number(self._folded[m[0].casefold()], m[0].casefold()), text)
        text = _IPV4.sub(self._address, text)
        return _IPV6.sub(self._address, text)

    def clean_within(self, value: object) -> object:
        """Returns a JSON value with its texts and keys cleaned: escaped within JSON, they would not be found."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, Mapping):
            return {self.clean(str(key)): self.clean_within(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean_within(item) for item in value]
        return value

    def _secret(self, _match: re.Match[str]) -> str:
        self.counts["secret"] += 1
        return REMOVED

    def _address(self, match: re.Match[str]) -> str:
        try:
            address = ipaddress.ip_address(match[0])
        except ValueError:
            return match[0]
        if not _tells_mac(address):
            stays = address.is_loopback or address.is_unspecified or address.is_multicast
            if stays or (not address.is_global and not self._private):
                return match[0]
        return self._number("address", str(address))

    def _number(self, kind: str, value: str) -> str:
        self.counts[kind] += 1
        number = self._numbers.setdefault((kind, value), 1 + sum(known == kind for known, _ in self._numbers))
        return f"{kind}-{number}"


def names_in(status: Mapping[str, object], resources: Mapping[str, object], hostname: str) -> list[tuple[str, str]]:
    """Returns kind and text of the names that the daemon's answers hold."""
    found = [("user", str(status.get("user") or "")), ("host", hostname)]
    for member, kinds in (("networks", ("network", "connector")), ("tunnels", ("network", "connector"))):
        for item in _objects(status, member):
            found += [(kind, str(item.get(f"{kind}_name") or "")) for kind in kinds]
            found.append(("relay", str(item.get("relay_name") or "")))
    for item in _objects(resources, "resources"):
        address = str(item.get("address") or "").removeprefix("*.")
        found += [("resource", str(item.get("name") or "")), ("network", str(item.get("network_name") or ""))]
        if "/" not in address and not is_address(address):
            found.append(("name", address))
    return [(kind, name) for kind, name in found if name]


def names_in_forwards(forwards: Iterable[str]) -> list[tuple[str, str]]:
    """Returns the same of the setting ``forwards``, each ``PORT=HOST:PORT``."""
    hosts = [entry.partition("=")[2].rpartition(":")[0] for entry in forwards]
    return [("name", host) for host in hosts if host and not is_address(host.removeprefix("[").removesuffix("]"))]


def _tells_mac(address: IPAddress) -> bool:
    """Tells whether a hardware address may be in it: link-local, made from an EUI-64 (RFC 4291), or such a one's multicast."""
    if not isinstance(address, ipaddress.IPv6Address):
        return False
    return address.is_link_local or (int(address) >> 24) & 0xFFFF == 0xFFFE or address in _SOLICITED_NODE


def _objects(body: Mapping[str, object], member: str) -> list[Mapping[str, object]]:
    value = body.get(member)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
