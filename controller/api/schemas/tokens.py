"""API tokens, roles and permissions."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from controller.api.schemas.common import Input, Moment, Name, Output, Page, Role, example, input_example
from controller.domain.permissions import TOKEN_SCOPES, Permission

_TOKEN = "apt_q1w2e3r4t5y6u7i8o9p0aA"  # noqa: S105 - an id
_USER = "usr_q1w2e3r4t5y6u7i8o9p0aA"


def _carried(scope: Permission) -> Permission:
    if scope not in TOKEN_SCOPES:
        raise ValueError("no API token carries this permission")
    return scope


Scope = Annotated[Permission, AfterValidator(_carried)]


class ApiToken(Output):
    """A bearer credential for programs. It acts for its owner, within its scopes and what the owner's role permits."""

    model_config = example(
        id=_TOKEN,
        name="terraform",
        owner=_USER,
        scopes=["grants:read", "grants:write"],
        hint="ost_api_Zx3k",
        created_at="2026-11-22T12:00:00Z",
        expires_at="2027-02-20T12:00:00Z",
        expired=False,
        last_used_at="2026-11-22T14:02:00Z",
        version=1,
    )

    id: str
    name: str | None = Field(description="Null after the owner's personal data was erased.")
    owner: str
    scopes: list[str]
    hint: str = Field(description="How the secret begins, to recognise it by.")
    created_at: datetime
    expires_at: datetime
    expired: bool
    last_used_at: datetime | None = Field(description="To the minute; null when it was never used.")
    version: int


class ApiTokenCreate(Input):
    """A new token of your own. Its scopes are permissions that you hold."""

    model_config = input_example(
        name="terraform", scopes=["grants:read", "grants:write"], expires_at="2026-12-24T18:00:00+01:00"
    )

    name: Name
    scopes: list[Scope] = Field(min_length=1, max_length=len(Permission))
    expires_at: Moment = Field(description="At most 366 days ahead.")


class ApiTokenCreated(ApiToken):
    """The new token with its secret, which is shown this once."""

    secret: str


class ApiTokenPage(Page[ApiToken]):
    """One page of API tokens."""


class RolePermissions(Output):
    """What one role permits."""

    role: Role
    permissions: list[str]


class Roles(Output):
    """All roles, and what an API token may carry."""

    model_config = example(
        items=[{"role": "member", "permissions": ["credentials:write", "self:read", "self:write"]}],
        token_scopes=["self:read", "self:write"],
    )

    items: list[RolePermissions]
    token_scopes: list[str]
