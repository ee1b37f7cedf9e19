"""Decisions about identity providers, second factors and sign-ins (T-1, T-2, T-9)."""

from urllib.parse import urlsplit

from controller.domain import commands_sign_in as c
from controller.domain import events as e
from controller.domain import rules
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.model import IdentityProvider, SubjectKind, SubjectRef
from controller.domain.rules import RuleBrokenError, fresh, known
from controller.domain.state import PolicyState
from protocol.ids import GroupId
from protocol.reasons import Reason

HANDLERS: Handlers = {}

PROVIDERS_MAX = 32
"""They are all offered on one page."""
GROUPS_MAX = 256
"""Mapped groups of one provider."""
SCOPES_MAX = 16
DOMAINS_MAX = 32
CLAIM_MAX = 200
URL_MAX = 200
"""Of an issuer: it stands in the method of every session that it makes."""
CLIENT_ID_MAX = 256


@handles(HANDLERS, c.CreateIdentityProvider)
def _create_provider(state: PolicyState, command: c.CreateIdentityProvider) -> Decided:
    fresh(state, command.provider, "identity_provider")
    if len(state.identity_providers) >= PROVIDERS_MAX:
        raise RuleBrokenError(Reason.LIMIT_EXCEEDED, f"at most {PROVIDERS_MAX} identity providers")
    name = rules.free_name(state, "identity_provider", command.name, command.provider)
    issuer = _issuer(command.issuer)
    holder = next((item.id for item in state.identity_providers.values() if item.issuer == issuer), None)
    if holder is not None:
        raise RuleBrokenError(Reason.ALREADY_EXISTS, f"issuer: it belongs to {holder}")
    event = e.IdentityProviderCreated(
        command.provider,
        name,
        issuer,
        _text(command.client_id, "client_id", CLIENT_ID_MAX),
        _scopes(command.scopes),
        _claim_name(command.groups_claim),
        _domains(command.email_domains),
        _one_of(command.new_users, c.NEW_USERS, "new_users"),
        _one_of(command.second_factor, c.SECOND_FACTOR, "second_factor"),
    )
    return about(command.provider, event)


@handles(HANDLERS, c.ChangeIdentityProvider)
def _change_provider(state: PolicyState, command: c.ChangeIdentityProvider) -> Decided:
    old = known(state.identity_providers, command.provider, "identity provider")
    event = e.IdentityProviderChanged(
        command.provider,
        rules.free_name(state, "identity_provider", command.name, command.provider),
        _text(command.client_id, "client_id", CLIENT_ID_MAX),
        _scopes(command.scopes),
        _claim_name(command.groups_claim),
        _domains(command.email_domains),
        _one_of(command.new_users, c.NEW_USERS, "new_users"),
        _one_of(command.second_factor, c.SECOND_FACTOR, "second_factor"),
    )
    return about(command.provider, *(() if _says_the_same(old, event) else (event,)))


@handles(HANDLERS, c.SetIdentityProviderSecret)
def _set_secret(state: PolicyState, command: c.SetIdentityProviderSecret) -> Decided:
    known(state.identity_providers, command.provider, "identity provider")
    return about(command.provider, e.IdentityProviderSecretSet(command.provider))


@handles(HANDLERS, c.MapProviderGroups)
def _map_groups(state: PolicyState, command: c.MapProviderGroups) -> Decided:
    provider = known(state.identity_providers, command.provider, "identity provider")
    if len(command.groups) > GROUPS_MAX:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"groups: at most {GROUPS_MAX}")
    wanted: set[tuple[str, GroupId]] = set()
    for claim, group in command.groups:
        known(state.groups, group, "group")
        wanted.add((_text(claim, "groups", CLAIM_MAX), group))
    present = set(provider.groups)
    gone = [e.IdentityProviderGroupUnmapped(provider.id, *pair) for pair in sorted(present - wanted)]
    new = [e.IdentityProviderGroupMapped(provider.id, *pair) for pair in sorted(wanted - present)]
    return about(command.provider, *gone, *new)


@handles(HANDLERS, c.RemoveIdentityProvider)
def _remove_provider(state: PolicyState, command: c.RemoveIdentityProvider) -> Decided:
    known(state.identity_providers, command.provider, "identity provider")
    return about(command.provider, e.IdentityProviderRemoved(command.provider))


@handles(HANDLERS, c.LinkIdentity)
def _link(state: PolicyState, command: c.LinkIdentity) -> Decided:
    known(state.users, command.user, "user")
    known(state.identity_providers, command.provider, "identity provider")
    return about(command.user, e.UserIdentityLinked(command.user, command.provider))


@handles(HANDLERS, c.UnlinkIdentity)
def _unlink(state: PolicyState, command: c.UnlinkIdentity) -> Decided:
    known(state.users, command.user, "user")
    return about(command.user, e.UserIdentityUnlinked(command.user, command.provider))


@handles(HANDLERS, c.FollowProviderGroups)
def _follow_groups(state: PolicyState, command: c.FollowProviderGroups) -> Decided:
    known(state.users, command.user, "user")
    provider = known(state.identity_providers, command.provider, "identity provider")
    mapped = {group for _, group in provider.groups if group in state.groups}
    present = mapped & set(state.groups_of.get(command.user, ()))
    if command.claims is None:
        excluded = any(state.exclusions_of.get(SubjectRef(SubjectKind.GROUP, group)) for group in mapped)
        if mapped and (not present or excluded):
            # Whoever can have the claim left out would otherwise escape the exclusions of the groups that he is in.
            raise RuleBrokenError(Reason.IDENTITY_REFUSED, f"the provider left out the claim {provider.groups_claim}")
        return about(command.user)
    wanted = {group for claim, group in provider.groups if claim in command.claims and group in mapped}
    left = [e.GroupMemberRemoved(group, command.user) for group in sorted(present - wanted)]
    joined = [e.GroupMemberAdded(group, command.user) for group in sorted(wanted - present)]
    return about(command.user, *left, *joined)


@handles(HANDLERS, c.AddSecondFactor)
def _add_factor(state: PolicyState, command: c.AddSecondFactor) -> Decided:
    user = known(state.users, command.user, "user")
    if user.second_factor is not None:
        raise RuleBrokenError(Reason.ALREADY_EXISTS, "the account has a second factor; remove it first")
    return about(command.user, e.UserSecondFactorAdded(command.user, rules.word(command.method, "method")))


@handles(HANDLERS, c.RemoveSecondFactor)
def _remove_factor(state: PolicyState, command: c.RemoveSecondFactor) -> Decided:
    user = known(state.users, command.user, "user")
    return about(command.user, *((e.UserSecondFactorRemoved(user.id),) if user.second_factor is not None else ()))


@handles(HANDLERS, c.MakeRecoveryCodes)
def _make_codes(state: PolicyState, command: c.MakeRecoveryCodes) -> Decided:
    if known(state.users, command.user, "user").second_factor is None:
        raise RuleBrokenError(Reason.NOT_FOUND, "the account has no second factor")
    return about(command.user, e.UserRecoveryCodesMade(command.user))


@handles(HANDLERS, c.UseRecoveryCode)
def _use_code(state: PolicyState, command: c.UseRecoveryCode) -> Decided:
    known(state.users, command.user, "user")
    return about(command.user, e.UserRecoveryCodeUsed(command.user, command.left))


@handles(HANDLERS, c.ChangeSignInRules)
def _change_rules(state: PolicyState, command: c.ChangeSignInRules) -> Decided:
    wanted = _one_of(command.second_factor_for, c.SECOND_FACTOR_FOR, "second_factor_for")
    return about("sign_in_rules", *((e.SignInRulesChanged(wanted),) if wanted != state.second_factor_for else ()))


@handles(HANDLERS, c.RecordSignIn)
def _sign_in(state: PolicyState, command: c.RecordSignIn) -> Decided:
    known(state.users, command.user, "user")
    surface, session = rules.word(command.surface, "surface"), rules.word(command.session, "session")
    method = rules.sign_in_method(command.method)
    return about("sign_ins", e.SignInSucceeded(command.user, surface, method, session))


@handles(HANDLERS, c.RecordSignInEnd)
def _sign_in_end(state: PolicyState, command: c.RecordSignInEnd) -> Decided:
    known(state.users, command.user, "user")
    session = None if command.session is None else rules.word(command.session, "session")
    return about("sign_ins", e.SignInEnded(command.user, session, rules.word(command.cause, "cause")))


@handles(HANDLERS, c.RecordOmittedFailures)
def _omitted(_: PolicyState, command: c.RecordOmittedFailures) -> Decided:
    return about("sign_ins", *((e.SignInFailuresOmitted(command.count),) if command.count > 0 else ()))


@handles(HANDLERS, c.Reauthenticate)
def _reauthenticate(state: PolicyState, command: c.Reauthenticate) -> Decided:
    session = known(state.sessions, command.session, "session")
    authenticated_s = rules.unix_time(command.authenticated_s, "authenticated_s")
    if command.mfa_s is not None:
        rules.unix_time(command.mfa_s, "mfa_s")
    method = rules.sign_in_method(command.method)
    event = e.SessionReauthenticated(session.id, session.device, authenticated_s, command.mfa_s, method)
    return about(command.session, event)


def _says_the_same(old: IdentityProvider, event: e.IdentityProviderChanged) -> bool:
    return all(
        getattr(old, name) == getattr(event, name)
        for name in (
            *("name", "client_id", "scopes", "groups_claim"),
            *("email_domains", "new_users", "second_factor"),
        )
    )


def _issuer(text: str) -> str:
    """An issuer as OpenID Connect Core section 2 has it: a URL without query and fragment, kept character by character."""
    try:
        parts = urlsplit(_text(text, "issuer", URL_MAX))
        _ = parts.port
    except ValueError as exc:
        raise RuleBrokenError(Reason.INVALID_INPUT, "issuer: it is not a URL") from exc
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None:
        raise RuleBrokenError(Reason.INVALID_INPUT, "issuer: it is not of the form https://HOST[:PORT][/PATH]")
    if "?" in text or "#" in text or not text.isascii():
        raise RuleBrokenError(Reason.INVALID_INPUT, "issuer: it is ASCII without query and fragment")
    return text


def _scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    if len(scopes) > SCOPES_MAX or any(not rules.word(item, "scopes") or " " in item for item in scopes):
        raise RuleBrokenError(Reason.INVALID_INPUT, f"scopes: at most {SCOPES_MAX} words")
    return ("openid", *dict.fromkeys(item for item in scopes if item != "openid"))


def _domains(domains: tuple[str, ...]) -> tuple[str, ...]:
    if len(domains) > DOMAINS_MAX:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"email_domains: at most {DOMAINS_MAX}")
    for item in domains:
        labels = item.split(".")
        if len(item) > 253 or any(not label or not label.replace("-", "").isalnum() for label in labels):
            raise RuleBrokenError(Reason.INVALID_INPUT, f"email_domains: {rules.printable(item)!r} is not a domain")
    return tuple(sorted({item.casefold() for item in domains}))


def _claim_name(name: str | None) -> str | None:
    return None if name is None else _text(name, "groups_claim", CLAIM_MAX)


def _text(text: str, field: str, most: int) -> str:
    if not 0 < len(text) <= most or not text.isprintable():
        raise RuleBrokenError(Reason.INVALID_INPUT, f"{field}: 1 to {most} visible characters")
    return text


def _one_of(word: str, words: tuple[str, ...], field: str) -> str:
    if word not in words:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"{field}: one of {', '.join(words)}")
    return word
