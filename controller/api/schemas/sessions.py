"""Sign-ins, second factors, and the rules about them."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from controller.api.schemas.common import Input, Output, Page, Role, Text, example, input_example
from controller.domain.rules import EMAIL_MAX
from controller.identity.passwords import PASSWORD_MAX

CODE_MAX = 64
_USER = "usr_q1w2e3r4t5y6u7i8o9p0aA"
Kind = Literal["api", "console"]


class SessionCreate(Input):
    """Credentials of a local account. With `kind` console the token comes as a cookie for a browser's pages."""

    model_config = input_example(email="ada@corp.example", password="correct horse battery staple")  # noqa: S106 - an example

    email: Text = Field(min_length=1, max_length=EMAIL_MAX)
    password: Text = Field(min_length=1, max_length=PASSWORD_MAX, json_schema_extra={"format": "password"})
    code: Text | None = Field(
        None, max_length=CODE_MAX, description="One-time or recovery code, if it is known already."
    )
    kind: Kind = "api"


class SecondFactorGiven(Input):
    """The second step of a sign-in."""

    model_config = input_example(pending="ost_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", code="123456")

    pending: Text | None = Field(None, max_length=64, description="From the first step; the console's is a cookie.")
    code: Text = Field(min_length=1, max_length=CODE_MAX, description="One-time code, or a recovery code.")
    kind: Kind = "api"


class Session(Output):
    """One sign-in of a person."""

    model_config = example(
        id="tok_q1w2e3r4t5y6u7i8o9p0aA",
        user=_USER,
        kind="api",
        method="password+totp",
        authenticated_at="2026-11-22T12:00:00Z",
        second_factor_at="2026-11-22T12:00:09Z",
        created_at="2026-11-22T12:00:09Z",
        seen_at="2026-11-22T12:30:00Z",
        expires_at="2026-11-23T00:00:00Z",
        address="198.51.100.7",
        agent="ostiary/0.1.0",
        current=True,
    )

    id: str
    user: str
    kind: Literal["api", "console", "page"] = Field(description="What it is good for; `page` only approves devices.")
    method: str = Field(description="How the person proved who he is, such as `password+totp` or `oidc:https://…`.")
    authenticated_at: datetime
    second_factor_at: datetime | None = Field(description="When a second factor was last passed; null: never.")
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    address: str = Field(description="Where it was made from.")
    agent: str = Field(description="The User-Agent that made it.")
    current: bool = Field(description="Whether this very request uses it.")


class SessionCreated(Session):
    """The new session with its bearer token, which is shown this once."""

    token: str | None = Field(description="Null for the console: its browser got a cookie.")
    role: Role


class SessionPending(Output):
    """The password was right; now the second factor, at `POST /api/v1/sessions/second-factor`."""

    model_config = example(
        pending="ost_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        second_factor="totp",
        expires_at="2026-11-22T12:05:00Z",
    )

    pending: str | None = Field(description="Send it with the code. Null for the console: its browser got a cookie.")
    second_factor: str = Field(description="What is asked for; a recovery code does as well.")
    expires_at: datetime


class SessionPage(Page[Session]):
    """One page of sessions."""


class SessionsEnded(Output):
    """How many sign-ins were ended."""

    model_config = example(ended=3)

    ended: int


class SecondFactor(Output):
    """The state of a person's second factor."""

    model_config = example(method="totp", confirmed_at="2026-11-22T12:00:00Z", recovery_codes_left=10, required=True)

    method: str | None = Field(description="Null when there is none.")
    confirmed_at: datetime | None
    recovery_codes_left: int
    required: bool = Field(description="Whether the rules want one of this person.")


class SecondFactorBegun(Output):
    """Put the secret into an authenticator app, then confirm with a code. Shown this once."""

    model_config = example(
        secret="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",  # noqa: S106 - an example
        uri="otpauth://totp/Ostiary%20ostiary.example.com:ada%40corp.example?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    )

    secret: str
    uri: str = Field(description="What authenticator apps scan as a QR code.")


class CodeGiven(Input):
    """A one-time code; where a second factor is in force a recovery code does as well."""

    model_config = input_example(code="123456")

    code: Text = Field(min_length=1, max_length=CODE_MAX)


class RecoveryCodes(Output):
    """Codes that stand in for the authenticator, once each. Shown this once."""

    model_config = example(recovery_codes=["ABCD-EFGH-IJKL-MNOP"])

    recovery_codes: list[str]


class DeviceStepUp(Input):
    """A device asks its user for the second factor again. `proof` is an assertion (RFC 7523) by the device's key."""

    model_config = input_example(
        device="dev_q1w2e3r4t5y6u7i8o9p0aA",
        proof="eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
        code="123456",
    )

    device: Text = Field(min_length=1, max_length=64)
    proof: Text = Field(min_length=1, max_length=16 * 1024)
    code: Text = Field(min_length=1, max_length=CODE_MAX)


class SteppedUp(Output):
    """When the second factor was passed, as policies see it."""

    model_config = example(session="ses_q1w2e3r4t5y6u7i8o9p0aA", second_factor_at="2026-11-22T12:00:00Z")

    session: str
    second_factor_at: datetime


class SignInRules(Output):
    """Who must have passed a second factor to use the controller."""

    model_config = example(second_factor_for="staff", version=1)

    second_factor_for: Literal["nobody", "staff", "everybody"]
    version: int


class SignInRulesChange(Input):
    """`staff` is everybody whose role is above member. It takes effect at once, also on sessions that exist."""

    model_config = input_example(second_factor_for="nobody")

    second_factor_for: Literal["nobody", "staff", "everybody"]
