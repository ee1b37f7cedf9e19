"""Which access token and which authorisation are at hand, and when to ask for the next one (C11, C15).

Tokens are fetched ahead of use and renewed at RENEW_AT of their life, so that a connection never waits for the controller
while it is reachable, and goes on for the rest of a token's life while it is not (C24).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocol.acl.decide import decide
from protocol.acl.match import AclIndex
from protocol.acl.model import Permit, Request
from protocol.ids import ConnectorId, ResourceId
from protocol.tokens.claims import Access, Authorisation

RENEW_AT: Final = 0.6
"""Part of a token's life after which the next one is asked for."""
RETRY_AFTER_S: Final = 5.0
"""A request that got no token is repeated after this long."""
MARGIN_S: Final = 2.0
"""A token about to expire is not used for something new: it has to survive the way to the connector."""


@dataclass(slots=True)
class _Slot:
    access: Access
    index: AclIndex
    ask_at: float


class AccessBook:
    """Access tokens by connector. All times are Unix seconds by the controller's clock (the caller corrects its own)."""

    def __init__(self) -> None:
        self._slots: dict[ConnectorId, _Slot] = {}
        self._kept: set[ConnectorId] = set()

    def keep(self, connector: ConnectorId) -> None:
        """A tunnel to ``connector`` is in use: renew its token from here on."""
        self._kept.add(connector)

    def release(self, connector: ConnectorId) -> None:
        """No tunnel to ``connector`` any more: its token may run out."""
        self._kept.discard(connector)

    def store(self, access: Access, wall: float) -> None:
        """Takes a verified token. One that was issued before the token at hand is ignored.

        A newer one may end sooner: when the sign-in ends, or the controller gives shorter lives. It is what tunnels prove, so
        that its end is what renewals go by.
        """
        slot = self._slots.get(access.connector)
        if slot is not None and _age(access) < _age(slot.access):
            return
        life = access.expires - max(access.issued_at, wall)
        self._slots[access.connector] = _Slot(access, AclIndex(access.acl), access.expires - life * (1 - RENEW_AT))

    def keep_only(self, good: Callable[[Access], bool]) -> None:
        """Drops the tokens that are not ``good`` any more."""
        for connector in [connector for connector, slot in self._slots.items() if not good(slot.access)]:
            del self._slots[connector]

    def usable(self, connector: ConnectorId, wall: float, request: Request | None = None) -> Access | None:
        """Returns the token for ``connector`` if it is alive and, when ``request`` is given, permits it.

        None: ask for a new one (a resource that was granted since is in no older token).
        """
        slot = self._slots.get(connector)
        if slot is None or slot.access.expires - MARGIN_S <= wall:
            return None
        if request is not None and not isinstance(decide(slot.index, request, wall), Permit):
            return None
        return slot.access

    def due(self, wall: float) -> tuple[ConnectorId, ...]:
        """Returns the connectors whose token is to be renewed now; each is named again only after RETRY_AFTER_S."""
        found = []
        for connector in sorted(self._kept & self._slots.keys()):
            slot = self._slots[connector]
            if slot.ask_at <= wall:
                slot.ask_at = wall + RETRY_AFTER_S
                found.append(connector)
        return tuple(found)

    def deadline(self) -> tuple[float, str] | None:
        """When ``due`` has something to say next (Unix seconds)."""
        times = [self._slots[connector].ask_at for connector in self._kept & self._slots.keys()]
        return (min(times), "renew_access") if times else None

    def drop(self, connector: ConnectorId) -> None:
        """The token was refused or revoked: never use it again."""
        self._slots.pop(connector, None)

    def clear(self) -> None:
        """Signed out."""
        self._slots.clear()
        self._kept.clear()


def _age(access: Access) -> tuple[int, int, int]:
    return access.issued_at, access.revision, access.expires


class AuthorisationBook:
    """Authorisations by resource, for as long as they live (60 s); they save the round trip of C11 for the next flow."""

    def __init__(self) -> None:
        self._by_resource: dict[ResourceId, Authorisation] = {}

    def store(self, authorisation: Authorisation) -> None:
        """Takes a verified authorisation."""
        self._by_resource[authorisation.resource] = authorisation

    def usable(self, resource: ResourceId, wall: float) -> Authorisation | None:
        """Returns the authorisation for ``resource`` if it is alive."""
        found = self._by_resource.get(resource)
        if found is None:
            return None
        if found.expires - MARGIN_S <= wall:
            del self._by_resource[resource]
            return None
        return found

    def clear(self) -> None:
        """The policy has changed, or a path turned out to be dead: ask again."""
        self._by_resource.clear()

    def drop(self, resource: ResourceId) -> None:
        """The paths of ``resource`` did not work."""
        self._by_resource.pop(resource, None)
