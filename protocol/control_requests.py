"""What a client and the controller say about requests for access: asked by a person after a denial, answered by another.

Whether what is asked for exists is told to nobody: the answer is the same (T-10).
"""

from dataclasses import dataclass
from typing import ClassVar

from protocol.control import Message


@dataclass(frozen=True, slots=True)
class RequestAccess(Message):
    """Client: I need ``target`` (a host, a resource's name or id), because of ``reason``; for ``duration_s`` seconds."""

    TYPE: ClassVar[str] = "request_access"
    id: int
    target: str
    reason: str
    port: int | None = None
    duration_s: int | None = None


@dataclass(frozen=True, slots=True)
class WithdrawRequest(Message):
    """Client: I do not need it any more."""

    TYPE: ClassVar[str] = "withdraw_request"
    id: int
    request: str


@dataclass(frozen=True, slots=True)
class ListRequests(Message):
    """Client: what did I ask for?"""

    TYPE: ClassVar[str] = "list_requests"
    id: int


@dataclass(frozen=True, slots=True)
class AskedFor:
    """One request as the asker sees it. ``status``: open, approved, denied, withdrawn or expired. Times are Unix seconds."""

    request: str
    target: str
    port: int | None
    status: str
    asked: int
    expires: int
    duration_s: int
    reason: str = ""
    answer: str = ""
    granted_until: int | None = None


@dataclass(frozen=True, slots=True)
class AccessRequests(Message):
    """Answers all three: the request in question, or the newest ones; or ``reason`` (a code) when it was refused."""

    TYPE: ClassVar[str] = "access_requests"
    id: int
    requests: tuple[AskedFor, ...] = ()
    reason: str | None = None
