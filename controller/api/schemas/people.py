"""Users, groups, service accounts, devices, grants, sign-ins."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from controller.api.schemas.common import (
    Id,
    Input,
    Moment,
    Name,
    Output,
    Page,
    Role,
    SubjectKind,
    Text,
    example,
    input_example,
)
from controller.api.schemas.policies import DeviceFacts
from controller.api.schemas.sessions import Session
from controller.domain.rules import EMAIL_MAX
from controller.identity.passwords import PASSWORD_MAX

_USER = "usr_q1w2e3r4t5y6u7i8o9p0aA"
_GROUP = "grp_q1w2e3r4t5y6u7i8o9p0aA"
_DEVICE = "dev_q1w2e3r4t5y6u7i8o9p0aA"
_SERVICE = "svc_q1w2e3r4t5y6u7i8o9p0aA"
_RESOURCE = "res_q1w2e3r4t5y6u7i8o9p0aA"


class User(Output):
    """A person."""

    model_config = example(
        id=_USER,
        email="grace@corp.example",
        name="Grace",
        role="member",
        disabled=False,
        second_factor="totp",
        created_at="2026-11-22T12:00:00Z",
        version=1,
    )

    id: str
    email: str | None = Field(description="Null after the personal data was erased.")
    name: str | None
    role: Role
    disabled: bool
    second_factor: str | None = Field(None, description="What is asked for besides the password; null: nothing.")
    created_at: datetime
    version: int


class Me(User):
    """The caller."""

    permissions: list[str] = Field(description="What this request's session or API token permits.")
    session: Session | None = Field(description="Null for an API token.")
    api_token: str | None = Field(None, description="The id of the API token; null for a session.")


class UserCreate(Input):
    """A new account. Without a password one is made up and shown once, but not to an API token."""

    model_config = input_example(email="grace@corp.example", name="Grace", role="member")

    email: Text = Field(min_length=3, max_length=EMAIL_MAX)
    name: Name
    role: Role = "member"
    password: Text | None = Field(None, max_length=PASSWORD_MAX, json_schema_extra={"format": "password"})


class UserCreated(User):
    """The new user."""

    initial_password: str | None = Field(None, description="Only when it was made up; shown this once.")


class UserChange(Input):
    """What is not given stays as it is."""

    model_config = input_example(role="admin")

    role: Role | None = None
    disabled: bool | None = Field(None, description="A disabled user reaches nothing, at once.")
    name: Name | None = None


class PasswordSet(Input):
    """A new password. Users name their present one too; owners and admins set those of others without it."""

    model_config = input_example(password="correct horse battery staple")  # noqa: S106 - an example

    password: Text = Field(min_length=1, max_length=PASSWORD_MAX, json_schema_extra={"format": "password"})
    current_password: Text | None = Field(None, max_length=PASSWORD_MAX, json_schema_extra={"format": "password"})


class UserPage(Page[User]):
    """One page of users."""


class Group(Output):
    """A set of users."""

    model_config = example(id=_GROUP, name="engineers", members=12, created_at="2026-11-22T12:00:00Z", version=13)

    id: str
    name: str
    members: int = Field(description="How many users are in it.")
    created_at: datetime
    version: int


class GroupCreate(Input):
    """A new group without members."""

    model_config = input_example(name="engineers")

    name: Name


class GroupChange(Input):
    """A new name."""

    model_config = input_example(name="developers")

    name: Name


class GroupPage(Page[Group]):
    """One page of groups."""


class Device(Output):
    """One installation of the client."""

    model_config = example(
        id=_DEVICE,
        name="grace-laptop",
        platform="linux",
        owner_kind="user",
        owner=_USER,
        registered_at="2026-11-22T12:00:00Z",
        session="ses_q1w2e3r4t5y6u7i8o9p0aA",
        session_expires_at="2026-12-22T12:00:00Z",
        trusted=True,
        facts=None,
        online=True,
        since="2026-11-22T12:00:05Z",
        software="0.1.0",
        clock_offset_ms=-12,
        enforced_revision=41,
        version=1,
    )

    id: str
    name: str | None
    platform: str
    owner_kind: Literal["user", "service_account"]
    owner: str
    registered_at: datetime
    session: str | None = Field(None, description="The sign-in on it; null for service accounts and after sign-out.")
    session_expires_at: datetime | None = None
    trusted: bool = Field(description="An administrator vouches for it.")
    facts: DeviceFacts | None = Field(None, description="What it last said of itself; null: never anything.")
    online: bool
    since: datetime | None = None
    software: str = ""
    clock_offset_ms: int | None = None
    enforced_revision: int | None = None
    version: int


class DevicePage(Page[Device]):
    """One page of devices."""


class ServiceAccount(Output):
    """A principal without a person: servers and jobs."""

    model_config = example(
        id=_SERVICE, name="ci", disabled=False, devices=1, created_at="2026-11-22T12:00:00Z", version=1
    )

    id: str
    name: str
    disabled: bool
    devices: int = Field(description="How many hosts are enrolled for it.")
    created_at: datetime
    version: int


class ServiceAccountCreate(Input):
    """A new service account."""

    model_config = input_example(name="ci")

    name: Name


class ServiceAccountChange(Input):
    """Disable or enable it."""

    model_config = input_example(disabled=True)

    disabled: bool


class ServiceAccountCreated(ServiceAccount):
    """The new service account with a first enrolment token, which is shown this once."""

    enrolment_token: str
    enrolment_expires_at: datetime


class ServiceAccountPage(Page[ServiceAccount]):
    """One page of service accounts."""


class Grant(Output):
    """The subject may reach the resource."""

    model_config = example(
        id="gra_q1w2e3r4t5y6u7i8o9p0aA",
        subject_kind="group",
        subject=_GROUP,
        resource=_RESOURCE,
        expires_at=None,
        expired=False,
        policy=None,
        created_at="2026-11-22T12:00:00Z",
        version=1,
    )

    id: str
    subject_kind: SubjectKind
    subject: str
    resource: str
    expires_at: datetime | None
    expired: bool
    policy: str | None = Field(description="The policy under which it holds; null: always.")
    created_at: datetime
    version: int


class GrantCreate(Input):
    """A new grant; without `expires_at` it has no end, without `policy` no conditions."""

    model_config = input_example(
        subject_kind="group", subject=_GROUP, resource=_RESOURCE, expires_at="2026-12-24T18:00:00+01:00"
    )

    subject_kind: SubjectKind
    subject: Id
    resource: Id
    expires_at: Moment | None = None
    policy: Id | None = None


class GrantPage(Page[Grant]):
    """One page of grants."""
