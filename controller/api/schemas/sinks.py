"""Sinks: where connection records and audit events are sent to."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from controller.api.schemas.common import Input, Output, Page, example, input_example

Content = Literal["connections", "events"]
SinkKind = Literal["https", "syslog_tls", "syslog_tcp"]


def _everything() -> list[Content]:
    return ["connections", "events"]


class SinkCreate(Input):
    """A new destination. It gets what happens from now on, or with `from_start` everything that is kept."""

    model_config = input_example(
        name="siem",
        kind="https",
        destination="https://siem.corp.example/ingest/ostiary",
        token="a-bearer-token",  # noqa: S106 - an example
        content=["connections", "events"],
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    kind: SinkKind = Field(
        description="`https`: POST of JSON lines, taken when answered with 2xx. `syslog_tls` (RFC 5425), `syslog_tcp` (RFC 6587, "
        "not encrypted): RFC 5424 messages, taken when the receiver's host has acknowledged every byte."
    )
    destination: Annotated[str, StringConstraints(min_length=1, max_length=512)] = Field(
        description="`https://HOST[:PORT]/PATH` without user, query or fragment; for syslog `HOST[:PORT]`."
    )
    token: Annotated[str, StringConstraints(max_length=4096, pattern=r"^[!-~]*$")] = Field(
        "", description="Sent as `Authorization: Bearer`; stored sealed and never shown again. Only for `https`."
    )
    ca_pem: Annotated[str, StringConstraints(max_length=65_536)] = Field(
        "", description="Trust this CA instead of the system's."
    )
    content: list[Content] = Field(default_factory=_everything, min_length=1, max_length=2)
    from_start: bool = False


class Sink(Output):
    """A destination and how far it has got."""

    model_config = example(
        id="snk_q1w2e3r4t5y6u7i8o9p0aA",
        name="siem",
        kind="https",
        destination="https://siem.corp.example/ingest/ostiary",
        content=["connections", "events"],
        created_at="2026-11-22T12:00:00Z",
        state="delivering",
        delivered=1207,
        delivered_at="2026-11-22T14:02:09Z",
        pending_connections=0,
        pending_events=0,
        failing_since=None,
        failure=None,
        detail=None,
    )

    id: str
    name: str
    kind: SinkKind
    destination: str
    content: list[Content]
    created_at: datetime
    state: Literal["delivering", "failing"]
    delivered: int = Field(description="Records taken since its creation, repetitions included.")
    delivered_at: datetime | None
    pending_connections: int = Field(description="At most so many changes of connections wait for it.")
    pending_events: int
    failing_since: datetime | None
    failure: str | None = Field(description="Reason code of the last failure.")
    detail: str | None


class SinkPage(Page[Sink]):
    """The sinks."""
