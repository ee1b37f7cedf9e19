"""Requests for access: what the fold of the log knows about each (T-9, S-13).

Why somebody asks, and what he was answered, is personal data and lies beside the log.
"""

from dataclasses import dataclass
from enum import Enum

from protocol.ids import AccessRequestId, DeviceId, GrantId, ResourceId, UserId


class RequestStatus(Enum):
    """Where a request is in its life."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """``user`` asked for ``target`` (a canonical name or address, a resource's id, or a resource's name).

    ``resource`` is what the target meant when it was asked for; None when it meant nothing, or several things. The user is
    not told which. Times are Unix seconds unless they end in ``_ms``.
    """

    id: AccessRequestId
    user: UserId
    device: DeviceId | None
    target: str
    port: int | None
    resource: ResourceId | None
    duration_s: int
    created_ms: int
    expires: int
    """When it closes by itself."""
    answer: RequestStatus = RequestStatus.OPEN
    """What the log says; ``status_at`` also knows the time."""
    answered_ms: int | None = None
    answered_by: str | None = None
    grant: GrantId | None = None
    granted_until: int | None = None

    def status_at(self, now: float) -> RequestStatus:
        """Returns the status at ``now`` (Unix seconds)."""
        if self.answer is RequestStatus.OPEN and now >= self.expires:
            return RequestStatus.EXPIRED
        return self.answer
