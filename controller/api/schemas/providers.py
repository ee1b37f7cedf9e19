"""Identity providers, and who people are there."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from controller.api.schemas.common import Id, Input, Name, Output, Page, Text, example, input_example

_PROVIDER = "idp_q1w2e3r4t5y6u7i8o9p0aA"
_GROUP = "grp_q1w2e3r4t5y6u7i8o9p0aA"
NewUsers = Literal["refuse", "create"]
SecondFactorOf = Literal["own", "provider"]
SECRET_MAX = 1024

_PARTS = {
    "client_id": "ostiary",
    "scopes": ["openid", "email", "profile", "groups"],
    "groups_claim": "groups",
    "email_domains": ["corp.example"],
    "new_users": "create",
    "second_factor": "own",
}


class GroupMapping(Output):
    """Whoever has `claim` among his groups at the provider is in `group`."""

    model_config = example(claim="engineers", group=_GROUP)

    claim: Text = Field(min_length=1, max_length=200)
    group: Id


class IdentityProvider(Output):
    """An OpenID Connect provider through which people sign in. Its client secret is never shown."""

    model_config = example(
        id=_PROVIDER,
        name="Corp",
        issuer="https://id.corp.example",
        **_PARTS,
        groups=[{"claim": "engineers", "group": _GROUP}],
        redirect_uri=f"https://controller.example.com/sign-in/{_PROVIDER}/callback",
        created_at="2026-11-22T12:00:00Z",
        version=1,
    )

    id: str
    name: str
    issuer: str
    client_id: str
    scopes: list[str]
    groups_claim: str | None
    email_domains: list[str]
    new_users: NewUsers
    second_factor: SecondFactorOf
    groups: list[GroupMapping]
    redirect_uri: str = Field(description="Register this at the provider.")
    created_at: datetime
    version: int


class IdentityProviderCreate(Input):
    """`issuer` exactly as the provider writes it into its tokens."""

    model_config = input_example(
        name="Corp",
        issuer="https://id.corp.example",
        client_secret="q1w2e3r4t5y6u7i8o9p0",  # noqa: S106 - an example
        **_PARTS,
    )

    name: Name
    issuer: Text = Field(min_length=1, max_length=256)
    client_id: Text = Field(min_length=1, max_length=256)
    client_secret: Text = Field(min_length=1, max_length=SECRET_MAX, json_schema_extra={"format": "password"})
    scopes: list[Text] = Field(["openid", "email", "profile"], max_length=16)
    groups_claim: Text | None = Field(None, max_length=200, description="The claim that lists a person's groups.")
    email_domains: list[Text] = Field(
        [], max_length=32, description="Only verified addresses of these domains sign in; empty: no limit."
    )
    new_users: NewUsers = Field("refuse", description="Whether an unknown person gets an account (role member).")
    second_factor: SecondFactorOf = Field(
        "own", description="`provider`: a second factor that the provider says it checked (`amr`) counts."
    )


class IdentityProviderChange(Input):
    """What is not given stays as it is. The issuer cannot change: it is half of every identity."""

    model_config = input_example(new_users="refuse")

    name: Name | None = None
    client_id: Text | None = Field(None, min_length=1, max_length=256)
    client_secret: Text | None = Field(
        None, min_length=1, max_length=SECRET_MAX, json_schema_extra={"format": "password"}
    )
    scopes: list[Text] | None = Field(None, max_length=16)
    groups_claim: Text | None = Field(None, max_length=200, description="Empty: none.")
    email_domains: list[Text] | None = Field(None, max_length=32)
    new_users: NewUsers | None = None
    second_factor: SecondFactorOf | None = None


class GroupMappings(Input):
    """The whole mapping."""

    model_config = input_example(groups=[{"claim": "engineers", "group": _GROUP}])

    groups: list[GroupMapping] = Field(max_length=256)


class IdentityProviderPage(Page[IdentityProvider]):
    """One page of identity providers."""


class ProviderCheck(Output):
    """What the provider says about itself, as it was fetched just now or a short while ago."""

    model_config = example(
        issuer="https://id.corp.example",
        authorization_endpoint="https://id.corp.example/auth",
        token_endpoint="https://id.corp.example/token",  # noqa: S106 - a URL
        algorithms=["RS256", "ES256"],
        names_issuer=True,
    )

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    algorithms: list[str]
    names_issuer: bool = Field(description="Whether answers say who sends them (RFC 9207).")


class SignInMethod(Output):
    """A way to sign in."""

    model_config = example(id=_PROVIDER, name="Corp", url=f"/sign-in/{_PROVIDER}")

    id: str
    name: str
    url: str = Field(description="Where a browser begins; add `?console=/` for the console.")


class SignInMethods(Output):
    """Ways to sign in besides a password."""

    model_config = example(providers=[{"id": _PROVIDER, "name": "Corp", "url": f"/sign-in/{_PROVIDER}"}], passkeys=True)

    providers: list[SignInMethod]
    passkeys: bool = Field(description="Whether browsers make passkeys for this controller: its public URL has a name.")


class Identity(Output):
    """Who a user is at a provider."""

    model_config = example(
        provider=_PROVIDER,
        issuer="https://id.corp.example",
        subject="248289761001",
        created_at="2026-11-22T12:00:00Z",
        seen_at="2026-11-23T08:00:00Z",
    )

    provider: str | None = Field(description="Null when no provider of this issuer is configured any more.")
    issuer: str
    subject: str
    created_at: datetime
    seen_at: datetime | None = Field(description="The last sign-in with it.")


class Identities(Output):
    """All identities of a user."""

    model_config = example(
        items=[
            {
                "provider": _PROVIDER,
                "issuer": "https://id.corp.example",
                "subject": "248289761001",
                "created_at": "2026-11-22T12:00:00Z",
                "seen_at": None,
            }
        ]
    )

    items: list[Identity]


class IdentityLink(Input):
    """`subject` as the provider names the person: not his e-mail address."""

    model_config = input_example(provider=_PROVIDER, subject="248289761001")

    provider: Id
    subject: Text = Field(min_length=1, max_length=255)
