"""Addresses at which a connector may be reached without a relay (C5, C11).

They travel unsigned, because nothing rests on them: whoever answers there must hold a key with one of the pins of the
signed authorisation. They are address literals, never names, so that no resolver has a say and nothing is asked of one.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protocol.acl.model import IPAddress
from protocol.address_kinds import faces_of, forbidden_kind
from protocol.errors import RemoteProtocolError
from protocol.limits import DIRECT_ADDRESSES_MAX, DIRECT_TEXT_MAX

_PORT_DIGITS: Final = 5


@dataclass(frozen=True, slots=True)
class DirectAddress:
    """One address and TCP port; ``str`` gives its form on the wire."""

    address: IPAddress
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


def parse_direct_untrusted(text: str) -> DirectAddress:
    """Returns the address in ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``.

    Raises:
        RemoteProtocolError: another form, or an address that means the reader's own host or link (T-33).
    """
    if len(text) > DIRECT_TEXT_MAX or "%" in text:
        raise RemoteProtocolError("a direct address is ADDRESS:PORT")
    try:
        address, port = parse_endpoint(text)
    except ValueError as exc:
        raise RemoteProtocolError("a direct address is ADDRESS:PORT") from exc
    if port == 0:
        raise RemoteProtocolError("a direct address has a port from 1 to 65535")
    if not may_be_direct(address):
        raise RemoteProtocolError("a direct address leads to another host")
    return DirectAddress(address, port)


def parse_endpoint(text: str) -> tuple[IPAddress, int]:
    """Returns any address and port, 0 among them, in ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``. Raises ValueError."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    number = int(port) if len(port) <= _PORT_DIGITS and port.isascii() and port.isdigit() else -1
    if bracketed != (address.version == 6) or not 0 <= number <= 65535:
        raise ValueError("not ADDRESS:PORT")
    return address, number


def parse_all_untrusted(texts: Iterable[str]) -> tuple[DirectAddress, ...]:
    """Returns the first DIRECT_ADDRESSES_MAX addresses that can be read, each once; one that cannot is left out."""
    found: dict[DirectAddress, None] = {}
    for text in texts:
        if len(found) == DIRECT_ADDRESSES_MAX:
            break
        try:
            found[parse_direct_untrusted(text)] = None
        except RemoteProtocolError:
            continue
    return tuple(found)


def may_be_direct(address: IPAddress) -> bool:
    """Whether ``address`` can lead to a connector on another host: never the reader's own host, its link, or a group.

    An IPv4 address has one form here, and IPv6 is not the one.
    """
    if address.version == 6 and address.ipv4_mapped is not None:
        return False
    return all(forbidden_kind(face) is None for face in faces_of(address))
