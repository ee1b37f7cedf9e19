"""What can be asked about how people sign in. As ``commands``, which this module continues."""

from dataclasses import dataclass
from typing import Final

from controller.domain.commands import Command
from protocol.ids import GroupId, IdentityProviderId, SessionId, UserId

NEW_USERS: Final = ("refuse", "create")
"""What happens when a subject signs in whom nobody knows."""
SECOND_FACTOR: Final = ("own", "provider")
"""Whose second factor counts: our own, or also what the provider says that it has checked (RFC 8176)."""
SECOND_FACTOR_FOR: Final = ("nobody", "staff", "everybody")


@dataclass(frozen=True, slots=True)
class CreateIdentityProvider(Command):
    """``issuer`` exactly as the provider writes it into its tokens. The client secret is written beside the log."""

    provider: IdentityProviderId
    name: str
    issuer: str
    client_id: str
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    groups_claim: str | None = None
    email_domains: tuple[str, ...] = ()
    new_users: str = "refuse"
    second_factor: str = "own"


@dataclass(frozen=True, slots=True)
class ChangeIdentityProvider(Command):
    """All of its properties but the issuer."""

    provider: IdentityProviderId
    name: str
    client_id: str
    scopes: tuple[str, ...]
    groups_claim: str | None
    email_domains: tuple[str, ...]
    new_users: str
    second_factor: str


@dataclass(frozen=True, slots=True)
class SetIdentityProviderSecret(Command):
    """The secret itself is beside the log, sealed."""

    provider: IdentityProviderId


@dataclass(frozen=True, slots=True)
class MapProviderGroups(Command):
    """``groups`` is the whole mapping: pairs of a claim's value and a group."""

    provider: IdentityProviderId
    groups: tuple[tuple[str, GroupId], ...]


@dataclass(frozen=True, slots=True)
class RemoveIdentityProvider(Command):
    provider: IdentityProviderId


@dataclass(frozen=True, slots=True)
class LinkIdentity(Command):
    """The subject itself is beside the log."""

    user: UserId
    provider: IdentityProviderId


@dataclass(frozen=True, slots=True)
class UnlinkIdentity(Command):
    user: UserId
    provider: IdentityProviderId


@dataclass(frozen=True, slots=True)
class FollowProviderGroups(Command):
    """Puts the user into the groups that ``claims`` map to, and takes him out of the other mapped ones.

    ``claims`` is None when the provider did not state any. Then he stays where he is, unless he is in no mapped group
    yet or one of them has an exclusion: refused with IDENTITY_REFUSED.
    """

    user: UserId
    provider: IdentityProviderId
    claims: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class AddSecondFactor(Command):
    """Refused with ALREADY_EXISTS while the user has one."""

    user: UserId
    method: str


@dataclass(frozen=True, slots=True)
class RemoveSecondFactor(Command):
    user: UserId


@dataclass(frozen=True, slots=True)
class MakeRecoveryCodes(Command):
    """Refused with NOT_FOUND unless the user has a second factor."""

    user: UserId


@dataclass(frozen=True, slots=True)
class UseRecoveryCode(Command):
    """Leaves a trace of a recovery code that was taken; ``left`` remain."""

    user: UserId
    left: int


@dataclass(frozen=True, slots=True)
class ChangeSignInRules(Command):
    """``second_factor_for``: one of SECOND_FACTOR_FOR."""

    second_factor_for: str


@dataclass(frozen=True, slots=True)
class RecordSignIn(Command):
    """Leaves a trace of a sign-in (T-9)."""

    user: UserId
    surface: str
    method: str
    session: str


@dataclass(frozen=True, slots=True)
class RecordSignInEnd(Command):
    """Leaves a trace of a sign-in that was ended; ``session`` None: all the others."""

    user: UserId
    session: str | None
    cause: str


@dataclass(frozen=True, slots=True)
class RecordOmittedFailures(Command):
    """Leaves a trace of failed sign-ins that were only counted."""

    count: int


@dataclass(frozen=True, slots=True)
class Reauthenticate(Command):
    """Notes a step-up in the session of a device. Unix seconds."""

    session: SessionId
    authenticated_s: int
    mfa_s: int | None
    method: str
