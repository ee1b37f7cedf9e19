"""Devices: installations of the client."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.paging import page_of
from controller.api.routes.common import SIGNED, IdInPath, Window, api_router, found, problems
from controller.api.schemas.people import Device, DevicePage
from controller.api.writes import model_answer
from controller.domain.commands import EndSession, RevokeDevice
from controller.domain.permissions import Permission
from controller.store import credentials

router = api_router("/devices", tags=["devices"])

Read = Annotated[SignedCall, permits(Permission.DEVICES_READ, own=Permission.SELF_READ)]
Write = Annotated[SignedCall, permits(Permission.DEVICES_WRITE, own=Permission.SELF_WRITE)]


@router.get("", responses=problems(*SIGNED), summary="List devices")
async def list_devices(
    call: Read,
    window: Annotated[Window, Depends()],
    owner: Annotated[
        str | None, Query(max_length=64, description="Only those of this user or service account.")
    ] = None,
    online: Annotated[bool | None, Query(description="Only those that are (not) connected.")] = None,
) -> DevicePage:
    """Members see their own."""
    state, presence = call.state, call.services.presence
    chosen = [
        item
        for item in state.devices.values()
        if call.sees(Permission.DEVICES_READ, item.owner.id)
        and owner in (None, item.owner.id)
        and online in (None, presence.agent(item.id).online)
    ]
    items, following = page_of(
        chosen, lambda item: (item.registered_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    async with call.services.store.read() as connection:
        personal = await credentials.get_many(connection, [item.id for item in items])
    shown = [views.device(state, item, personal.get(item.id), presence.agent(item.id), call.now) for item in items]
    return DevicePage(items=shown, next_cursor=following)


@router.get("/{device}", response_model=Device, responses=problems(*SIGNED, 404), summary="Read a device")
async def get_device(call: Read, device: IdInPath) -> Response:
    """Members read their own."""
    item = found(call.state.devices, device)
    call.require_sight(Permission.DEVICES_READ, item.owner.id)
    async with call.services.store.read() as connection:
        personal = await credentials.get_personal_data(connection, item.id)
    seen = call.services.presence.agent(item.id)
    return model_answer(views.device(call.state, item, personal, seen, call.now))


@router.delete("/{device}/session", status_code=204, responses=problems(*SIGNED, 404), summary="Sign a device out")
async def end_device_session(call: Write, device: IdInPath) -> None:
    """Its user has to sign in again; the device stays known. Open connections end."""
    async with call.write() as unit:
        item = found(unit.state.devices, device)
        call.require_power(Permission.DEVICES_WRITE, item.owner.id, sight=Permission.DEVICES_READ)
        session = found(unit.state.session_of, item.id)
        cause = "signed_out" if item.owner.id == call.user.id else "revoked"
        await unit.execute(EndSession(session, cause))


@router.delete("/{device}", status_code=204, responses=problems(*SIGNED, 404, 412), summary="Revoke a device")
async def revoke_device(call: Write, device: IdInPath, expected: IfMatch) -> None:
    """It loses its standing at once and its open connections are reset. Members revoke their own."""
    async with call.write() as unit:
        item = found(unit.state.devices, device)
        call.require_power(Permission.DEVICES_WRITE, item.owner.id, sight=Permission.DEVICES_READ)
        expected.check(unit.state, device)
        await unit.execute(RevokeDevice(item.id))
