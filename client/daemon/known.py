"""What was learnt about the ways into the remote networks, and is likely to be true still after the next ``up``.

Nothing here is trusted: paths only say which relay to call first, addresses where it was lately, and a use which network
should have a tunnel ahead of the next one. It is one identity's; another one's begins with nothing.
"""

from collections.abc import Callable

from client.core.paths import PathMemory
from client.core.warmth import Warmth
from client.daemon.identity import Identity
from runtime.addresses import AddressMemory


class Known:
    """In memory only.

    Args:
        now: monotonic seconds.

    Attributes:
        addresses: of controllers and relays.
        paths: as the controller named them last, and which of them failed.
        warmth: which networks were used lately.
    """

    def __init__(self, now: Callable[[], float], identity: Identity | None = None) -> None:
        self.addresses = AddressMemory(now)
        self.paths = PathMemory()
        self.warmth = Warmth()
        self._now = now
        self._owner = identity and (identity.issuer, identity.device, identity.user)

    def for_identity(self, identity: Identity) -> "Known":
        """Returns this one if it is that identity's, else one that knows nothing."""
        owner = identity.issuer, identity.device, identity.user
        return self if owner == self._owner else Known(self._now, identity)
