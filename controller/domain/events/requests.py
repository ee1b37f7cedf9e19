"""Events of requests for access. The reason and the answer's text are personal data and not here."""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.events.base import Event
from protocol.ids import AccessRequestId, DeviceId, GrantId, ResourceId, UserId


@dataclass(frozen=True, slots=True)
class AccessRequestCreated(Event):
    """A user asked for access. ``resource``: what the target meant at that moment, if it meant one thing.

    ``expires`` (Unix seconds): when the request closes by itself.
    """

    TYPE: ClassVar[str] = "access_request.created/1"
    STREAM_FIELD: ClassVar[str] = "request"
    request: AccessRequestId
    user: UserId
    device: DeviceId | None
    target: str
    port: int | None
    resource: ResourceId | None
    duration_s: int
    expires: int


@dataclass(frozen=True, slots=True)
class AccessRequestApproved(Event):
    """An approver said yes; ``grant`` was made in the same transaction and ends at ``expires`` (Unix seconds)."""

    TYPE: ClassVar[str] = "access_request.approved/1"
    STREAM_FIELD: ClassVar[str] = "request"
    request: AccessRequestId
    approver: str
    grant: GrantId
    resource: ResourceId
    expires: int


@dataclass(frozen=True, slots=True)
class AccessRequestDenied(Event):
    """An approver said no."""

    TYPE: ClassVar[str] = "access_request.denied/1"
    STREAM_FIELD: ClassVar[str] = "request"
    request: AccessRequestId
    approver: str


@dataclass(frozen=True, slots=True)
class AccessRequestWithdrawn(Event):
    """The user does not want it any more."""

    TYPE: ClassVar[str] = "access_request.withdrawn/1"
    STREAM_FIELD: ClassVar[str] = "request"
    request: AccessRequestId
