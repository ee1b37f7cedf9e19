"""Names for addresses *in* a remote network: ``10-20-0-10.office.net.ostiary.internal``.

Two remote networks may use the same addresses; every small office is 192.168.1.0/24. An address alone then means the one of
them that `ostiary explain` names. With the network's name behind it, it means the address there, however many networks have it.
The name is answered on this host with a synthetic address and never leaves it; the connector is told the address itself, and
decides about that (C19). ``.internal`` is reserved for private use and delegated to nobody.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

from protocol.acl.model import IPAddress
from protocol.acl.names import unmapped
from protocol.ids import NetworkId

SUFFIX: Final = "net.ostiary.internal"
_NOT_IN_A_LABEL: Final = re.compile(r"[^a-z0-9]+")
_LABEL_MAX: Final = 63
_ID_MARK: Final = "net-"


class NetworkNames:
    """The remote networks by the labels that stand for them. Immutable.

    Args:
        networks: their names by id, as the snapshot has them.
    """

    def __init__(self, networks: Mapping[NetworkId, str] | None = None) -> None:
        found: dict[str, list[NetworkId]] = {}
        for network, name in sorted((networks or {}).items()):
            found.setdefault(label_of(name), []).append(network)
        # A label that two networks could claim stands for neither; ids always work.
        self._by_label: dict[str, NetworkId] = {
            label: network for label, (network, *others) in found.items() if label and not others
        }
        self._labels: Final = {network: label for label, network in self._by_label.items()}
        for network in networks or {}:
            self._by_label[_id_label(network)] = network

    def name_of(self, address: IPAddress, network: NetworkId) -> str:
        """Returns the name of ``address`` in ``network``."""
        text = address.exploded.replace(":", "-") if address.version == 6 else str(address).replace(".", "-")
        return f"{text}.{self._labels.get(network) or _id_label(network)}.{SUFFIX}"

    def parse(self, name: str) -> tuple[IPAddress, NetworkId] | None:
        """Returns what a canonical name stands for; None when it is none of these, or names no network of ours.

        IPv4 addresses may be written with dashes or dots, IPv6 ones with dashes for colons.
        """
        if not is_network_name(name):
            return None
        text, _, label = name.removesuffix("." + SUFFIX).rpartition(".")
        network = self._by_label.get(label)
        address = _address(text)
        return None if network is None or address is None else (address, network)


def is_network_name(name: str) -> bool:
    """Tells whether a name lies below SUFFIX; all of these are answered on this host."""
    return name == SUFFIX or name.endswith("." + SUFFIX)


def label_of(name: str) -> str:
    """Returns a network's name as one DNS label: lower case, whatever is no letter or digit becomes one dash."""
    return _NOT_IN_A_LABEL.sub("-", name.lower()).strip("-")[:_LABEL_MAX].rstrip("-")


def _id_label(network: NetworkId) -> str:
    """Names are compared without case and ids are not, so the id's bytes are written as hexadecimal digits."""
    return _ID_MARK + str(network).partition("_")[2].encode().hex()[: _LABEL_MAX - len(_ID_MARK)]


def _address(text: str) -> IPAddress | None:
    dashes = text.count("-")
    if "." in text:
        if dashes:
            return None
        written = text
    else:
        written = text.replace("-", "." if dashes == 3 and _is_decimal(text) else ":")
    try:
        return unmapped(ipaddress.ip_address(written))
    except ValueError:
        return None


def _is_decimal(text: str) -> bool:
    return all(part.isdigit() for part in text.split("-"))
