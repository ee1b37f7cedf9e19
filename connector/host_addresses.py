"""The addresses of this host, read from the kernel's own tables (proc(5)): no privilege and no question to anybody."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protocol.acl.model import IPAddress

_PROC: Final = Path("/proc/net")
_TEMPORARY: Final = 0x01
_DAD_FAILED: Final = 0x08
_DEPRECATED: Final = 0x20
_TENTATIVE: Final = 0x40
_UNFIT: Final = _TEMPORARY | _DAD_FAILED | _DEPRECATED | _TENTATIVE
"""Flags (linux/if_addr.h) of an address that is not there for others, or not for long (RFC 8981)."""
_GLOBAL_SCOPE: Final = "00"


def own_addresses(version: int, proc: Path = _PROC) -> tuple[IPAddress, ...]:
    """Returns the addresses on which a wildcard socket of ``version`` (4 or 6) hears others, sorted; empty when unreadable."""
    try:
        if version == 6:
            return tuple(sorted(set(_parse_if_inet6((proc / "if_inet6").read_text("ascii")))))
        return tuple(sorted(set(_parse_fib_trie((proc / "fib_trie").read_text("ascii")))))
    except (OSError, ValueError):
        return ()


def _parse_fib_trie(text: str) -> Iterator[ipaddress.IPv4Address]:
    """Local addresses: a leaf ``|-- 10.0.0.5`` with ``/32 host LOCAL`` below it."""
    leaf = ""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "|--":
            leaf = words[1]
        elif words[:3] == ["/32", "host", "LOCAL"] and not ipaddress.IPv4Address(leaf).is_loopback:
            yield ipaddress.IPv4Address(leaf)


def _parse_if_inet6(text: str) -> Iterator[ipaddress.IPv6Address]:
    """One line for each address: 32 digits, interface, prefix length, scope, flags, all hexadecimal, then the name."""
    for line in text.splitlines():
        digits, _, _, scope, flags, *_ = line.split()
        if scope == _GLOBAL_SCOPE and not int(flags, 16) & _UNFIT:
            yield ipaddress.IPv6Address(int(digits, 16))
