"""What happened and what is in force: connections, events, enforcement, signing keys."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from controller.api.schemas.common import Output, Page, example

_DEVICE = "dev_q1w2e3r4t5y6u7i8o9p0aA"
_USER = "usr_q1w2e3r4t5y6u7i8o9p0aA"


class OtherSide(Output):
    """What the other side of a flow reported: the client, or the connector."""

    reporter: str = Field(description="`connector` or `client`.")
    token: str
    started_at: datetime
    ended_at: datetime | None = Field(description="None while it is open.")
    open: bool
    bytes_up: int = Field(description="Of an open one: as of the last report.")
    bytes_down: int
    outcome: str | None = Field(description="Reason code; none while it is open.")


class Connection(Output):
    """One flow, served or denied, as the connector (or, when it never got that far, the client) reported it."""

    model_config = example(
        id=1207,
        token="Jx1c0o3Zr0mXkq4b2tqv0w",  # noqa: S106 - an id
        path="relay",
        open=False,
        flow="flw_q1w2e3r4t5y6u7i8o9p0aA",
        reporter="connector",
        device=_DEVICE,
        user=_USER,
        resource="res_q1w2e3r4t5y6u7i8o9p0aA",
        network="net_q1w2e3r4t5y6u7i8o9p0aA",
        connector="con_q1w2e3r4t5y6u7i8o9p0aA",
        relay="rel_q1w2e3r4t5y6u7i8o9p0aA",
        host="db.prod.internal",
        address="10.20.0.5",
        transport="tcp",
        port=5432,
        started_at="2026-11-22T12:00:00Z",
        ended_at="2026-11-22T12:00:09Z",
        bytes_up=1200,
        bytes_down=88000,
        outcome="normal",
        revision=41,
        grants=["gra_q1w2e3r4t5y6u7i8o9p0aA"],
        differs=[],
        other=None,
    )

    id: int
    flow: str = Field(description="Chosen by the client: the same in what both sides report.")
    token: str = Field(description="Id of the access token on which it was opened; joins both sides. May be empty.")
    reporter: str = Field(description="`connector` or `client`.")
    device: str
    user: str = Field(description="User or service account.")
    resource: str | None
    network: str | None
    connector: str | None
    relay: str | None
    path: str = Field(description="`relay` or `direct`; empty when no connector was reached.")
    host: str = Field(description="What was asked for.")
    address: str = Field(description="What was dialled; empty when nothing was.")
    transport: str
    port: int | None
    started_at: datetime
    ended_at: datetime | None = Field(description="None while it is open.")
    open: bool
    bytes_up: int = Field(description="Of an open one: as of the last report.")
    bytes_down: int
    outcome: str | None = Field(
        description="Reason code; `normal` when it was served, `end_unknown` when nobody reported its end; "
        "none while it is open."
    )
    revision: int = Field(description="The policy revision that decided.")
    grants: list[str]
    differs: list[str] = Field(
        description="In what the records of client and connector contradict each other: `bytes`, `connector`, `outcome`, `target`. "
        "An honest pair has nothing here."
    )
    other: OtherSide | None = Field(description="What the other side of the flow reported; none while it has not.")


class ConnectionPage(Page[Connection]):
    """One page of connection records, newest first."""


class Event(Output):
    """One entry of the audit trail. The log is append-only and hash-chained."""

    model_config = example(
        position=42,
        type="grant.created/1",
        at="2026-11-22T12:00:00Z",
        actor=_USER,
        stream="gra_q1w2e3r4t5y6u7i8o9p0aA",
        request_id="req_2f8a5bb0c1d94f7e",
        data={"grant": "gra_q1w2e3r4t5y6u7i8o9p0aA", "subject_kind": "user", "subject": _USER},
        names={_USER: "Ada"},
        hash="c2hhMjU2",
    )

    position: int = Field(description="Also the policy revision that it made.")
    type: str
    at: datetime
    actor: str = Field(description="Who caused it: a user, an agent, or `system`.")
    stream: str = Field(description="The thing it is about.")
    request_id: str
    data: dict[str, Any]
    names: dict[str, str] = Field(
        description="Names of the people and devices in it, as far as they are not erased; not part of the log."
    )
    hash: str


class EventPage(Page[Event]):
    """One page of events."""


class AgentEnforcement(Output):
    """What one agent enforces."""

    agent: str
    kind: Literal["client", "connector"]
    online: bool
    enforced_revision: int = Field(description="0: nothing yet.")
    enforced_at: datetime | None
    pending_revision: int | None = Field(
        None, description="The first revision that concerns this agent and that it does not enforce yet."
    )
    current: bool = Field(description="It enforces everything that concerns it.")


class Enforcement(Output):
    """Which agent enforces which revision: when all are current, the policy is in force everywhere."""

    model_config = example(
        revision=42,
        behind=0,
        items=[
            {
                "agent": "con_q1w2e3r4t5y6u7i8o9p0aA",
                "kind": "connector",
                "online": True,
                "enforced_revision": 42,
                "enforced_at": "2026-11-22T14:02:09Z",
                "pending_revision": None,
                "current": True,
            }
        ],
        next_cursor=None,
    )

    revision: int = Field(description="The controller's policy revision.")
    behind: int = Field(description="How many agents are not current.")
    items: list[AgentEnforcement]
    next_cursor: str | None = None


class Key(Output):
    """A key that signs tokens."""

    model_config = example(kid="k-7f3a9c", status="active", added_at="2026-11-22T12:00:00Z", version=2)

    kid: str
    status: Literal["next", "active", "previous", "distrusted"]
    added_at: datetime | None
    version: int


class KeyPage(Page[Key]):
    """The signing keys."""


class Health(Output):
    """Whether the controller works."""

    model_config = example(status="ok", checks={"database": "ok"}, software="0.1.0")

    status: Literal["ok", "unavailable"]
    checks: dict[str, str] = Field(default_factory=dict)
    software: str
