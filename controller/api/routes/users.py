"""People: accounts, roles, passwords, personal data (T-2, T-16)."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.operations import accounts
from controller.api.paging import page_of
from controller.api.problems import FieldError
from controller.api.routes.common import SIGNED, STAFF, IdInPath, Window, api_router, found, problems
from controller.api.schemas.people import PasswordSet, User, UserChange, UserCreate, UserCreated, UserPage
from controller.api.writes import WriteOnce, model_answer
from controller.domain import model
from controller.domain.commands import ChangeUserRole, DisableUser, EnableUser
from controller.domain.model import Role
from controller.domain.permissions import Permission
from controller.identity import access
from controller.identity.passwords import check_new_password, generate_password
from controller.store import Unit, api_tokens, credentials, web_sessions
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason

router = api_router("/users", tags=["users"])

Read = Annotated[SignedCall, permits(Permission.PEOPLE_READ, own=Permission.SELF_READ)]
Write = Annotated[SignedCall, permits(Permission.PEOPLE_WRITE)]
WriteMine = Annotated[SignedCall, permits(Permission.PEOPLE_WRITE, own=Permission.SELF_WRITE)]
WritePassword = Annotated[SignedCall, permits(Permission.PEOPLE_WRITE, own=Permission.CREDENTIALS_WRITE)]


@router.get("", responses=problems(*SIGNED), summary="List users")
async def list_users(
    call: Read,
    window: Annotated[Window, Depends()],
    email: Annotated[str | None, Query(max_length=254, description="Only the one with this e-mail address.")] = None,
    role: Annotated[Role | None, Query(description="Only those with this role.")] = None,
) -> UserPage:
    """Members see themselves only."""
    state = call.state
    async with call.services.store.read() as connection:
        wanted = await credentials.find_by_email(connection, email) if email is not None else None
        chosen = [
            item
            for item in state.users.values()
            if call.sees(Permission.PEOPLE_READ, item.id)
            and (email is None or item.id == wanted)
            and role in (None, item.role)
        ]
        items, following = page_of(
            chosen, lambda item: (item.created_ms, item.id), cursor=window.cursor, limit=window.limit
        )
        personal = await credentials.get_many(connection, [item.id for item in items])
    shown = [views.user(state, item, personal.get(item.id)) for item in items]
    return UserPage(items=shown, next_cursor=following)


@router.post("", status_code=201, response_model=UserCreated, responses=problems(*STAFF, 409), summary="Create a user")
async def create_user(call: Write, once: WriteOnce, body: UserCreate) -> Response:
    """Without a password one is made up and returned, this once. A role other than member must be below your own; owners
    give any. An API token makes members only, without a password until a person sets one."""
    password = _first_password(call, body)
    account = await accounts.prepare(
        call.services.passwords, email=body.email, name=body.name, role=Role(body.role), password=password
    )

    async def build(unit: Unit) -> UserCreated:
        user = await accounts.create(unit, account)
        shown = await _shown(unit, user)
        return UserCreated(**shown.model_dump(), initial_password=None if body.password else password)

    return await once.create(build)


@router.get("/{user}", response_model=User, responses=problems(*SIGNED, 404), summary="Read a user")
async def get_user(call: Read, user: IdInPath) -> Response:
    """Members read themselves only."""
    call.require_sight(Permission.PEOPLE_READ, user)
    item = found(call.state.users, user)
    async with call.services.store.read() as connection:
        personal = await credentials.get_personal_data(connection, item.id)
    return model_answer(views.user(call.state, item, personal))


@router.patch("/{user}", response_model=User, responses=problems(*SIGNED, 403, 404, 409, 412), summary="Change a user")
async def change_user(call: WriteMine, user: IdInPath, body: UserChange, expected: IfMatch) -> Response:
    """Role and state take effect at once, also on open connections. Everybody may change the own name.

    The last owner stays an owner (`last_owner`).
    """
    call.require_power(Permission.PEOPLE_WRITE, user, sight=Permission.PEOPLE_READ)
    async with call.write() as unit:
        target = found(unit.state.users, user)
        actor = access.require_standing(unit.state, call.actor)
        if target.id != actor.user.id or body.role is not None or body.disabled is not None:
            access.require_power_over(actor, target)
        expected.check(unit.state, user)
        if body.role is not None:
            await unit.execute(ChangeUserRole(target.id, Role(body.role)))
            if Role(body.role) is not target.role:
                # Whoever held a session as something else proves anew who he is; but not in the middle of a request.
                mine = call.session.session.hash if call.session is not None else None
                await web_sessions.revoke_all(unit.connection, target.id, unit.now, but=mine)
        if body.disabled is not None:
            await unit.execute(DisableUser(target.id) if body.disabled else EnableUser(target.id))
            if body.disabled:
                await web_sessions.revoke_all(unit.connection, target.id, unit.now)
                await api_tokens.revoke_all(unit.connection, target.id, unit.now)
        if body.name is not None:
            await accounts.rename(unit, target.id, body.name)
        changed = await _shown(unit, target.id)
    return model_answer(changed)


@router.put("/{user}/password", status_code=204, responses=problems(*SIGNED, 403, 404), summary="Set a user's password")
async def set_user_password(call: WritePassword, user: IdInPath, body: PasswordSet) -> None:
    """Ends all of the user's sessions of API and sign-in page. For yourself, name the present password too."""
    call.require_power(Permission.PEOPLE_WRITE, user, sight=Permission.PEOPLE_READ)
    call.require(Permission.CREDENTIALS_WRITE)
    target = found(call.state.users, user)
    if target.id == call.user.id:
        await _require_current_password(call, body)
    else:
        access.require_power_over(call.standing, target)
    async with call.services.store.read() as connection:
        personal = await credentials.get_personal_data(connection, target.id)
    _check_password(body.password, personal.email if personal and personal.email else "")
    fresh = await call.services.passwords.hash(body.password)
    async with call.write() as unit:
        again = found(unit.state.users, user)
        if again.id != call.user.id:
            access.require_power_over(access.require_standing(unit.state, call.actor), again)
        await accounts.set_password(unit, again.id, fresh)


@router.delete(
    "/{user}/personal-data",
    status_code=204,
    responses=problems(*STAFF, 404, 409),
    summary="Erase a user's personal data",
)
async def erase_user_data(call: Write, user: IdInPath) -> None:
    """Name and e-mail address are gone, also from the audit trail, which keeps ids only. Not while the account is in
    use: disable or remove it first. Also of users that were removed."""
    async with call.write() as unit:
        target = unit.state.users.get(UserId(user))
        actor = access.require_standing(unit.state, call.actor)
        if target is not None:
            access.require_power_over(actor, target)
        await accounts.erase(unit, UserId(user))


@router.delete("/{user}", status_code=204, responses=problems(*STAFF, 404, 409, 412), summary="Remove a user")
async def remove_user(call: Write, user: IdInPath, expected: IfMatch) -> None:
    """With devices, sessions, memberships and grants. The e-mail address is free again and inherits nothing."""
    async with call.write() as unit:
        target = found(unit.state.users, user)
        access.require_power_over(access.require_standing(unit.state, call.actor), target)
        expected.check(unit.state, user)
        await accounts.remove(unit, target.id)


def _first_password(call: SignedCall, body: UserCreate) -> str | None:
    """The given one or one made up; none through a token, because whoever holds the token would know it."""
    if call.may(Permission.CREDENTIALS_WRITE):
        return body.password or generate_password()
    if body.password is not None:
        raise RefusedError(Reason.FORBIDDEN, "an API token sets no password; leave it out and set it signed in")
    return None


async def _shown(unit: Unit, user: UserId) -> User:
    personal = await credentials.get_personal_data(unit.connection, user)
    item: model.User = unit.state.users[user]
    return views.user(unit.state, item, personal)


async def _require_current_password(call: SignedCall, body: PasswordSet) -> None:
    limiter = call.services.limits.sign_in_account
    limiter.spend(call.user.id, call.now)
    async with call.services.store.read() as connection:
        stored = await credentials.get_password_hash(connection, call.user.id)
    if body.current_password is None or not await call.services.passwords.verify(stored, body.current_password):
        raise FieldError("current_password", "this is not your present password")
    limiter.refund(call.user.id, call.now)


def _check_password(password: str, email: str) -> None:
    try:
        check_new_password(password, email=email)
    except RefusedError as exc:
        raise FieldError("password", exc.detail) from exc
