"""Sign-in through an identity provider (OpenID Connect, authorisation code with PKCE; T-1, T-2, T-13, S-11).

    begin    seals the Flow for the browser and names the provider's URL
    finish   takes the browser back: redeems the code, finds or makes the account, starts the session

People are known by issuer and subject. An e-mail address decides nothing: it is shown, and it may be asked for by domain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controller.api.operations import sessions
from controller.api.operations.accounts import check_email
from controller.api.operations.sessions import SignedIn
from controller.api.operations.sign_in_audit import ACTOR, record_failure
from controller.api.problems import FieldError
from controller.api.services import Services
from controller.domain.authentication import Authentication
from controller.domain.commands import CreateUser
from controller.domain.commands_sign_in import FollowProviderGroups, LinkIdentity
from controller.domain.model import IdentityProvider, Role
from controller.domain.rules import RuleBrokenError, clean_name
from controller.identity.identity_rules import IdentityRefusedError, IdentityRule, refused
from controller.identity.oidc import FLOW_LIFE_S, Flow, authorization_url, parse_callback_untrusted
from controller.identity.oidc_tokens import Person, person_of
from controller.identity.rate_limit import address_key
from controller.identity.web_sessions import Origin, SessionKind
from controller.store import Unit, credentials, identities, secrets
from protocol.errors import LocalError, OstiaryError, RefusedError, RemoteProtocolError
from protocol.ids import IdentityProviderId, UserId
from protocol.reasons import Reason
from protocol.tokens.strict import b64url_decode_untrusted, b64url_encode
from runtime.entropy import new_id, token_text

COOKIE_LIFE_S: Final = FLOW_LIFE_S
_FLOW: Final = "sign-in flow"
_SECOND_FACTOR: Final = "mfa"


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes, and what it carries so that it can come back."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who came back: a session, or a pending one, and what he had come for."""

    signed: SignedIn
    flow: Flow


def secret_place(provider: str) -> str:
    """The name under which a provider's client secret is stored and sealed."""
    return f"idp:{provider}"


def callback_url(services: Services, provider: str) -> str:
    """Returns the redirect URI to register at the provider: one of its own for each (mix-up, RFC 9700 section 4.4)."""
    return f"{services.public_url}/sign-in/{provider}/callback"


async def begin(
    services: Services, *, provider: str, surface: SessionKind, target: str, fresh: bool, address: str, now: float
) -> Departure:
    """Starts a sign-in; ``fresh`` asks the provider to have the person prove anew who he is.

    Raises:
        RateLimitedError: too many from this address.
        RefusedError: NOT_FOUND, IDENTITY_PROVIDER_UNREACHABLE, IDENTITY_REFUSED.
    """
    services.limits.identity_provider.spend(address_key(address), now)
    known = _provider(services, provider)
    metadata = await services.providers.metadata(known.issuer)
    flow = Flow(
        provider=known.id,
        issuer=known.issuer,
        redirect_uri=callback_url(services, known.id),
        state=token_text(32),
        nonce=token_text(32),
        verifier=token_text(48),
        surface=surface,
        target=target,
        started_s=int(now),
        max_age_s=0 if fresh else None,
    )
    url = authorization_url(metadata, flow, client_id=known.client_id, scopes=known.scopes)
    return Departure(url, b64url_encode(services.seal.seal(_FLOW, flow.to_bytes())))


def open_flow_untrusted(services: Services, cookie: str, provider: str) -> Flow:
    """Returns the flow that a browser brings back. Raises RefusedError(IDENTITY_REFUSED) unless it is of ``provider``."""
    try:
        flow = Flow.from_bytes(services.seal.open(_FLOW, b64url_decode_untrusted(cookie)))
    except (LocalError, RemoteProtocolError) as exc:
        raise refused(IdentityRule.FLOW, "this browser began no sign-in") from exc
    if flow.provider != provider:
        raise refused(IdentityRule.FLOW, "this browser began a sign-in with another provider")
    return flow


async def finish(
    services: Services, flow: Flow, *, query: Mapping[str, str], origin: Origin, request_id: str, now: float
) -> Arrival:
    """Ends a sign-in. Every refusal but the rate limit leaves an event.

    Raises:
        RateLimitedError: too many from this address.
        RefusedError: IDENTITY_REFUSED, IDENTITY_UNKNOWN, IDENTITY_PROVIDER_UNREACHABLE, USER_DISABLED.
    """
    services.limits.identity_provider.spend(address_key(origin.address), now)
    try:
        known = _provider(services, flow.provider)
        person = await _person(services, known, flow, query, now)
        signed = await _sign_in(services, known, person, flow, origin, request_id)
    except OstiaryError as exc:
        await record_failure(services, None, _cause(exc), request_id, now)
        raise
    services.limits.identity_provider.refund(address_key(origin.address), now)
    return Arrival(signed, flow)


async def _person(
    services: Services, known: IdentityProvider, flow: Flow, query: Mapping[str, str], now: float
) -> Person:
    metadata = await services.providers.metadata(known.issuer)
    code = parse_callback_untrusted(query, flow, metadata, now)
    async with services.store.read() as connection:
        sealed = await secrets.get(connection, secret_place(known.id))
    if sealed is None:
        raise refused(IdentityRule.CLIENT_SECRET, "the provider's client secret was not set")
    client_secret = services.seal.open(secret_place(known.id), sealed).decode()
    wants = ("email", *((known.groups_claim,) if known.groups_claim is not None else ()))
    claims = await services.providers.redeem(
        flow, code=code, client_id=known.client_id, client_secret=client_secret, wants=wants
    )
    person = person_of(claims, groups_claim=known.groups_claim, now=services.clock.wall())
    if known.email_domains:
        rule = IdentityRule.EMAIL_UNVERIFIED if person.email is None else IdentityRule.EMAIL_DOMAIN
        domain = (person.email or "").rpartition("@")[2].casefold()
        if domain not in known.email_domains:
            raise refused(rule, "no verified e-mail address of a domain that is allowed")
    return person


async def _sign_in(
    services: Services, known: IdentityProvider, person: Person, flow: Flow, origin: Origin, request_id: str
) -> SignedIn:
    now = services.clock.wall()
    trusted = known.second_factor == "provider" and person.second_factor
    method = f"oidc:{known.issuer}" + (f"+{_SECOND_FACTOR}" if trusted else "")
    dated = person.authenticated_s is not None
    since = int(now) if person.authenticated_s is None else person.authenticated_s
    how = Authentication(since, since if trusted else None, method, dated)
    surface: SessionKind = "console" if flow.surface == "console" else "page"
    async with services.store.write(actor=ACTOR, request_id=request_id, now=now) as unit:
        user = await _account(unit, known, person)
        await identities.seen(unit.connection, known.issuer, person.subject, now)
        if known.groups_claim is not None:
            await _follow_groups(unit, FollowProviderGroups(user, known.id, person.groups))
        return await sessions.begin_in(unit, services, user, surface, origin, how)


async def _follow_groups(unit: Unit, command: FollowProviderGroups) -> None:
    try:
        await unit.execute(command)
    except RefusedError as exc:
        if exc.reason is Reason.IDENTITY_REFUSED:
            raise refused(IdentityRule.GROUPS_CLAIM_MISSING, exc.detail) from exc
        raise


def _cause(exc: OstiaryError) -> str:
    """The word of the audit trail: the reason, and which rule of ours the provider's answer broke."""
    rule = f"/{exc.rule.value}" if isinstance(exc, IdentityRefusedError) else ""
    return exc.reason.code + rule


async def _account(unit: Unit, known: IdentityProvider, person: Person) -> UserId:
    """Whose identity this is: by issuer and subject, or somebody new when the provider may bring such."""
    user = await identities.find(unit.connection, known.issuer, person.subject)
    if user is not None and user in unit.state.users:
        return user
    if known.new_users != "create":
        raise RefusedError(Reason.IDENTITY_UNKNOWN)
    if user is not None:
        # The account was removed: who comes back is somebody new and inherits nothing (T-2).
        await identities.erase(unit.connection, user)
    made = UserId(new_id("user"))
    await unit.execute(CreateUser(made, Role.MEMBER))
    await unit.execute(LinkIdentity(made, known.id))
    await identities.link(unit.connection, known.issuer, person.subject, made, unit.now)
    email = await _free_email(unit, person.email)
    await credentials.set_personal_data(
        unit.connection, made, fields={"name": _display_name(person, made)}, email=email, now=unit.now
    )
    return made


async def _free_email(unit: Unit, email: str | None) -> str | None:
    """The address, unless it is none or another account's: it names people and joins nobody to anybody."""
    try:
        address = check_email(email or "")
    except FieldError:
        return None
    return address if await credentials.find_by_email(unit.connection, address) is None else None


def _display_name(person: Person, user: UserId) -> str:
    for candidate in (person.name, person.email, user):
        try:
            return clean_name((candidate or "")[:100])
        except RuleBrokenError:
            continue
    return user


def _provider(services: Services, provider: str) -> IdentityProvider:
    known = services.state.identity_providers.get(IdentityProviderId(provider))
    if known is None:
        raise RefusedError(Reason.NOT_FOUND, "there is no such identity provider")
    return known
