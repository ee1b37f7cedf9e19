"""Plans: a policy document compared with the policy, and what its application would change."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from controller.api.schemas.common import Input, Output, Page, Ports, SubjectKind, Text, example, input_example
from protocol.limits import POLICY_DOCUMENT_MAX_BYTES

_HASH = "5f2a9d0c7b1e48a3b6c4d2e1f0a9b8c75f2a9d0c7b1e48a3b6c4d2e1f0a9b8c7"
_USER = "usr_q1w2e3r4t5y6u7i8o9p0aA"
_RESOURCE = "res_q1w2e3r4t5y6u7i8o9p0aA"
_DOCUMENT = "networks:\n  - name: office\n"


class PlanCreate(Input):
    """A policy document to compare with what there is."""

    model_config = input_example(document=_DOCUMENT, prune=False)

    document: Annotated[Text, Field(max_length=POLICY_DOCUMENT_MAX_BYTES, description="YAML.")]
    prune: bool = Field(
        False, description="Also remove what the sections of the document do not name. Absent sections are left alone."
    )


class PlannedChange(Output):
    """One change to the policy."""

    action: Literal["create", "change", "remove"]
    kind: str = Field(description="network, resource, group, service_account, user, policy, grant or exclusion.")
    name: str
    detail: str
    line: int | None = Field(description="Where it stands in the document.")


class PlannedAccess(Output):
    """What changes for somebody on one resource."""

    subject_kind: SubjectKind
    subject: str
    subject_name: str | None
    device: str | None = Field(
        description="null: where grants lead this subject, signed in or not. Else what this device can open now."
    )
    device_name: str | None
    resource: str
    resource_name: str | None
    change: Literal["gained", "lost", "changed"] = Field(description="`changed`: some ports, another place or policy.")
    gained: Ports
    lost: Ports
    detail: str = Field(description="Another address or network, other policies.")


class PlannedCut(Output):
    """A connection that is open now and would be reset."""

    flow: str
    subject: str
    subject_name: str | None
    device: str
    device_name: str | None
    resource: str | None
    resource_name: str | None
    host: str
    transport: str
    port: int | None
    started_at: datetime
    reason: str


class PlanFault(Output):
    """Why the plan cannot be applied."""

    line: int | None = Field(description="The line of the document at fault.")
    detail: str


class PlanSummary(Output):
    """How much a plan changes."""

    create: int
    change: int
    remove: int
    gained: int = Field(description="Users and service accounts who gain something on some resource.")
    lost: int = Field(description="Users and service accounts who lose something on some resource.")
    cut: int = Field(description="Open connections that would be reset.")


class Plan(Output):
    """A plan. Its hash covers the revision that it starts from and every event that it would append."""

    model_config = example(
        hash=_HASH,
        revision=41,
        prune=False,
        created_at="2026-11-22T12:00:00Z",
        created_by=_USER,
        expires_at="2026-11-23T12:00:00Z",
        applicable=True,
        summary={"create": 1, "change": 0, "remove": 0, "gained": 0, "lost": 0, "cut": 0},
        changes=[{"action": "create", "kind": "network", "name": "office", "detail": "", "line": 2}],
        access=[],
        cut=[],
        faults=[],
        failed_tests=[],
        truncated=False,
        withheld=[],
        applied_at=None,
        applied_by=None,
        applied_revision=None,
    )

    hash: str = Field(description="What is approved.")
    revision: int = Field(description="The policy revision that it starts from; when the log moves on it is void.")
    prune: bool
    created_at: datetime
    created_by: str
    expires_at: datetime
    applicable: bool = Field(description="No faults and no failed tests.")
    summary: PlanSummary
    changes: list[PlannedChange]
    access: list[PlannedAccess]
    cut: list[PlannedCut]
    faults: list[PlanFault]
    failed_tests: list[PlanFault] = Field(description="Expectations of the document that would not hold.")
    truncated: bool = Field(description="Lists were too long to show whole; the summary counts everything.")
    withheld: list[str] = Field(
        default_factory=list,
        description="Permissions that the reader lacks and for which parts were left out: without `devices:read` the "
        "devices of `access`, without `connections:read` the list `cut`.",
    )
    applied_at: datetime | None = None
    applied_by: str | None = None
    applied_revision: int | None = Field(None, description="The revision that its application made.")


class PlanLine(Output):
    """A plan in a list."""

    model_config = example(
        hash=_HASH,
        revision=41,
        created_at="2026-11-22T12:00:00Z",
        created_by=_USER,
        expires_at="2026-11-23T12:00:00Z",
        applicable=True,
        summary={"create": 1, "change": 0, "remove": 0, "gained": 0, "lost": 0, "cut": 0},
        applied_revision=None,
    )

    hash: str
    revision: int
    created_at: datetime
    created_by: str
    expires_at: datetime
    applicable: bool
    summary: PlanSummary
    applied_revision: int | None


class PlanPage(Page[PlanLine]):
    """The plans that have not expired, newest first."""


class Export(Output):
    """The policy as a document: applied, it changes nothing."""

    model_config = example(revision=41, document=_DOCUMENT)

    revision: int
    document: str = Field(description="YAML.")
