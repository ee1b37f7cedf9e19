"""Requests for access: what goes over the wire."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from controller.api.schemas.common import Id, Input, Output, Page, Text, example, input_example
from controller.domain.decide_requests import DURATION_DEFAULT_S, DURATION_MAX_S, DURATION_MIN_S
from controller.store.access_requests import TEXT_MAX

Status = Literal["open", "approved", "denied", "withdrawn", "expired"]

_REQUEST: Final = "arq_q1w2e3r4t5y6u7i8o9p0aA"
_USER: Final = "usr_q1w2e3r4t5y6u7i8o9p0aA"
_RESOURCE: Final = "res_q1w2e3r4t5y6u7i8o9p0aA"

Duration = Annotated[int, Field(ge=DURATION_MIN_S, le=DURATION_MAX_S, description="Seconds.")]


class Candidate(Output):
    """A resource that the target can mean."""

    id: str
    name: str
    address: str
    network: str


class AccessRequest(Output):
    """Somebody asks for access. Only those who may answer are told what the target means."""

    model_config = example(
        id=_REQUEST,
        user=_USER,
        user_name="Grace",
        target="db.corp.internal",
        port=5432,
        status="open",
        reason="Release 4.2, ticket OPS-17",
        duration_s=7200,
        created_at="2026-11-22T12:00:00Z",
        expires_at="2026-11-29T12:00:00Z",
        candidates=[{"id": _RESOURCE, "name": "db", "address": "db.corp.internal", "network": "net_x"}],
        version=1,
    )

    id: str
    user: str
    user_name: str | None = Field(None, description="Null once it is erased.")
    device: str | None = Field(None, description="The device on which it was asked; null when asked over this API.")
    target: str = Field(
        description="A canonical host, the name of a resource, or a resource's id: as it was asked for."
    )
    port: int | None = None
    status: Status
    reason: str = Field("", description="Why, in the asker's words; empty once it is erased.")
    answer: str = Field("", description="What the asker was told; empty when nothing, or once it is erased.")
    duration_s: int = Field(description="For how long access is wanted.")
    created_at: datetime
    expires_at: datetime = Field(description="When it closes without an answer.")
    answered_at: datetime | None = None
    answered_by: str | None = None
    resource: str | None = Field(None, description="What access was given to; before that, what the target means.")
    candidates: list[Candidate] = Field(
        default_factory=list, description="For those who may answer: what the target can mean, the likeliest first."
    )
    grant: str | None = Field(None, description="The grant that came of it.")
    granted_until: datetime | None = None
    version: int


class AccessRequestCreate(Input):
    """A request for access. The answer is the same whether or not something of that name exists."""

    model_config = input_example(target="db.corp.internal", port=5432, reason="Release 4.2", duration_s=7200)

    target: Annotated[Text, Field(min_length=1, max_length=253, description="A host, or a resource's name or id.")]
    reason: Annotated[Text, Field(min_length=1, max_length=TEXT_MAX, description="For whoever answers.")]
    port: int | None = Field(None, ge=1, le=65535)
    duration_s: Duration = DURATION_DEFAULT_S


class AccessRequestApprove(Input):
    """Yes, and for how long; without `duration_s`, for as long as was asked."""

    model_config = input_example(duration_s=3600, resource=_RESOURCE, answer="Until the release is out.")

    duration_s: Duration | None = None
    resource: Id | None = Field(None, description="Needed when the target means several resources, or none.")
    policy: Id | None = Field(None, description="The policy that the grant stands under.")
    answer: Annotated[Text, Field(max_length=TEXT_MAX, description="For the asker.")] = ""


class AccessRequestDeny(Input):
    """No, and why."""

    model_config = input_example(answer="Use the replica: db-replica.corp.internal.")

    answer: Annotated[Text, Field(min_length=1, max_length=TEXT_MAX, description="For the asker.")]


class AccessRequestPage(Page[AccessRequest]):
    """One page of requests."""
