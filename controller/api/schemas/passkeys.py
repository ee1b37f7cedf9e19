"""Passkeys: what browsers are asked, and what they answer."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from controller.api.schemas.common import Input, Name, Output, Page, example, input_example
from controller.api.schemas.sessions import Kind

_B64 = "q1w2e3r4t5y6u7i8o9p0aA"
Base64 = Annotated[str, Field(min_length=1, max_length=16_384, pattern=r"^[A-Za-z0-9_-]+$")]
_ATTESTATION = {
    "id": _B64,
    "rawId": _B64,
    "type": "public-key",
    "response": {"clientDataJSON": _B64, "attestationObject": _B64},
}
_ASSERTION = {
    "id": _B64,
    "rawId": _B64,
    "type": "public-key",
    "response": {"clientDataJSON": _B64, "authenticatorData": _B64, "signature": _B64, "userHandle": _B64},
}


class FromBrowser(BaseModel):
    """Base of what ``PublicKeyCredential.toJSON()`` returns: browsers add members, which are not read."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Attestation(FromBrowser):
    """The authenticator's part of a new passkey."""

    clientDataJSON: Base64  # noqa: N815 - as the standard spells it
    attestationObject: Base64  # noqa: N815


class Assertion(FromBrowser):
    """The authenticator's part of a sign-in."""

    clientDataJSON: Base64  # noqa: N815
    authenticatorData: Base64  # noqa: N815
    signature: Base64
    userHandle: Base64  # noqa: N815


class NewCredential(FromBrowser):
    """A new credential, as `PublicKeyCredential.toJSON()` returns it."""

    id: Base64
    rawId: Base64  # noqa: N815
    type: Literal["public-key"]
    response: Attestation


class UsedCredential(FromBrowser):
    """A credential that was used, as `PublicKeyCredential.toJSON()` returns it."""

    id: Base64
    rawId: Base64  # noqa: N815
    type: Literal["public-key"]
    response: Assertion


class PasskeyOptions(Output):
    """What the browser is asked; a cookie binds the answer to it, for five minutes."""

    model_config = example(options={"challenge": _B64, "rpId": "ostiary.example.com", "userVerification": "required"})

    options: dict[str, Any] = Field(
        description="For `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`."
    )


class PasskeyCreate(Input):
    """What the browser answered, and how the passkey is to be called."""

    model_config = input_example(name="laptop", credential=_ATTESTATION)

    name: Name
    credential: NewCredential


class PasskeyChange(Input):
    """Another name."""

    model_config = input_example(name="old laptop")

    name: Name


class PasskeySignIn(Input):
    """What the browser answered. With `kind` console the session comes as a cookie."""

    model_config = input_example(credential=_ASSERTION, kind="api")

    credential: UsedCredential
    kind: Kind = "api"


class Passkey(Output):
    """A passkey: password and second factor in one."""

    model_config = example(
        id="pky_q1w2e3r4t5y6u7i8o9p0aA",
        name="laptop",
        synced=True,
        created_at="2026-11-22T12:00:00Z",
        last_used_at=None,
    )

    id: str
    name: str
    synced: bool = Field(description="The authenticator says that it is kept on several devices.")
    created_at: datetime
    last_used_at: datetime | None


class PasskeyPage(Page[Passkey]):
    """Somebody's passkeys, oldest first."""


class PasskeysRemoved(Output):
    """How many passkeys were removed."""

    model_config = example(removed=2)

    removed: int
