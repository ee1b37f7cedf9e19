"""Groups and their members."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.paging import page_of
from controller.api.routes.common import STAFF, IdInPath, NameFilter, Window, api_router, found, has_name, problems
from controller.api.schemas.people import Group, GroupChange, GroupCreate, GroupPage, UserPage
from controller.api.writes import WriteOnce, model_answer
from controller.domain.commands import AddGroupMember, CreateGroup, RemoveGroup, RemoveGroupMember, RenameGroup
from controller.domain.permissions import Permission
from controller.store import Unit, credentials
from protocol.errors import RefusedError
from protocol.ids import GroupId, UserId
from protocol.reasons import Reason
from runtime.entropy import new_id

router = api_router("/groups", tags=["groups"])

Read = Annotated[SignedCall, permits(Permission.GROUPS_READ)]
Write = Annotated[SignedCall, permits(Permission.GROUPS_WRITE)]
ReadPeople = Annotated[SignedCall, permits(Permission.PEOPLE_READ)]


@router.get("", responses=problems(*STAFF), summary="List groups")
async def list_groups(
    call: Read,
    window: Annotated[Window, Depends()],
    name: NameFilter = None,
    member: Annotated[
        str | None,
        Query(
            max_length=64,
            description="Only those that this user is in; takes `people:read` besides, as a group's members do.",
        ),
    ] = None,
) -> GroupPage:
    """In the order of their creation."""
    state = call.state
    if member is None:
        asked = state.groups.values()
    else:
        call.require(Permission.PEOPLE_READ)
        asked = [state.groups[group] for group in state.groups_of.get(UserId(member), ())]
    chosen = [item for item in asked if has_name(item.name, name)]
    items, following = page_of(
        chosen, lambda item: (item.created_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    return GroupPage(items=[views.group(state, item) for item in items], next_cursor=following)


@router.post("", status_code=201, response_model=Group, responses=problems(*STAFF, 409), summary="Create a group")
async def create_group(call: Write, once: WriteOnce, body: GroupCreate) -> Response:
    """Without members. Its name is unique, without regard to case."""
    group = GroupId(new_id("group"))

    async def build(unit: Unit) -> Group:
        await unit.execute(CreateGroup(group, body.name))
        return views.group(unit.state, unit.state.groups[group])

    return await once.create(build)


@router.get("/{group}", response_model=Group, responses=problems(*STAFF, 404), summary="Read a group")
async def get_group(call: Read, group: IdInPath) -> Response:
    """With its entity tag."""
    return model_answer(views.group(call.state, found(call.state.groups, group)))


@router.patch("/{group}", response_model=Group, responses=problems(*STAFF, 404, 409, 412), summary="Rename a group")
async def change_group(call: Write, group: IdInPath, body: GroupChange, expected: IfMatch) -> Response:
    """Grants stay."""
    async with call.write() as unit:
        item = found(unit.state.groups, group)
        expected.check(unit.state, group)
        await unit.execute(RenameGroup(item.id, body.name))
        changed = views.group(unit.state, unit.state.groups[item.id])
    return model_answer(changed)


@router.delete("/{group}", status_code=204, responses=problems(*STAFF, 404, 412), summary="Remove a group")
async def remove_group(call: Write, group: IdInPath, expected: IfMatch) -> None:
    """Its grants go with it, at once."""
    async with call.write() as unit:
        item = found(unit.state.groups, group)
        expected.check(unit.state, group)
        await unit.execute(RemoveGroup(item.id))


@router.get("/{group}/members", responses=problems(*STAFF, 404), summary="List a group's members")
async def list_group_members(call: ReadPeople, group: IdInPath, window: Annotated[Window, Depends()]) -> UserPage:
    """In the order of the accounts' creation."""
    state = call.state
    item = found(state.groups, group)
    chosen = [state.users[user] for user in state.members.get(item.id, ())]
    items, following = page_of(
        chosen, lambda user: (user.created_ms, user.id), cursor=window.cursor, limit=window.limit
    )
    async with call.services.store.read() as connection:
        personal = await credentials.get_many(connection, [user.id for user in items])
    return UserPage(items=[views.user(state, user, personal.get(user.id)) for user in items], next_cursor=following)


@router.put(
    "/{group}/members/{user}", status_code=204, responses=problems(*STAFF, 404), summary="Add a user to a group"
)
async def add_group_member(call: Write, group: IdInPath, user: IdInPath) -> None:
    """Nothing happens when the user is in it already."""
    async with call.write() as unit:
        item, member = found(unit.state.groups, group), found(unit.state.users, user)
        await unit.execute(AddGroupMember(item.id, member.id))


@router.delete(
    "/{group}/members/{user}", status_code=204, responses=problems(*STAFF, 404), summary="Take a user out of a group"
)
async def remove_group_member(call: Write, group: IdInPath, user: IdInPath) -> None:
    """What the user reached through this group only ends at once."""
    async with call.write() as unit:
        item, member = found(unit.state.groups, group), found(unit.state.users, user)
        if member.id not in unit.state.members.get(item.id, ()):
            raise RefusedError(Reason.NOT_FOUND, "the user is not in this group")
        await unit.execute(RemoveGroupMember(item.id, member.id))
