"""Names in the proxy mode: programs hand them to the proxy, there is no resolver, and strict DNS holds all the same (T-55)."""

import asyncio
from typing import Any

from client.daemon.policy import Policy
from client.daemon.strict_names import StrictNames
from protocol.errors import LocalError
from protocol.reasons import Reason


class ProxyNames:
    """Answers the verbs about DNS as ``HostDns`` does in TUN mode, as far as they make sense.

    Args:
        names: what strict DNS keeps.
        policy: whose whitelist is followed.
    """

    def __init__(self, names: StrictNames, policy: Policy) -> None:
        self._names = names
        self._policy = policy

    async def follow(self) -> None:
        """The whitelist is another one."""
        await asyncio.to_thread(self._names.follow, self._policy.current)

    async def set_strict(self, strict: bool) -> None:
        """Turns strict DNS on or off while we run. Raises LocalError."""
        guard = self._names.guard
        if strict == guard.strict:
            return
        guard.strict = strict
        guard.keep(())
        await self.follow()

    def describe(self) -> dict[str, Any]:
        """For ``dns status``."""
        guard = self._names.guard
        return {
            "mode": "proxy",
            "server": "",
            "explanation": "programs hand names to the proxy; this host's own resolver is as it was",
            "strict": guard.strict,
            "guarded": len(guard.patterns),
            "splits": False,
            "domains": [],
            "domain_count": 0,
            "upstreams": [],
            "known_names": 0,
            "synthetic_names": 0,
        }

    async def query(self, name: str, _kind: str) -> dict[str, Any]:
        """Raises LocalError(NO_RESOLVER)."""
        raise LocalError(Reason.NO_RESOLVER, f"nobody here answers questions about {name[:255]!r}")

    async def reset(self, *, forget: bool) -> dict[str, Any]:
        """``forget``: the guarded names that the whitelist in force neither holds nor withholds. Raises LocalError."""
        if not forget:
            raise LocalError(Reason.NO_RESOLVER, "there is nothing to make anew; --forget opens what strict DNS keeps")
        await asyncio.to_thread(self._names.forget)
        await self.follow()
        return self.describe()
