"""The state of everything on one page."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from controller.api.schemas.activity import Connection
from controller.api.schemas.common import Output, example

Bucket = Literal["hour", "day"]
Step = Literal["network", "connector", "connector_online", "relay", "resource", "grant", "client", "connection"]


class SummaryCount(Output):
    """How many there are, how many of them are well, and which are not."""

    model_config = example(total=3, healthy=2, troubled=["con_q1w2e3r4t5y6u7i8o9p0aA"])

    total: int
    healthy: int
    troubled: list[str] = Field(description="The ids of at most ten that are not.")


class SummaryBucket(Output):
    """Connections that ended within one hour or day."""

    model_config = example(start="2026-11-22T12:00:00Z", allowed=812, denied=3, failed=1)

    start: datetime
    allowed: int = Field(description="Served to their end.")
    denied: int = Field(description="Refused, or cut, by policy, token or proof.")
    failed: int = Field(description="Ended by anything else: a resource that refused, a relay that was lost.")


class FirstConnection(Output):
    """Whether the whole path has ever worked, and what is missing for it."""

    model_config = example(done=False, at=None, next="resource")

    done: bool = Field(description="Whether a connector has ever served a connection, as far as records are kept.")
    at: datetime | None = Field(description="When the first of them began.")
    next: Step | None = Field(description="The first thing that is missing; none when it is done.")


class Summary(Output):
    """The home page: counts with health, connections over time, recent denials."""

    model_config = example(
        revision=42,
        at="2026-11-22T14:00:00Z",
        withheld=[],
        networks={"total": 1, "healthy": 1, "troubled": []},
        connectors={"total": 1, "healthy": 1, "troubled": []},
        relays={"total": 1, "healthy": 1, "troubled": []},
        devices={"total": 2, "healthy": 1, "troubled": []},
        users={"total": 2, "healthy": 2, "troubled": []},
        open_access_requests=0,
        open_connections=4,
        connections=[{"start": "2026-11-22T13:00:00Z", "allowed": 812, "denied": 3, "failed": 1}],
        truncated=False,
        denials=[],
        first_connection={"done": True, "at": "2026-11-22T12:00:00Z", "next": None},
    )

    revision: int
    at: datetime
    withheld: list[str] = Field(
        description="Permissions that the caller lacks: what needs them is null, or his own only."
    )
    networks: SummaryCount | None = Field(description="Healthy: has a connector that is online.")
    connectors: SummaryCount | None = Field(description="Healthy: online.")
    relays: SummaryCount | None = Field(description="Healthy: connected to the controller.")
    devices: SummaryCount | None = Field(description="Healthy: online. One that is not is no trouble.")
    users: SummaryCount | None = Field(description="Healthy: not disabled.")
    open_access_requests: int | None
    open_connections: int = Field(description="That are open now; without `connections:read` the caller's own.")
    connections: list[SummaryBucket] = Field(description="Oldest first; a bucket in which nothing ended is not in it.")
    truncated: bool = Field(description="There were more connections than are counted: the oldest are left out.")
    denials: list[Connection] = Field(description="The newest ten that were denied.")
    first_connection: FirstConnection | None
