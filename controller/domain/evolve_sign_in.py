"""Folds of the events of identity providers, second factors and sign-ins."""

from dataclasses import replace

from controller.domain import events as e
from controller.domain.appliers import Appliers, applies
from controller.domain.index import without
from controller.domain.model import IdentityProvider
from controller.domain.state import PolicyState, changed, fold_name

HANDLERS: Appliers = {}


@applies(HANDLERS, e.IdentityProviderCreated)
def _created(state: PolicyState, event: e.IdentityProviderCreated, at_ms: int) -> PolicyState:
    provider = IdentityProvider(
        id=event.provider,
        name=event.name,
        issuer=event.issuer,
        client_id=event.client_id,
        scopes=event.scopes,
        groups_claim=event.groups_claim,
        email_domains=event.email_domains,
        new_users=event.new_users,
        second_factor=event.second_factor,
        created_ms=at_ms,
    )
    return changed(
        state,
        identity_providers=state.identity_providers.set(provider.id, provider),
        names=state.names.set(("identity_provider", fold_name(event.name)), provider.id),
    )


@applies(HANDLERS, e.IdentityProviderChanged)
def _changed(state: PolicyState, event: e.IdentityProviderChanged, _: int) -> PolicyState:
    old = state.identity_providers[event.provider]
    provider = replace(
        old,
        name=event.name,
        client_id=event.client_id,
        scopes=event.scopes,
        groups_claim=event.groups_claim,
        email_domains=event.email_domains,
        new_users=event.new_users,
        second_factor=event.second_factor,
    )
    names = without(state.names, ("identity_provider", fold_name(old.name)))
    return changed(
        state,
        identity_providers=state.identity_providers.set(provider.id, provider),
        names=names.set(("identity_provider", fold_name(event.name)), provider.id),
    )


@applies(HANDLERS, e.IdentityProviderGroupMapped)
def _mapped(state: PolicyState, event: e.IdentityProviderGroupMapped, _: int) -> PolicyState:
    old = state.identity_providers[event.provider]
    groups = tuple(sorted({*old.groups, (event.claim, event.group)}))
    return changed(state, identity_providers=state.identity_providers.set(old.id, replace(old, groups=groups)))


@applies(HANDLERS, e.IdentityProviderGroupUnmapped)
def _unmapped(state: PolicyState, event: e.IdentityProviderGroupUnmapped, _: int) -> PolicyState:
    old = state.identity_providers[event.provider]
    groups = tuple(pair for pair in old.groups if pair != (event.claim, event.group))
    return changed(state, identity_providers=state.identity_providers.set(old.id, replace(old, groups=groups)))


@applies(HANDLERS, e.IdentityProviderRemoved)
def _removed(state: PolicyState, event: e.IdentityProviderRemoved, _: int) -> PolicyState:
    old = state.identity_providers[event.provider]
    return changed(
        state,
        identity_providers=state.identity_providers.delete(event.provider),
        names=without(state.names, ("identity_provider", fold_name(old.name))),
    )


@applies(HANDLERS, e.UserSecondFactorAdded)
def _factor_added(state: PolicyState, event: e.UserSecondFactorAdded, _: int) -> PolicyState:
    user = replace(state.users[event.user], second_factor=event.method)
    return changed(state, users=state.users.set(event.user, user))


@applies(HANDLERS, e.UserSecondFactorRemoved)
def _factor_removed(state: PolicyState, event: e.UserSecondFactorRemoved, _: int) -> PolicyState:
    user = replace(state.users[event.user], second_factor=None)
    return changed(state, users=state.users.set(event.user, user))


@applies(HANDLERS, e.SignInRulesChanged)
def _rules_changed(state: PolicyState, event: e.SignInRulesChanged, _: int) -> PolicyState:
    return changed(state, second_factor_for=event.second_factor_for)


@applies(HANDLERS, e.SessionReauthenticated)
def _reauthenticated(state: PolicyState, event: e.SessionReauthenticated, _: int) -> PolicyState:
    session = replace(
        state.sessions[event.session],
        authenticated_s=event.authenticated_s,
        mfa_s=event.mfa_s,
        method=event.method,
    )
    return changed(state, sessions=state.sessions.set(event.session, session))


def _unchanged(state: PolicyState, _event: e.Event, _: int) -> PolicyState:
    return state


for _type in (
    e.IdentityProviderSecretSet,
    e.UserIdentityLinked,
    e.UserIdentityUnlinked,
    e.UserRecoveryCodesMade,
    e.UserRecoveryCodeUsed,
    e.SignInSucceeded,
    e.SignInEnded,
    e.SignInFailuresOmitted,
):
    # Facts for the audit trail: nothing in the policy rests on them.
    HANDLERS[_type] = _unchanged
