"""Bodies and answers about conditions: policies, exclusions, what a device said of itself."""

import re
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, Field

from controller.api.schemas.common import (
    Id,
    Input,
    Moment,
    Name,
    Output,
    Page,
    SubjectKind,
    Text,
    example,
    input_example,
)
from controller.domain import conditions as domain
from controller.domain import hours
from controller.domain.conditions import FACTS_MAX_AGE_DEFAULT_S
from controller.domain.rules_conditions import AGE_MAX_S, AGE_MIN_S, FACTS_AGE_MIN_S, LIST_MAX

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])\Z")


def _clock(value: str) -> str:
    match = _CLOCK.match(value)
    if match is None or (match[1] == "24" and match[2] != "00"):
        raise ValueError("a time of day is hh:mm, from 00:00 to 24:00")
    return value


ClockText = Annotated[str, Field(max_length=5, examples=["08:00"]), AfterValidator(_clock)]
Age = Annotated[int, Field(ge=AGE_MIN_S, le=AGE_MAX_S, description="Seconds.")]
Short = Annotated[Text, Field(max_length=64)]


class Window(BaseModel):
    """Some hours of some weekdays on the wall clock; with `end` at or before `start` it ends on the next day."""

    model_config = input_example(days=["mon", "tue", "wed", "thu", "fri"], start="08:00", end="18:00")

    days: list[Weekday] = Field(min_length=1, max_length=7, description="On which it begins.")
    start: ClockText = Field(description="Included.")
    end: ClockText = Field(description="Not included.")

    def to_domain(self) -> hours.Window:
        """The domain's value."""
        return hours.Window(tuple(_DAYS.index(day) + 1 for day in self.days), _minutes(self.start), _minutes(self.end))

    @classmethod
    def of(cls, window: hours.Window) -> "Window":
        """The API's form of the domain's value."""
        days = [_DAYS[day - 1] for day in window.days]
        return cls(days=days, start=_text(window.start), end=_text(window.end))


class Hours(BaseModel):
    """Any of the windows, in a time zone by its IANA name."""

    model_config = input_example(
        zone="Europe/Berlin", windows=[{"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "18:00"}]
    )

    zone: Short
    windows: list[Window] = Field(min_length=1, max_length=LIST_MAX)


class System(BaseModel):
    """An operating system: a distribution (`debian`), or `linux`, whose version is the kernel's."""

    model_config = input_example(name="debian", min_version="12")

    name: Annotated[Short, Field(min_length=1)]
    min_version: Short = ""


class Conditions(BaseModel):
    """What must hold, all of it. What is left out is not asked for; at least one thing must be."""

    model_config = input_example(
        mfa_max_age_s=28800,
        device_trusted=True,
        disk_encrypted=True,
        hours={
            "zone": "Europe/Berlin",
            "windows": [{"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "18:00"}],
        },
    )

    sign_in_max_age_s: Age | None = Field(None, description="The person proved who he is within so many seconds.")
    mfa_max_age_s: Age | None = Field(None, description="A second factor was passed within so many seconds.")
    device_trusted: bool = Field(False, description="An administrator trusts the device.")
    systems: list[System] = Field(default_factory=list, max_length=LIST_MAX, description="Any of these.")
    disk_encrypted: bool = Field(False, description="As the device reports.")
    firewall: bool = Field(False, description="Packet filter rules are loaded, as the device reports.")
    client_min_version: Short = Field("", description="As the device reports.")
    facts_max_age_s: Annotated[int, Field(ge=FACTS_AGE_MIN_S, le=AGE_MAX_S)] = Field(
        FACTS_MAX_AGE_DEFAULT_S, description="How old the device's report may be, in seconds."
    )
    sources: list[Annotated[Short, Field(examples=["192.0.2.0/24"])]] = Field(
        default_factory=list,
        max_length=LIST_MAX,
        description="The device's connection to the controller comes from one of these addresses or ranges.",
    )
    hours: Hours | None = None

    def to_domain(self) -> domain.Conditions:
        """The domain's value, which its own rules still judge."""
        asked = self.hours
        return domain.Conditions(
            sign_in_max_age_s=self.sign_in_max_age_s,
            mfa_max_age_s=self.mfa_max_age_s,
            device_trusted=self.device_trusted,
            systems=tuple(domain.SystemRule(item.name, item.min_version) for item in self.systems),
            disk_encrypted=self.disk_encrypted,
            firewall=self.firewall,
            client_min_version=self.client_min_version,
            facts_max_age_s=self.facts_max_age_s,
            sources=tuple(self.sources),
            hours=None
            if asked is None
            else hours.Hours(asked.zone, tuple(window.to_domain() for window in asked.windows)),
        )

    @classmethod
    def of(cls, asked: domain.Conditions) -> "Conditions":
        """The API's form of the domain's value."""
        shown = asked.hours
        return cls(
            sign_in_max_age_s=asked.sign_in_max_age_s,
            mfa_max_age_s=asked.mfa_max_age_s,
            device_trusted=asked.device_trusted,
            systems=[System(name=rule.name, min_version=rule.min_version) for rule in asked.systems],
            disk_encrypted=asked.disk_encrypted,
            firewall=asked.firewall,
            client_min_version=asked.client_min_version,
            facts_max_age_s=asked.facts_max_age_s,
            sources=list(asked.sources),
            hours=None
            if shown is None
            else Hours(zone=shown.zone, windows=[Window.of(window) for window in shown.windows]),
        )


_CONDITIONS: Final = Conditions.model_validate({"mfa_max_age_s": 28800, "device_trusted": True}).model_dump(mode="json")


class Policy(Output):
    """Conditions under which grants hold."""

    model_config = example(
        id="pol_q1w2e3r4t5y6u7i8o9p0aA",
        name="trusted laptops",
        conditions=_CONDITIONS,
        grants=3,
        created_at="2026-11-22T12:00:00Z",
        version=1,
    )

    id: str
    name: str
    conditions: Conditions
    grants: int = Field(description="How many grants are under it.")
    created_at: datetime
    version: int


class PolicyCreate(Input):
    """A new policy. Grants name it when they are created."""

    model_config = input_example(name="trusted laptops", conditions={"mfa_max_age_s": 28800, "device_trusted": True})

    name: Name
    conditions: Conditions


class PolicyChange(Input):
    """What is left out stays as it is; `conditions` are the whole new ones."""

    model_config = input_example(conditions={"mfa_max_age_s": 14400, "device_trusted": True})

    name: Name | None = None
    conditions: Conditions | None = None


class PolicyPage(Page[Policy]):
    """One page of policies."""


class Exclusion(Output):
    """The subject may not reach the resource, whatever grants say."""

    model_config = example(
        id="exc_q1w2e3r4t5y6u7i8o9p0aA",
        subject_kind="group",
        subject="grp_q1w2e3r4t5y6u7i8o9p0aA",
        resource="res_q1w2e3r4t5y6u7i8o9p0aA",
        expires_at=None,
        expired=False,
        created_at="2026-11-22T12:00:00Z",
        version=1,
    )

    id: str
    subject_kind: SubjectKind
    subject: str
    resource: str
    expires_at: datetime | None
    expired: bool
    created_at: datetime
    version: int


class ExclusionCreate(Input):
    """A new exclusion; without `expires_at` it has no end."""

    model_config = input_example(
        subject_kind="group", subject="grp_q1w2e3r4t5y6u7i8o9p0aA", resource="res_q1w2e3r4t5y6u7i8o9p0aA"
    )

    subject_kind: SubjectKind
    subject: Id
    resource: Id
    expires_at: Moment | None = None


class ExclusionPage(Page[Exclusion]):
    """One page of exclusions."""


class DeviceFacts(Output):
    """What a device last said of itself. Null and empty: it could not find out."""

    model_config = example(
        os="linux",
        distribution="debian",
        version="12",
        kernel="6.1.0-18-amd64",
        client="0.1.0",
        disk_encrypted=True,
        firewall=True,
        reported_at="2026-11-22T12:00:00Z",
    )

    os: str
    distribution: str
    version: str
    kernel: str
    client: str
    disk_encrypted: bool | None
    firewall: bool | None
    reported_at: datetime


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _text(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
