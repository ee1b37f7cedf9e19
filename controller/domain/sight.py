"""What of an event its reader may be told: the ids in it, each under the permission of its own area (T-10).

The audit trail shows events whole, to those who may read it. Everybody else learns that something happened only to what he
could read himself: an event none of whose ids he may see is not told at all.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Final

from controller.domain.events import EVENT_TYPES, Event
from controller.domain.permissions import Permission
from controller.domain.standing import Standing
from controller.domain.state import PolicyState
from protocol.ids import PREFIXES, AccessRequestId, ApiTokenId, DeviceId, SessionId

P = Permission
_READ_BY: Final[Mapping[str, Permission]] = {
    PREFIXES["user"]: P.PEOPLE_READ,
    PREFIXES["group"]: P.GROUPS_READ,
    PREFIXES["device"]: P.DEVICES_READ,
    PREFIXES["service_account"]: P.SERVICE_ACCOUNTS_READ,
    PREFIXES["session"]: P.DEVICES_READ,
    PREFIXES["network"]: P.NETWORKS_READ,
    PREFIXES["connector"]: P.NETWORKS_READ,
    PREFIXES["relay"]: P.RELAYS_READ,
    PREFIXES["resource"]: P.RESOURCES_READ,
    PREFIXES["grant"]: P.GRANTS_READ,
    PREFIXES["identity_provider"]: P.IDENTITY_PROVIDERS_READ,
    PREFIXES["policy"]: P.POLICIES_READ,
    PREFIXES["exclusion"]: P.POLICIES_READ,
    PREFIXES["token"]: P.SESSIONS_READ,
    PREFIXES["api_token"]: P.TOKENS_READ,
    PREFIXES["access_request"]: P.REQUESTS_READ,
    PREFIXES["sink"]: P.SINKS_READ,
    PREFIXES["passkey"]: P.PEOPLE_READ,
}
"""By the prefix of an id. What is not here is read with the audit trail only."""
_NAMES: Final = {event: tuple(item.name for item in fields(event)) for event in EVENT_TYPES}
_ID: Final = re.compile(r"[a-z]{3}_[A-Za-z0-9_-]{22}\Z")


def kind_of(event: Event) -> str:
    """The event's type without its version: ``grant.created``."""
    return event.TYPE.partition("/")[0]


def ids_told(state: PolicyState, before: PolicyState, standing: Standing, event: Event) -> tuple[str, ...] | None:
    """Returns the ids of ``event`` that its reader may see, that of the thing it is about first; None: not to be told at all.

    ``before`` is the state that the event changed: what it removed belonged to somebody there.
    """
    told = tuple(item for item in dict.fromkeys(_ids_in(event)) if _sees(state, before, standing, item))
    return told if told or standing.may(P.AUDIT_READ) else None


def _ids_in(event: Event) -> Iterator[str]:
    if _ID.match(event.stream):
        yield event.stream
    for name in _NAMES[type(event)]:
        value = getattr(event, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, str) and _ID.match(item):
                yield item


def _sees(state: PolicyState, before: PolicyState, standing: Standing, item: str) -> bool:
    needed = _READ_BY.get(item[:3], P.AUDIT_READ)
    if standing.may(needed) or standing.may(P.AUDIT_READ):
        return True
    return standing.may(P.SELF_READ) and standing.user.id in (_owner(state, item), _owner(before, item))


def _owner(state: PolicyState, item: str) -> str | None:
    """Whose it is: a person is his own, and his are his devices, their sessions, his requests and tokens."""
    match item[:3]:
        case "usr":
            return item
        case "dev":
            device = state.devices.get(DeviceId(item))
            return device.owner.id if device is not None else None
        case "ses":
            session = state.sessions.get(SessionId(item))
            return session.user if session is not None else None
        case "arq":
            request = state.access_requests.get(AccessRequestId(item))
            return request.user if request is not None else None
        case "apt":
            token = state.api_tokens.get(ApiTokenId(item))
            return token.owner if token is not None else None
    return None
