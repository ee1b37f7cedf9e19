"""Linux's tables of routes in `/proc/net`, which hold addresses as bare hexadecimal, in the form in which people write them. Pure.

A line that has another shape is left out: what cannot be read cannot be cleaned for a report.
"""

import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address


def readable_routes(text: str) -> str:
    """Returns `/proc/net/route` with an address in each place that holds one."""
    return _lines(text, _route)


def readable_ipv6_routes(text: str) -> str:
    """Returns `/proc/net/ipv6_route` likewise."""
    return _lines(text, _ipv6_route)


def _lines(text: str, read: Callable[[list[str]], str]) -> str:
    found = []
    for line in text.splitlines():
        try:
            found.append(read(line.split()) + "\n")
        except ValueError:
            continue
    return "".join(found)


def _route(words: list[str]) -> str:
    device, destination, gateway, flags, _, _, metric, mask, *_ = words
    length = int(mask, 16).bit_count()
    return (
        f"{device} {_ipv4(destination)}/{length} via {_ipv4(gateway)} metric {int(metric)} flags {int(flags, 16):04X}"
    )


def _ipv6_route(words: list[str]) -> str:
    destination, length, _, _, gateway, metric, _, _, flags, device = words
    return (
        f"{device} {_ipv6(destination)}/{int(length, 16)} via {_ipv6(gateway)} "
        f"metric {int(metric, 16)} flags {int(flags, 16):08X}"
    )


def _ipv4(word: str) -> IPv4Address:
    """The kernel prints the number as it lies in its memory."""
    return IPv4Address(int(word, 16).to_bytes(4, sys.byteorder) if len(word) == 8 else word)


def _ipv6(word: str) -> IPv6Address:
    return IPv6Address(bytes.fromhex(word))
