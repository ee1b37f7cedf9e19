"""Whether routes or rules have changed since somebody looked: the kernel's own dump, compared without reading it (T-52).

To parse a dump in Python takes milliseconds, to compare it takes microseconds, and a daemon looks every few seconds for
months. A route whose dump holds a countdown (IPv6 by router advertisement) only makes the comparison useless, not wrong.
"""

import hashlib
import socket
import struct
from typing import Final

_HEADER: Final = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence, port (linux/netlink.h)."""
_RTMSG: Final = struct.Struct("=BBBBBBBBI")
"""rtmsg and fib_rule_hdr have one size and begin with the family (linux/rtnetlink.h, linux/fib_rules.h)."""
_GETROUTE: Final = 26
_GETRULE: Final = 34
_ERROR: Final = 2
_DONE: Final = 3
_DUMP: Final = 0x01 | 0x300
"""NLM_F_REQUEST | NLM_F_DUMP."""
_READ_BYTES: Final = 128 * 1024
_DEADLINE_S: Final = 1.0
_DUMPS_MAX: Final = 4_000


def route_digest() -> bytes | None:
    """Returns a digest of all routes and rules of this host; None where they cannot be had: then look for yourself."""
    hashed = hashlib.blake2b(digest_size=16)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
            sock.settimeout(_DEADLINE_S)
            sock.bind((0, 0))
            number = 0
            for family in (socket.AF_INET, socket.AF_INET6):
                for kind in (_GETRULE, _GETROUTE):
                    number += 1
                    _dump(sock, kind, family, number, hashed)
    except (OSError, ValueError):
        return None
    return hashed.digest()


def _dump(sock: socket.socket, kind: int, family: int, number: int, hashed: "hashlib.blake2b") -> None:
    length = _HEADER.size + _RTMSG.size
    sock.send(_HEADER.pack(length, kind, _DUMP, number, 0) + _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0))
    for _ in range(_DUMPS_MAX):
        data = sock.recv(_READ_BYTES)
        at = 0
        while at + _HEADER.size <= len(data):
            size, answer, _, sequence, _ = _HEADER.unpack_from(data, at)
            if size < _HEADER.size or sequence != number:
                raise ValueError("not the answer to this question")
            if answer == _DONE:
                return
            if answer == _ERROR:
                raise ValueError("refused")
            # Without the header: it holds our own port, which is another one each time.
            hashed.update(data[at + _HEADER.size : at + size])
            at += (size + 3) & ~3
    raise ValueError("a dump without an end")
