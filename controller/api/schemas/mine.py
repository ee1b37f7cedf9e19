"""What a person sees of himself: resources that he may reach, and what was denied to him."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from controller.api.schemas.common import Output, Page, Ports, SubjectKind, example

_RESOURCE = "res_q1w2e3r4t5y6u7i8o9p0aA"
_DEVICE = "dev_q1w2e3r4t5y6u7i8o9p0aA"


class MyGrant(Output):
    """One grant that leads there."""

    id: str
    via: SubjectKind = Field(description="Whether it was given to the person or to a group that he is in.")
    via_name: str | None = Field(description="The group's name.")
    expires_at: datetime | None = Field(description="Null: no end.")
    expired: bool
    policy: str | None = Field(description="The name of the policy under which it holds.")


class MyWay(Output):
    """Whether one of the person's devices may go there now."""

    device: str
    verdict: Literal["permitted", "conditional", "denied"] = Field(
        description="`conditional`: permitted if the device is at an allowed place."
    )
    reason: str | None = Field(description="Why not, or on what it depends; a reason code.")
    sentence: str | None = Field(description="The same for people.")
    next: str | None = Field(description="What to do about it.")


class MyResource(Output):
    """A resource to which grants lead the person."""

    model_config = example(
        id=_RESOURCE,
        name="wiki",
        address="wiki.corp.internal",
        network_name="office",
        ports={"tcp": ["443"], "udp": [], "icmp": False},
        until=None,
        grants=[
            {
                "id": "gra_q1w2e3r4t5y6u7i8o9p0aA",
                "via": "group",
                "via_name": "engineering",
                "expires_at": None,
                "expired": False,
                "policy": "work hours",
            }
        ],
        devices=[{"device": _DEVICE, "verdict": "permitted", "reason": None, "sentence": None, "next": None}],
    )

    id: str
    name: str
    address: str
    network_name: str
    ports: Ports
    until: datetime | None = Field(description="When the last of the living grants ends; null: no end.")
    grants: list[MyGrant] = Field(description="Why: all that lead there, expired ones too.")
    devices: list[MyWay]


class MyResourcePage(Page[MyResource]):
    """One page of resources, by name."""


class MyDenial(Output):
    """Something that was denied to the person, and why."""

    model_config = example(
        id=1207,
        at="2026-11-22T12:00:00Z",
        device=_DEVICE,
        resource=_RESOURCE,
        resource_name="wiki",
        host="wiki.corp.internal",
        transport="tcp",
        port=22,
        reason="port_not_allowed",
        sentence="The resource does not include this port.",
        next="Ask an administrator to add the port.",
    )

    id: int
    at: datetime
    device: str
    resource: str | None
    resource_name: str | None = Field(description="While a grant still leads the person there.")
    host: str
    transport: str
    port: int | None
    reason: str
    sentence: str
    next: str


class MyDenialPage(Page[MyDenial]):
    """One page of denials, newest first."""
