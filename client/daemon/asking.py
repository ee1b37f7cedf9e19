"""Requests for access from this host: asked in the name of who is signed in, over the link to the controller.

What is asked for is a host as the user typed it; whether there is such a resource the controller tells nobody (T-10).
"""

from collections.abc import Mapping
from typing import Any, Final

from client.daemon.control import ControlLink
from client.daemon.session import Session
from protocol.control_requests import AskedFor
from protocol.errors import LocalError, RefusedError, RemoteError
from protocol.reasons import Reason

TARGET_MAX: Final = 253
REASON_MAX: Final = 1000
ASKABLE: Final = frozenset(
    {
        Reason.NOT_A_RESOURCE,
        Reason.NO_GRANT,
        Reason.GRANT_EXPIRED,
        Reason.ACCESS_REVOKED,
    }
)
"""Denials that a grant would end. A port that a granted resource does not have is none of them."""


class AccessDesk:
    """The verbs ``request``, ``requests`` and ``withdraw``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def request(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Asks for access.

        Raises:
            LocalError: INVALID_INPUT.
            RefusedError: what the controller said; SIGN_IN_REQUIRED.
            RemoteError: CONTROLLER_UNREACHABLE, TIMEOUT.
        """
        target, reason = _text(args, "target", TARGET_MAX), _text(args, "reason", REASON_MAX)
        port, duration_s = _number(args, "port"), _number(args, "duration_s")
        made = await self._link().request_access(target, reason, port=port, duration_s=duration_s)
        return {"request": _shown(made)}

    async def list(self) -> dict[str, Any]:
        """What the user asked for, newest first. Raises as ``request``."""
        return {"requests": [_shown(item) for item in await self._link().list_requests()]}

    async def withdraw(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Takes a request back. Raises as ``request``."""
        return {"request": _shown(await self._link().withdraw_request(_text(args, "request", 64)))}

    def _link(self) -> ControlLink:
        identity, link = self._session.identity, self._session.link
        if identity is None or not identity.signed_in:
            raise RefusedError(Reason.SIGN_IN_REQUIRED, "nobody is signed in on this host")
        if identity.service:
            raise RefusedError(Reason.FORBIDDEN, "a service account asks for nothing; its administrators do")
        if link is None or not link.connected:
            raise RemoteError(Reason.CONTROLLER_UNREACHABLE, "requests need the controller")
        return link


def command_for(host: str, port: int | None) -> str:
    """Returns the command by which a user asks for a destination that he was denied."""
    name = f"[{host}]" if ":" in host else host
    target = name if port is None else f"{name}:{port}"
    return f'ostiary request {target} --reason "…"'


def _shown(item: AskedFor) -> dict[str, Any]:
    return {
        "id": item.request,
        "target": item.target,
        "port": item.port,
        "status": item.status,
        "asked": item.asked,
        "expires": item.expires,
        "duration_s": item.duration_s,
        "reason": item.reason,
        "answer": item.answer,
        "granted_until": item.granted_until,
    }


def _text(args: Mapping[str, Any], name: str, most: int) -> str:
    value = args.get(name)
    if not isinstance(value, str) or not 0 < len(value.strip()) <= most:
        raise LocalError(Reason.INVALID_INPUT, f"{name} is a text of 1 to {most} characters")
    return value


def _number(args: Mapping[str, Any], name: str) -> int | None:
    value = args.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise LocalError(Reason.INVALID_INPUT, f"{name} is a whole number")
    return value
