"""What agents send to get an identity: enrolment (C1, C2) and device sign-in (RFC 8628, C6)."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from controller.api.schemas.common import Input, Output, Text, example, input_example
from protocol.limits import TOKEN_MAX_BYTES

_JWK: dict[str, Any] = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


class Jwk(BaseModel):
    """A public P-256 key (RFC 7518 section 6.2.1), with exactly these members."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [_JWK]})

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Text = Field(min_length=43, max_length=43)
    y: Text = Field(min_length=43, max_length=43)


class EnrolRequest(Input):
    """Redeems an enrolment token. `proof` is an assertion (RFC 7523) signed by the key in `jwk`."""

    model_config = input_example(
        secret="q1w2e3r4t5y6u7i8o9p0aAq1w2e3r4t5y6u7i8o9p0a",  # noqa: S106 - an example
        kind="connector",
        jwk=_JWK,
        pin="sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        hostname="gw1",
        proof="eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
    )

    secret: Text = Field(min_length=1, max_length=128)
    kind: Literal["connector", "relay", "service"]
    jwk: Jwk
    pin: Text | None = Field(None, max_length=64, description="Connector: pin of its own certificate.")
    csr: Text | None = Field(None, max_length=8192, description="Relay: certificate request in PEM.")
    hostname: Text = Field("", max_length=255)
    proof: Text = Field(min_length=1, max_length=TOKEN_MAX_BYTES)


class EnrolReply(Output):
    """The new identity. Which members there are depends on the kind."""

    model_config = example(
        connector="con_q1w2e3r4t5y6u7i8o9p0aA",
        network="net_q1w2e3r4t5y6u7i8o9p0aA",
        issuer="ctl_q1w2e3r4t5y6u7i8o9p0aA",
        controller_url="https://controller.example.com",
        jwks={"keys": []},
    )

    issuer: str
    controller_url: str
    jwks: dict[str, Any]
    connector: str | None = None
    network: str | None = None
    relay: str | None = None
    fqdn: str | None = None
    port: int | None = None
    certificate: str | None = Field(None, description="PEM chain.")
    device: str | None = None
    service_account: str | None = None


class DeviceAuthorizationRequest(Input):
    """Starts a sign-in (RFC 8628 section 3.1) for the device whose key is `jwk`; `proof` shows that it holds it."""

    model_config = input_example(
        client_id="ostiary",
        jwk=_JWK,
        device_name="grace-laptop",
        platform="linux",
        proof="eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
    )

    client_id: Literal["ostiary"]
    scope: Literal["device", "administration"] = Field(
        "device",
        description="What comes of the approval: this device with a session, or a bearer token of the API for the command "
        "line. The key then only binds the polls to the start.",
    )
    jwk: Jwk
    device_name: Text = Field(min_length=1, max_length=200)
    platform: Text = Field(min_length=1, max_length=64)
    proof: Text = Field(min_length=1, max_length=TOKEN_MAX_BYTES)


class DeviceAuthorizationReply(Output):
    """RFC 8628 section 3.2."""

    model_config = example(
        device_code="GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS1o",
        user_code="WDJB-MJHT",
        verification_uri="https://controller.example.com/device",
        verification_uri_complete="https://controller.example.com/device?user_code=WDJB-MJHT",
        expires_in=600,
        interval=2,
    )

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class TokenRequest(Input):
    """Asks whether the sign-in was approved (RFC 8628 section 3.4)."""

    model_config = input_example(
        grant_type="urn:ietf:params:oauth:grant-type:device_code",
        device_code="GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS1o",
        proof="eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
    )

    grant_type: Text = Field(max_length=100)
    device_code: Text = Field(min_length=1, max_length=128)
    proof: Text = Field(min_length=1, max_length=TOKEN_MAX_BYTES)
    client_id: Literal["ostiary"] = "ostiary"


class TokenReply(Output):
    """The device and its session. There is no bearer token: the device's key is the credential."""

    model_config = example(
        device="dev_q1w2e3r4t5y6u7i8o9p0aA",
        user="usr_q1w2e3r4t5y6u7i8o9p0aA",
        session="ses_q1w2e3r4t5y6u7i8o9p0aA",
        session_expires=1798000000,
        issuer="ctl_q1w2e3r4t5y6u7i8o9p0aA",
        controller_url="https://controller.example.com",
        jwks={"keys": []},
    )

    device: str
    user: str
    session: str
    session_expires: int = Field(description="Unix seconds.")
    issuer: str
    controller_url: str
    jwks: dict[str, Any]


class AdministrationToken(Output):
    """A session of the API (RFC 6749 section 5.1), for a sign-in that was started with the scope `administration`."""

    model_config = example(
        access_token="ost_q1w2e3r4t5y6u7i8o9p0aAq1w2e3r4t5y6u7i8o9p0a",  # noqa: S106 - an example
        token_type="Bearer",  # noqa: S106 - a word
        expires_in=43200,
        user="usr_q1w2e3r4t5y6u7i8o9p0aA",
        role="admin",
    )

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="Seconds; it ends sooner when it is not used for 4 hours.")
    user: str
    role: str


class TokenError(Output):
    """RFC 8628 section 3.5: `authorization_pending`, `slow_down`, `access_denied`, `expired_token`, `invalid_grant`."""

    model_config = example(
        error="authorization_pending",
        error_description="The sign-in was not approved yet.",
        code="authorization_pending",
        interval=None,
    )

    error: str
    error_description: str
    code: str = Field(description="The Reason code.")
    interval: int | None = Field(None, description="With `slow_down`: the new interval in seconds.")
