"""``doctor``: looks at each link of the chain from the TUN device to the connectors and names the first that is broken."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from client.daemon.policy import Policy
from client.daemon.reach import Reach
from client.daemon.session import Session
from protocol.acl.model import Entry
from protocol.errors import OstiaryError, RemoteError
from protocol.ids import NetworkId
from protocol.limits import CLOCK_WARN_S
from protocol.reasons import Reason

ELSEWHERE: Final = "Look into the daemon's log: `ostiary logs`."
"""In place of a next step that names the doctor."""

HostCheck = Callable[[], Awaitable[str]]
"""Returns a sentence; raises OstiaryError."""


class Doctor:
    """Args: host_checks: by name, what the mode (tun or proxy) can say about this host."""

    def __init__(self, session: Session, policy: Policy, reach: Reach, host_checks: dict[str, HostCheck]) -> None:
        self._session = session
        self._policy = policy
        self._reach = reach
        self._host_checks = host_checks

    async def run(self) -> dict[str, Any]:
        """Returns ``{"ok": bool, "checks": [{name, status, reason, sentence, next}]}``."""
        checks = [await _check(name, check) for name, check in self._host_checks.items()]
        if self._session.state == "down":
            # Nothing else can be looked at, and nothing else is the cause.
            return {"ok": False, "checks": [*checks, is_down("controller")]}
        checks.append(await _check("controller", self._controller))
        checks.append(await _check("clock", self._clock))
        checks.append(await _check("policy", self._snapshot))
        found = await asyncio.gather(
            *(self._network(network, entry) for network, entry in sorted(self._reach.samples().items()))
        )
        checks += found
        return {"ok": all(check["status"] != "fail" for check in checks), "checks": checks}

    async def _controller(self) -> str:
        session = self._session
        if session.controller is None:
            raise RemoteError(Reason.SIGN_IN_REQUIRED, "no controller is known: ostiary up URL")
        if session.state == "sign_in_required":
            raise RemoteError(Reason.SIGN_IN_REQUIRED, "the client waits for a sign-in")
        link = session.link
        if link is None or not link.connected:
            error = None if link is None else link.state.error
            raise error or RemoteError(Reason.CONTROLLER_UNREACHABLE, session.controller.url)
        rtt = "" if link.state.rtt_ms is None else f" in {link.state.rtt_ms:.0f} ms"
        return f"{session.controller.url} answers{rtt}."

    async def _clock(self) -> str:
        link = self._session.link
        offset = None if link is None else link.state.clock_offset_ms
        if offset is None:
            return "Not compared: the controller is not connected."
        if abs(offset) > CLOCK_WARN_S * 1000:
            raise RemoteError(Reason.CLOCK_OFFSET, f"{abs(offset) / 1000:.1f} s off the controller's")
        return f"{abs(offset):.0f} ms off the controller's."

    async def _snapshot(self) -> str:
        snapshot = self._policy.current
        if snapshot is None:
            raise RemoteError(Reason.UNAVAILABLE, "no policy has arrived yet")
        if self._policy.classifier.blocked is not None:
            raise RemoteError(self._policy.classifier.blocked, "everything is refused for this reason")
        count = len(snapshot.acl.entries)
        return f"Revision {snapshot.revision} with {count} {'resource' if count == 1 else 'resources'} is in force."

    async def _network(self, network: NetworkId, entry: Entry) -> dict[str, Any]:
        async def reach() -> str:
            found = await self._reach.check(network, entry)
            if found.reason is not None:
                raise RemoteError(found.reason, found.detail)
            name = self._reach.connector_name(found.connector) or found.connector
            return f"{name} answers {found.way} in {(found.rtt_s or 0) * 1000:.0f} ms."

        return await _check(f"network {self._reach.network_name(network)}", reach)


def is_down(name: str) -> dict[str, Any]:
    """Returns a check, or a step, that failed because of `ostiary down`."""
    return {
        "name": name,
        "status": "fail",
        "reason": Reason.UNAVAILABLE.code,
        "sentence": "The client is down.",
        "next": "ostiary up",
    }


async def _check(name: str, check: HostCheck) -> dict[str, Any]:
    try:
        sentence = await check()
    except OstiaryError as error:
        return {
            "name": name,
            "status": "warn" if error.reason is Reason.CLOCK_OFFSET else "fail",
            "reason": error.reason.code,
            "sentence": str(error),
            "next": ELSEWHERE if "ostiary doctor" in error.reason.next_step else error.reason.next_step,
        }
    return {"name": name, "status": "ok", "reason": None, "sentence": sentence, "next": ""}
