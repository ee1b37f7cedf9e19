"""Events of how people sign in: identity providers, second factors, sign-ins and their ends.

No subject of a provider, no address and no secret is in them: those are beside the log.
"""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.events.base import Event
from protocol.ids import DeviceId, GroupId, IdentityProviderId, SessionId, UserId


@dataclass(frozen=True, slots=True)
class IdentityProviderCreated(Event):
    """People may sign in through this OpenID Connect provider; the client secret is beside the log, sealed."""

    TYPE: ClassVar[str] = "identity_provider.created/1"
    STREAM_FIELD: ClassVar[str] = "provider"
    provider: IdentityProviderId
    name: str
    issuer: str
    client_id: str
    scopes: tuple[str, ...]
    groups_claim: str | None
    email_domains: tuple[str, ...]
    new_users: str
    second_factor: str


@dataclass(frozen=True, slots=True)
class IdentityProviderChanged(Event):
    """All of what can change; the issuer cannot, because it is half of every identity."""

    TYPE: ClassVar[str] = "identity_provider.changed/1"
    STREAM_FIELD: ClassVar[str] = "provider"
    provider: IdentityProviderId
    name: str
    client_id: str
    scopes: tuple[str, ...]
    groups_claim: str | None
    email_domains: tuple[str, ...]
    new_users: str
    second_factor: str


@dataclass(frozen=True, slots=True)
class IdentityProviderSecretSet(Event):
    """We prove ourselves to the provider with another client secret."""

    TYPE: ClassVar[str] = "identity_provider.secret_set/1"
    STREAM_FIELD: ClassVar[str] = "provider"
    provider: IdentityProviderId


@dataclass(frozen=True, slots=True)
class IdentityProviderGroupMapped(Event):
    """Whoever has ``claim`` among his groups at the provider is in ``group``, as of each sign-in."""

    TYPE: ClassVar[str] = "identity_provider.group_mapped/1"
    STREAM_FIELD: ClassVar[str] = "provider"
    provider: IdentityProviderId
    claim: str
    group: GroupId


@dataclass(frozen=True, slots=True)
class IdentityProviderGroupUnmapped(Event):
    """The end of IdentityProviderGroupMapped; members stay until somebody takes them out."""

    TYPE: ClassVar[str] = "identity_provider.group_unmapped/1"
    STREAM_FIELD: ClassVar[str] = "provider"
    provider: IdentityProviderId
    claim: str
    group: GroupId


@dataclass(frozen=True, slots=True)
class IdentityProviderRemoved(Event):
    """Nobody signs in through it any more; the accounts that it made stay."""

    TYPE: ClassVar[str] = "identity_provider.removed/1"
    STREAM_FIELD: ClassVar[str] = "provider"
    provider: IdentityProviderId


@dataclass(frozen=True, slots=True)
class UserIdentityLinked(Event):
    """A subject of the provider is this user; which subject is beside the log."""

    TYPE: ClassVar[str] = "user.identity_linked/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId
    provider: IdentityProviderId


@dataclass(frozen=True, slots=True)
class UserIdentityUnlinked(Event):
    """No subject of the provider is this user any more."""

    TYPE: ClassVar[str] = "user.identity_unlinked/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId
    provider: IdentityProviderId


@dataclass(frozen=True, slots=True)
class UserSecondFactorAdded(Event):
    """From here on the user's password alone signs nobody in; ``method`` is a word such as ``totp``."""

    TYPE: ClassVar[str] = "user.second_factor_added/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId
    method: str


@dataclass(frozen=True, slots=True)
class UserSecondFactorRemoved(Event):
    """The user has no second factor and no recovery codes any more. The actor may be another (T-9)."""

    TYPE: ClassVar[str] = "user.second_factor_removed/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId


@dataclass(frozen=True, slots=True)
class UserRecoveryCodesMade(Event):
    """The user got new recovery codes; the earlier ones are void."""

    TYPE: ClassVar[str] = "user.recovery_codes_made/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId


@dataclass(frozen=True, slots=True)
class UserRecoveryCodeUsed(Event):
    """A recovery code stood in for the second factor; ``left`` are unused."""

    TYPE: ClassVar[str] = "user.recovery_code_used/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId
    left: int


@dataclass(frozen=True, slots=True)
class SignInRulesChanged(Event):
    """Who must have passed a second factor to use the controller: ``nobody``, ``staff`` or ``everybody``."""

    TYPE: ClassVar[str] = "sign_in.rules_changed/1"
    STREAM: ClassVar[str] = "sign_in_rules"
    second_factor_for: str


@dataclass(frozen=True, slots=True)
class SignInSucceeded(Event):
    """Somebody signed in to ``surface`` (``api``, ``console``, ``page``); ``session`` is its name in lists."""

    TYPE: ClassVar[str] = "sign_in.succeeded/1"
    STREAM: ClassVar[str] = "sign_ins"
    user: UserId
    surface: str
    method: str
    session: str


@dataclass(frozen=True, slots=True)
class SignInEnded(Event):
    """A sign-in to API, console or page was ended before its time; ``session`` None: all of the user's but the actor's own."""

    TYPE: ClassVar[str] = "sign_in.ended/1"
    STREAM: ClassVar[str] = "sign_ins"
    user: UserId
    session: str | None
    cause: str


@dataclass(frozen=True, slots=True)
class SignInFailuresOmitted(Event):
    """So many failed sign-ins were not written one by one, because there were too many of them (T-9, D10)."""

    TYPE: ClassVar[str] = "sign_in.failures_omitted/1"
    STREAM: ClassVar[str] = "sign_ins"
    count: int


@dataclass(frozen=True, slots=True)
class SessionReauthenticated(Event):
    """The user proved himself anew in a session that goes on (step-up). Unix seconds."""

    TYPE: ClassVar[str] = "session.reauthenticated/1"
    STREAM_FIELD: ClassVar[str] = "session"
    session: SessionId
    device: DeviceId
    authenticated_s: int
    mfa_s: int | None
    method: str
