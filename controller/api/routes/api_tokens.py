"""API tokens, and what roles and scopes permit."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.responses import Response

from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.operations import api_tokens as operations
from controller.api.paging import page_of
from controller.api.routes.common import SIGNED, IdInPath, Window, api_router, found, problems
from controller.api.schemas.common import from_ms, from_s
from controller.api.schemas.tokens import (
    ApiToken,
    ApiTokenCreate,
    ApiTokenCreated,
    ApiTokenPage,
    RolePermissions,
    Roles,
)
from controller.api.writes import WriteOnce, model_answer
from controller.domain import model
from controller.domain.permissions import ROLE_PERMISSIONS, TOKEN_SCOPES, Permission
from controller.domain.state import PolicyState
from controller.store import Unit, api_tokens, credentials
from controller.store.api_tokens import StoredToken
from controller.store.credentials import PersonalData

router = api_router(tags=["api tokens"])

Anybody = Annotated[SignedCall, permits(Permission.SELF_READ)]
Read = Annotated[SignedCall, permits(Permission.TOKENS_READ, own=Permission.SELF_READ)]
Create = Annotated[SignedCall, permits(Permission.CREDENTIALS_WRITE)]
Revoke = Annotated[SignedCall, permits(Permission.TOKENS_WRITE, own=Permission.SELF_WRITE)]


@router.get("/api-tokens", responses=problems(*SIGNED), summary="List API tokens")
async def list_api_tokens(
    call: Read,
    window: Annotated[Window, Depends()],
    owner: Annotated[str | None, Query(max_length=64, description="Only those of this user.")] = None,
) -> ApiTokenPage:
    """In the order of their creation; expired ones stay until they are revoked. Members see their own."""
    chosen = [
        item
        for item in call.state.api_tokens.values()
        if call.sees(Permission.TOKENS_READ, item.owner) and owner in (None, item.owner)
    ]
    items, following = page_of(
        chosen, lambda item: (item.created_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    ids = [item.id for item in items]
    async with call.services.store.read() as connection:
        stored = await api_tokens.get_many(connection, ids)
        personal = await credentials.get_many(connection, ids)
    shown = [_shown(call.state, item, stored.get(item.id), personal.get(item.id), call.now) for item in items]
    return ApiTokenPage(items=shown, next_cursor=following)


@router.post(
    "/api-tokens",
    status_code=201,
    response_model=ApiTokenCreated,
    responses=problems(*SIGNED),
    summary="Create an API token",
)
async def create_api_token(call: Create, once: WriteOnce, body: ApiTokenCreate) -> Response:
    """For yourself; the secret is returned this once. Not through an API token: no credential makes another one."""
    token = operations.prepare(
        call.standing, name=body.name, scopes=body.scopes, expires=body.expires_at.timestamp(), now=call.now
    )

    async def build(unit: Unit) -> ApiTokenCreated:
        await operations.create(unit, call.standing, token)
        stored = (await api_tokens.get_many(unit.connection, [token.id])).get(token.id)
        personal = await credentials.get_personal_data(unit.connection, token.id)
        shown = _shown(unit.state, unit.state.api_tokens[token.id], stored, personal, call.now)
        return ApiTokenCreated(**shown.model_dump(), secret=token.secret)

    return await once.create(build)


@router.get(
    "/api-tokens/{token}", response_model=ApiToken, responses=problems(*SIGNED, 404), summary="Read an API token"
)
async def get_api_token(call: Read, token: IdInPath) -> Response:
    """Without its secret, which nobody can read again. Members read their own."""
    item = found(call.state.api_tokens, token)
    call.require_sight(Permission.TOKENS_READ, item.owner)
    async with call.services.store.read() as connection:
        stored = (await api_tokens.get_many(connection, [item.id])).get(item.id)
        personal = await credentials.get_personal_data(connection, item.id)
    return model_answer(_shown(call.state, item, stored, personal, call.now))


@router.delete(
    "/api-tokens/{token}", status_code=204, responses=problems(*SIGNED, 404, 412), summary="Revoke an API token"
)
async def revoke_api_token(call: Revoke, token: IdInPath, expected: IfMatch) -> None:
    """It opens nothing any more, at once. Members revoke their own."""
    async with call.write() as unit:
        item = found(unit.state.api_tokens, token)
        call.require_power(Permission.TOKENS_WRITE, item.owner, sight=Permission.TOKENS_READ)
        expected.check(unit.state, token)
        await operations.revoke(unit, item.id)


@router.get("/roles", responses=problems(*SIGNED), summary="What does each role permit?")
async def list_roles(call: Anybody) -> Roles:
    """The permissions of all roles, and those that an API token may carry as its scopes."""
    items = [
        RolePermissions(role=role.value, permissions=sorted(item.value for item in held))
        for role, held in ROLE_PERMISSIONS.items()
    ]
    return Roles(items=items, token_scopes=sorted(item.value for item in TOKEN_SCOPES))


def _shown(
    state: PolicyState, item: model.ApiToken, stored: StoredToken | None, personal: PersonalData | None, now: float
) -> ApiToken:
    used = stored.last_used_at if stored is not None else None
    return ApiToken(
        id=item.id,
        name=personal.fields.get("name") if personal is not None else None,
        owner=item.owner,
        scopes=list(item.scopes),
        hint=stored.hint if stored is not None else "",
        created_at=from_ms(item.created_ms),
        expires_at=from_s(item.expires),
        expired=item.expires <= now,
        last_used_at=None if used is None else from_s(used),
        version=state.version_of(item.id),
    )
