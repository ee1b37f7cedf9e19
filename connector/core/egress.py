"""Where the connector never connects to, whatever a resource says (threats T-31 to T-33).

The check is made on the binary address, after resolution, just before ``connect``. An IPv6 address that carries an IPv4
address (v4-mapped, v4-compatible, NAT64, 6to4, Teredo, ISATAP) is judged by what it carries, too: each of these can
lead to the same host. Only ``egress_allow`` of the signed config lifts a rule, address by address; nothing lifts the
rule about the connector's own listeners.
"""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass

from protocol.acl.model import IPAddress, IPNetwork
from protocol.acl.names import unmapped
from protocol.address_kinds import faces_of, forbidden_kind
from protocol.errors import RemoteError
from protocol.reasons import Reason

Listener = tuple[IPAddress | None, int]
"""(address, port) of a listening socket of this process; None stands for every address."""


@dataclass(frozen=True, slots=True)
class EgressRules:
    """What this connector may connect to; made anew from each config."""

    allow: tuple[IPNetwork, ...] = ()
    own_listeners: frozenset[Listener] = frozenset()

    @classmethod
    def of(cls, egress_allow: Collection[str], own_listeners: Collection[Listener] = ()) -> "EgressRules":
        """Parses the verified ``egress_allow`` of a config (addresses and networks in canonical form)."""
        return cls(tuple(ipaddress.ip_network(text) for text in egress_allow), frozenset(own_listeners))

    def check(self, address: IPAddress, port: int | None) -> IPAddress:
        """Returns the address to connect to (a v4-mapped one as IPv4). Raises RemoteError(EGRESS_FORBIDDEN)."""
        target = unmapped(address)
        if isinstance(target, ipaddress.IPv6Address) and target.scope_id is not None:
            raise _forbidden(target, "an address with a zone")
        for face in faces_of(target):
            if any(port == own and (where is None or where == face) for where, own in self.own_listeners):
                raise _forbidden(target, "the connector's own listener")
            kind = forbidden_kind(face)
            if kind is not None and not self._lifted(face):
                raise _forbidden(target, kind)
        return target

    def overrides(self, address: IPAddress) -> bool:
        """Tells whether only ``egress_allow`` lets this address pass, so that the shell can say so in its log."""
        return any(forbidden_kind(face) is not None for face in faces_of(unmapped(address)))

    def _lifted(self, face: IPAddress) -> bool:
        return any(face in network for network in self.allow)


def _forbidden(address: IPAddress, kind: str) -> RemoteError:
    return RemoteError(Reason.EGRESS_FORBIDDEN, f"{address} is {kind}")
