"""Events of API tokens."""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.events.base import Event
from protocol.ids import ApiTokenId, UserId


@dataclass(frozen=True, slots=True)
class ApiTokenCreated(Event):
    """The token acts for ``owner`` within ``scopes`` until ``expires`` (Unix s); its name is in the side table.

    It ends with ``ApiTokenRevoked``, and when its owner is disabled or removed.
    """

    TYPE: ClassVar[str] = "api_token.created/1"
    STREAM_FIELD: ClassVar[str] = "token"
    token: ApiTokenId
    owner: UserId
    scopes: tuple[str, ...]
    expires: int


@dataclass(frozen=True, slots=True)
class ApiTokenRevoked(Event):
    """The token opens nothing any more."""

    TYPE: ClassVar[str] = "api_token.revoked/1"
    STREAM_FIELD: ClassVar[str] = "token"
    token: ApiTokenId
