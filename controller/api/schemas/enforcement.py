"""The proof of enforcement of one change."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from controller.api.schemas.common import Output, example

_CONNECTOR = "con_q1w2e3r4t5y6u7i8o9p0aA"


class EnforcementSummary(Output):
    """Of one kind of agents."""

    agents: int = Field(description="How many the change concerns.")
    outstanding: int = Field(description="How many of them may still act by the policy before it.")
    complete_at: datetime | None = Field(
        description="Since when it is true at all of them; none while one is outstanding."
    )


class ChangeEnforcementAgent(Output):
    """One agent that the change concerns."""

    agent: str
    kind: Literal["client", "connector"]
    state: Literal["enforced", "lapsed", "never_connected", "outstanding"] = Field(
        description="`lapsed`: it was not heard for longer than its longest lease, so that what it held has ended by itself."
    )
    since: datetime | None = Field(description="Since when the change is true at this agent.")
    acknowledged_revision: int | None = Field(
        description="The revision with which it said so: this one or a later one."
    )
    digest: str | None = Field(
        description="SHA-256 of the snapshot or config that it enforces, as acknowledged and compared with what it was sent."
    )
    online: bool
    heard_at: datetime | None = Field(description="When it was heard last, at whichever replica.")
    lease_ends_at: datetime | None = Field(description="Until when at the latest it may go on without us.")


class ChangeEnforcement(Output):
    """Who enforces one change, since when. Those who do not come first."""

    model_config = example(
        revision=42,
        event="grant.revoked/1",
        stream="gra_q1w2e3r4t5y6u7i8o9p0aA",
        actor="usr_q1w2e3r4t5y6u7i8o9p0aA",
        made_at="2026-11-22T14:02:07Z",
        enforced_at="2026-11-22T14:02:09Z",
        connectors={"agents": 1, "outstanding": 0, "complete_at": "2026-11-22T14:02:08Z"},
        clients={"agents": 1, "outstanding": 0, "complete_at": "2026-11-22T14:02:09Z"},
        ended=[],
        items=[
            {
                "agent": _CONNECTOR,
                "kind": "connector",
                "state": "enforced",
                "since": "2026-11-22T14:02:08Z",
                "acknowledged_revision": 42,
                "digest": "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0",
                "online": True,
                "heard_at": "2026-11-22T14:05:00Z",
                "lease_ends_at": None,
            }
        ],
        next_cursor=None,
    )

    revision: int
    event: str = Field(description="What made it.")
    stream: str
    actor: str
    made_at: datetime
    enforced_at: datetime | None = Field(
        description="Since when it is true everywhere; none while an agent is outstanding."
    )
    connectors: EnforcementSummary = Field(description="They are what stands between people and resources.")
    clients: EnforcementSummary
    ended: list[str] = Field(
        description="Agents that lost their standing, by this change or since: connectors refuse them."
    )
    items: list[ChangeEnforcementAgent]
    next_cursor: str | None = None
