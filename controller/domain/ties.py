"""Resources that cover the same address equally well, in different remote networks: which one an address alone means.

The most specific resource decides. Of equal ones the smallest id does, everywhere and every time the same, but nobody chose it:
whoever makes such a resource is told, and people reach each of them by the name of its network.
"""

from collections.abc import Iterable

from controller.domain.overlap import ports_overlap
from protocol.acl.model import Resource


def ties(resource: Resource, others: Iterable[Resource]) -> tuple[Resource, ...]:
    """Returns those of ``others`` that lie in another network and tie with ``resource`` on some port, the deciding one first."""
    found = [
        other
        for other in others
        if other.id != resource.id
        and other.network != resource.network
        and other.address == resource.address
        and ports_overlap(other.ports, resource.ports)
    ]
    return tuple(sorted(found, key=lambda other: other.id))
