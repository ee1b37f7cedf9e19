"""Identity providers, and who people are there (T-1, T-2, T-15)."""

from typing import Annotated

from fastapi import Depends
from fastapi.responses import Response

from controller.api.calls import Anonymous, IfMatch, SignedCall, permits
from controller.api.operations.provider_sign_in import callback_url, secret_place
from controller.api.paging import page_of
from controller.api.problems import FieldError
from controller.api.routes.common import (
    SIGNED,
    STAFF,
    IdInPath,
    NameFilter,
    Window,
    api_router,
    found,
    has_name,
    problems,
)
from controller.api.schemas.common import from_ms, from_s
from controller.api.schemas.providers import (
    GroupMapping,
    GroupMappings,
    Identities,
    Identity,
    IdentityLink,
    IdentityProvider,
    IdentityProviderChange,
    IdentityProviderCreate,
    IdentityProviderPage,
    ProviderCheck,
    SignInMethod,
    SignInMethods,
)
from controller.api.services import Services
from controller.api.writes import WriteOnce, model_answer
from controller.domain import model
from controller.domain.commands_sign_in import (
    ChangeIdentityProvider,
    CreateIdentityProvider,
    LinkIdentity,
    MapProviderGroups,
    RemoveIdentityProvider,
    SetIdentityProviderSecret,
    UnlinkIdentity,
)
from controller.domain.permissions import Permission
from controller.domain.state import PolicyState
from controller.identity.oidc import discovery_url, is_acceptable_url
from controller.identity.passkeys import RelyingParty
from controller.store import Unit, identities, secrets
from protocol.errors import RefusedError
from protocol.ids import GroupId, IdentityProviderId
from protocol.reasons import Reason
from runtime.entropy import new_id

router = api_router(tags=["identity providers"])

Read = Annotated[SignedCall, permits(Permission.IDENTITY_PROVIDERS_READ)]
Write = Annotated[SignedCall, permits(Permission.IDENTITY_PROVIDERS_WRITE)]
ReadPeople = Annotated[SignedCall, permits(Permission.PEOPLE_READ, own=Permission.SELF_READ)]
WritePeople = Annotated[SignedCall, permits(Permission.PEOPLE_WRITE)]
WritePath = "/identity-providers/{provider}"


@router.get("/sign-in-methods", tags=["public"], responses=problems(429), summary="How can one sign in?")
async def list_sign_in_methods(call: Anonymous) -> SignInMethods:
    """The identity providers by name; a local account's password does always."""
    known = sorted(call.state.identity_providers.values(), key=lambda item: item.name)
    return SignInMethods(
        providers=[SignInMethod(id=item.id, name=item.name, url=f"/sign-in/{item.id}") for item in known],
        passkeys=RelyingParty.is_possible(call.services.public_url),
    )


@router.get("/identity-providers", responses=problems(*STAFF), summary="List identity providers")
async def list_identity_providers(
    call: Read, window: Annotated[Window, Depends()], name: NameFilter = None
) -> IdentityProviderPage:
    """In the order of their creation."""
    chosen = [item for item in call.state.identity_providers.values() if has_name(item.name, name)]
    items, following = page_of(
        chosen, lambda item: (item.created_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    return IdentityProviderPage(
        items=[_shown(call.services, call.state, item) for item in items], next_cursor=following
    )


@router.post(
    "/identity-providers",
    status_code=201,
    response_model=IdentityProvider,
    responses=problems(*STAFF, 409),
    summary="Create an identity provider",
)
async def create_identity_provider(call: Write, once: WriteOnce, body: IdentityProviderCreate) -> Response:
    """Register `redirect_uri` of the answer at the provider; then see with `check` whether it can be reached."""
    if not is_acceptable_url(
        discovery_url(body.issuer), loopback=call.services.settings.identity_providers_on_loopback
    ):
        raise FieldError("issuer", "an issuer is an https URL without query and fragment")
    provider = IdentityProviderId(new_id("identity_provider"))

    async def build(unit: Unit) -> IdentityProvider:
        command = CreateIdentityProvider(
            provider,
            body.name,
            body.issuer,
            body.client_id,
            tuple(body.scopes),
            body.groups_claim or None,
            tuple(body.email_domains),
            body.new_users,
            body.second_factor,
        )
        await unit.execute(command)
        await _set_secret(unit, call.services, provider, body.client_secret)
        return _shown(call.services, unit.state, unit.state.identity_providers[provider])

    return await once.create(build)


@router.get(
    WritePath, response_model=IdentityProvider, responses=problems(*STAFF, 404), summary="Read an identity provider"
)
async def get_identity_provider(call: Read, provider: IdInPath) -> Response:
    """Without its client secret."""
    return model_answer(_shown(call.services, call.state, found(call.state.identity_providers, provider)))


@router.patch(
    WritePath,
    response_model=IdentityProvider,
    responses=problems(*STAFF, 404, 409, 412),
    summary="Change an identity provider",
)
async def change_identity_provider(
    call: Write, provider: IdInPath, body: IdentityProviderChange, expected: IfMatch
) -> Response:
    """It counts from the next sign-in on."""
    async with call.write() as unit:
        old = found(unit.state.identity_providers, provider)
        expected.check(unit.state, provider)
        await unit.execute(_change(old, body))
        if body.client_secret is not None:
            await _set_secret(unit, call.services, old.id, body.client_secret)
        shown = _shown(call.services, unit.state, unit.state.identity_providers[old.id])
    return model_answer(shown)


@router.put(
    f"{WritePath}/groups",
    response_model=IdentityProvider,
    responses=problems(*STAFF, 404, 412),
    summary="Map a provider's groups",
)
async def map_provider_groups(call: Write, provider: IdInPath, body: GroupMappings, expected: IfMatch) -> Response:
    """The whole mapping. At each sign-in the person is put into, and taken out of, the groups named here; no others."""
    async with call.write() as unit:
        old = found(unit.state.identity_providers, provider)
        expected.check(unit.state, provider)
        await unit.execute(MapProviderGroups(old.id, tuple((item.claim, GroupId(item.group)) for item in body.groups)))
        shown = _shown(call.services, unit.state, unit.state.identity_providers[old.id])
    return model_answer(shown)


@router.post(f"{WritePath}/check", responses=problems(*STAFF, 404), summary="Check an identity provider")
async def check_identity_provider(call: Write, provider: IdInPath) -> ProviderCheck:
    """Fetches its discovery document; says what is wrong with it, or that it cannot be reached."""
    item = found(call.state.identity_providers, provider)
    metadata = await call.services.providers.metadata(item.issuer)
    return ProviderCheck(
        issuer=metadata.issuer,
        authorization_endpoint=metadata.authorization_endpoint,
        token_endpoint=metadata.token_endpoint,
        algorithms=list(metadata.algorithms),
        names_issuer=metadata.names_issuer,
    )


@router.delete(WritePath, status_code=204, responses=problems(*STAFF, 404, 412), summary="Remove an identity provider")
async def remove_identity_provider(call: Write, provider: IdInPath, expected: IfMatch) -> None:
    """Nobody signs in through it any more. Accounts and their memberships stay."""
    async with call.write() as unit:
        item = found(unit.state.identity_providers, provider)
        expected.check(unit.state, provider)
        await unit.execute(RemoveIdentityProvider(item.id))
        await secrets.delete(unit.connection, secret_place(item.id))


@router.get(
    "/users/{user}/identities",
    responses=problems(*SIGNED, 403, 404),
    summary="List a user's identities",
    tags=["users"],
)
async def list_identities(call: ReadPeople, user: IdInPath) -> Identities:
    """Who he is at which provider. Members see their own."""
    call.require_sight(Permission.PEOPLE_READ, user)
    item = found(call.state.users, user)
    async with call.services.store.read() as connection:
        known = await identities.list_of(connection, item.id)
    return Identities(items=[_identity(call.state, one) for one in known])


@router.post(
    "/users/{user}/identities",
    status_code=201,
    responses=problems(*STAFF, 404, 409),
    summary="Link an identity to a user",
    tags=["users"],
)
async def link_identity(call: WritePeople, user: IdInPath, body: IdentityLink) -> Identity:
    """Whoever is this subject at the provider signs in as this user from here on."""
    async with call.write() as unit:
        target = found(unit.state.users, user)
        provider = found(unit.state.identity_providers, body.provider)
        await unit.execute(LinkIdentity(target.id, provider.id))
        await identities.link(unit.connection, provider.issuer, body.subject, target.id, unit.now)
        known = await identities.list_of(unit.connection, target.id)
        made = next(one for one in known if (one.issuer, one.subject) == (provider.issuer, body.subject))
        return _identity(unit.state, made)


@router.delete(
    "/users/{user}/identities/{provider}",
    status_code=204,
    responses=problems(*STAFF, 404),
    summary="Unlink a user's identity",
    tags=["users"],
)
async def unlink_identity(call: WritePeople, user: IdInPath, provider: IdInPath) -> None:
    """Nobody at this provider is this user any more."""
    async with call.write() as unit:
        target = found(unit.state.users, user)
        item = found(unit.state.identity_providers, provider)
        await unit.execute(UnlinkIdentity(target.id, item.id))
        if not await identities.unlink(unit.connection, target.id, item.issuer):
            raise RefusedError(Reason.NOT_FOUND)


def _change(old: model.IdentityProvider, body: IdentityProviderChange) -> ChangeIdentityProvider:
    groups_claim = old.groups_claim if body.groups_claim is None else body.groups_claim or None
    return ChangeIdentityProvider(
        old.id,
        body.name if body.name is not None else old.name,
        body.client_id if body.client_id is not None else old.client_id,
        tuple(body.scopes) if body.scopes is not None else old.scopes,
        groups_claim,
        tuple(body.email_domains) if body.email_domains is not None else old.email_domains,
        body.new_users if body.new_users is not None else old.new_users,
        body.second_factor if body.second_factor is not None else old.second_factor,
    )


async def _set_secret(unit: Unit, services: Services, provider: IdentityProviderId, client_secret: str) -> None:
    await unit.execute(SetIdentityProviderSecret(provider))
    place = secret_place(provider)
    await secrets.put(unit.connection, place, services.seal.seal(place, client_secret.encode()), unit.now)


def _shown(services: Services, state: PolicyState, item: model.IdentityProvider) -> IdentityProvider:
    return IdentityProvider.model_validate(
        {
            "id": item.id,
            "name": item.name,
            "issuer": item.issuer,
            "client_id": item.client_id,
            "scopes": list(item.scopes),
            "groups_claim": item.groups_claim,
            "email_domains": list(item.email_domains),
            "new_users": item.new_users,
            "second_factor": item.second_factor,
            "groups": [GroupMapping(claim=claim, group=group) for claim, group in item.groups if group in state.groups],
            "redirect_uri": callback_url(services, item.id),
            "created_at": from_ms(item.created_ms),
            "version": state.version_of(item.id),
        }
    )


def _identity(state: PolicyState, item: identities.Identity) -> Identity:
    provider = next((one.id for one in state.identity_providers.values() if one.issuer == item.issuer), None)
    return Identity(
        provider=provider,
        issuer=item.issuer,
        subject=item.subject,
        created_at=from_s(item.created_at),
        seen_at=None if item.seen_at is None else from_s(item.seen_at),
    )
