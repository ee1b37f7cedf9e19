"""A link that outlives the daemon, so that strict DNS holds while the daemon is dead (T-55).

systemd-resolved forgets a link's domains together with the link. This one is a dummy device: nothing is ever sent through
it. The server that is named on it is an address of this host's loopback, where either we answer or nobody does.
"""

import errno
import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from client.host.journal import Change, Journal
from protocol.errors import LocalError
from protocol.reasons import Reason

NAME: Final = "ostiary-dns"
_PEER: Final = "ostiary-dns-end"
CHANGE: Final = "guard_link"
GUARD_SERVER: Final = ipaddress.IPv4Address("127.29.55.53")
"""Where strict DNS answers: a question to it cannot leave the host, not even before the daemon has started."""
_ADDRESS: Final = "192.0.0.8"
"""The dummy address of RFC 7600; resolved asks no link without an address."""


class GuardLink:
    """The link of one daemon. All methods block for milliseconds and raise LocalError."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._change: Change | None = next((each for each in journal.pending if each.kind == CHANGE), None)
        self._index: int | None = None

    def index(self) -> int:
        """Returns its index; makes the link if it is not there."""
        if self._index is None:
            if self._change is None:
                self._change = self._journal.record(CHANGE, {})
            self._index = _make()
        return self._index

    def remove(self) -> None:
        """Takes it away."""
        self._index = None
        if self._change is not None:
            undo({})
            self._journal.done(self._change)
            self._change = None


def undo(_data: Mapping[str, object]) -> None:
    """Takes the link away (journal kind ``guard_link``)."""
    with IPRoute() as ip:
        index = _find(ip)
        if index is not None:
            try:
                ip.link("del", index=index)
            except NetlinkError as exc:
                raise LocalError(Reason.DNS_SETUP_FAILED, f"link {NAME}: {exc}") from exc


def _make() -> int:
    with IPRoute() as ip:
        try:
            index = _find(ip)
            if index is None:
                index = _add(ip)
            try:
                ip.addr("add", index=index, address=_ADDRESS, prefixlen=32)
            except NetlinkError as exc:
                if exc.code != errno.EEXIST:
                    raise
            ip.link("set", index=index, state="up")
        except NetlinkError as exc:
            raise LocalError(Reason.DNS_SETUP_FAILED, f"link {NAME}, which strict DNS needs here: {exc}") from exc
        return index


def _add(ip: Any) -> int:
    """A dummy link; where the kernel has none, one whose other end is a link of our own, too."""
    try:
        ip.link("add", ifname=NAME, kind="dummy")
    except NetlinkError as exc:
        if exc.code != errno.EOPNOTSUPP:
            raise
        ip.link("add", ifname=NAME, kind="veth", peer={"ifname": _PEER})
        ip.link("set", index=ip.link_lookup(ifname=_PEER)[0], state="up")
    index = _find(ip)
    if index is None:
        raise LocalError(Reason.DNS_SETUP_FAILED, f"link {NAME} went away as it was made")
    return index


def _find(ip: Any) -> int | None:
    return next(iter(ip.link_lookup(ifname=NAME)), None)
