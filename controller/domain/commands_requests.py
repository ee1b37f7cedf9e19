"""What can be asked about requests for access. Time is part of these commands (``at``, Unix seconds): requests expire."""

from dataclasses import dataclass

from controller.domain.commands import Command
from protocol.ids import AccessRequestId, DeviceId, GrantId, PolicyId, ResourceId, UserId


@dataclass(frozen=True, slots=True)
class RequestAccess(Command):
    """``target`` as ``request_target.parse_target`` returned it; asking again for what is open changes nothing."""

    request: AccessRequestId
    user: UserId
    target: str
    port: int | None
    resource: ResourceId | None
    duration_s: int
    at: int
    device: DeviceId | None = None


@dataclass(frozen=True, slots=True)
class ApproveAccessRequest(Command):
    """Makes ``grant``, which ends at ``expires`` (Unix seconds). ``resource`` None: what the request meant."""

    request: AccessRequestId
    approver: str
    grant: GrantId
    expires: int
    at: int
    resource: ResourceId | None = None
    policy: PolicyId | None = None


@dataclass(frozen=True, slots=True)
class DenyAccessRequest(Command):
    request: AccessRequestId
    approver: str
    at: int


@dataclass(frozen=True, slots=True)
class WithdrawAccessRequest(Command):
    """Only the one who asked."""

    request: AccessRequestId
    user: UserId
    at: int
