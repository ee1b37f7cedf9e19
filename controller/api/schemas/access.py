"""Who could reach what, when, and why: answers about any moment."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from controller.api.schemas.common import Output, Page, Ports, SubjectKind, example

_USER = "usr_q1w2e3r4t5y6u7i8o9p0aA"
_RESOURCE = "res_q1w2e3r4t5y6u7i8o9p0aA"
_GRANT = "gra_q1w2e3r4t5y6u7i8o9p0aA"
_BECAUSE = {
    "event": 41,
    "type": "grant.created/2",
    "about": _GRANT,
    "actor": _USER,
    "actor_name": "Ada",
    "at": "2026-11-22T12:00:00Z",
}


class Cited(Output):
    """One event of the audit trail that an answer rests on."""

    event: int = Field(description="Its position; `GET /api/v1/events` has all of it.")
    type: str
    about: str = Field(description="The grant, group, session, policy or device that the event is about.")
    actor: str
    actor_name: str | None = Field(description="None when it is no person, or the name was erased.")
    at: datetime


class AccessLine(Output):
    """One device of somebody, and one resource."""

    subject_kind: SubjectKind
    subject: str = Field(description="User or service account.")
    subject_name: str | None
    device: str
    device_name: str | None
    resource: str
    resource_name: str | None
    verdict: Literal["permitted", "conditional", "denied"] = Field(
        description="`conditional`: permitted if the device came from an allowed place, which no log knows."
    )
    reason: str | None = Field(description="Why denied, or on what it depends; a reason code.")
    ports: Ports | None
    grants: list[str]
    since: datetime | None = Field(None, description="Since when without a break; null for denials.")
    since_event: int | None = Field(None, description="The event that opened it; null: time did.")
    since_exact: bool = Field(
        True, description="False: at least since then; the log before it was not searched for this answer."
    )
    until: datetime | None = Field(None, description="When it ended, or by time alone will end; null: open-ended.")
    until_event: int | None = Field(None, description="The event that ended it; null: time does, or nothing has.")
    until_exact: bool = Field(
        True, description="False: it lasts at least until then; the log behind it was not searched for this answer."
    )
    because: list[Cited] = Field(description="The events that it rests on: grants, memberships, sign-in, policies.")


class Access(Page[AccessLine]):
    """Who could reach a resource, or what somebody could reach, at one moment."""

    model_config = example(
        at="2026-11-22T12:00:00Z",
        revision=42,
        items=[
            {
                "subject_kind": "user",
                "subject": _USER,
                "subject_name": "Grace",
                "device": "dev_q1w2e3r4t5y6u7i8o9p0aA",
                "device_name": "grace-laptop",
                "resource": _RESOURCE,
                "resource_name": "wiki",
                "verdict": "permitted",
                "reason": None,
                "ports": {"tcp": ["443"], "udp": [], "icmp": False},
                "grants": [_GRANT],
                "since": "2026-11-22T11:00:00Z",
                "since_event": 41,
                "since_exact": True,
                "until": "2026-11-22T23:00:00Z",
                "until_event": None,
                "until_exact": True,
                "because": [_BECAUSE],
            }
        ],
        next_cursor=None,
    )

    at: datetime
    revision: int = Field(description="The policy revision in force then; devices that held it were told the same.")


class AccessSpan(Output):
    """A stretch of time in which the answer for one device stayed the same."""

    device: str
    device_name: str | None
    verdict: Literal["permitted", "conditional", "denied"]
    reason: str | None
    ports: Ports | None
    grants: list[str]
    since: datetime | None = Field(description="null: since before the time that was asked about.")
    since_event: int | None
    until: datetime | None = Field(description="null: to the end of the time that was asked about.")
    until_event: int | None
    opened_by: Cited | None = Field(description="The event with which it began.")
    closed_by: Cited | None = Field(description="The event with which it ended.")


class AccessHistory(Output):
    """When somebody could, and could not, reach a resource."""

    model_config = example(
        subject=_USER,
        resource=_RESOURCE,
        since="2026-11-21T12:00:00Z",
        until="2026-11-22T12:00:00Z",
        complete=True,
        items=[
            {
                "device": "dev_q1w2e3r4t5y6u7i8o9p0aA",
                "device_name": "grace-laptop",
                "verdict": "permitted",
                "reason": None,
                "ports": {"tcp": ["443"], "udp": [], "icmp": False},
                "grants": [_GRANT],
                "since": "2026-11-22T11:00:00Z",
                "since_event": 41,
                "until": None,
                "until_event": None,
                "opened_by": _BECAUSE,
                "closed_by": None,
            }
        ],
    )

    subject: str
    resource: str
    since: datetime = Field(description="The beginning of what was searched; later than asked for when not `complete`.")
    until: datetime
    complete: bool = Field(description="False: the log is too long for one answer; ask about an earlier `until` next.")
    items: list[AccessSpan] = Field(description="By device, oldest first.")
