"""Relays and their enrolment tokens."""

from typing import Annotated

from fastapi import Depends
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.operations import enrolment
from controller.api.paging import page_of
from controller.api.routes.common import STAFF, IdInPath, NameFilter, Window, api_router, found, has_name, problems
from controller.api.schemas.common import from_s
from controller.api.schemas.places import Enrolment, Relay, RelayCreate, RelayCreated, RelayPage
from controller.api.writes import WriteOnce, model_answer
from controller.domain.commands import CreateRelay, RemoveRelay
from controller.domain.permissions import Permission
from controller.store import Unit, enrolments
from protocol.ids import RelayId
from runtime.entropy import new_id

router = api_router("/relays", tags=["relays"])

Read = Annotated[SignedCall, permits(Permission.RELAYS_READ)]
Write = Annotated[SignedCall, permits(Permission.RELAYS_WRITE)]


@router.get("", responses=problems(*STAFF), summary="List relays")
async def list_relays(call: Read, window: Annotated[Window, Depends()], name: NameFilter = None) -> RelayPage:
    """With what they report: attached connectors, idle legs, pairs, bytes copied."""
    state, presence = call.state, call.services.presence
    chosen = [item for item in state.relays.values() if has_name(item.name, name)]
    items, following = page_of(
        chosen, lambda item: (item.created_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    return RelayPage(items=[views.relay(state, item, presence.relay(item.id)) for item in items], next_cursor=following)


@router.post(
    "", status_code=201, response_model=RelayCreated, responses=problems(*STAFF, 409), summary="Create a relay"
)
async def create_relay(call: Write, once: WriteOnce, body: RelayCreate) -> Response:
    """The answer holds the one-time enrolment token, this once: hand it to `ostiary-relay enroll`."""
    relay = RelayId(new_id("relay"))

    async def build(unit: Unit) -> RelayCreated:
        await unit.execute(CreateRelay(relay, body.name, body.fqdn, body.port))
        given = await enrolment.give_out(call.services, unit, "relay", relay)
        shown = views.relay(unit.state, unit.state.relays[relay], call.services.presence.relay(relay))
        return RelayCreated(
            **shown.model_dump(), enrolment_token=given.text, enrolment_expires_at=from_s(given.expires)
        )

    return await once.create(build)


@router.get("/{relay}", response_model=Relay, responses=problems(*STAFF, 404), summary="Read a relay")
async def get_relay(call: Read, relay: IdInPath) -> Response:
    """With its entity tag."""
    item = found(call.state.relays, relay)
    return model_answer(views.relay(call.state, item, call.services.presence.relay(item.id)))


@router.post(
    "/{relay}/enrolment",
    status_code=201,
    response_model=Enrolment,
    responses=problems(*STAFF, 404),
    summary="Make a new enrolment token for a relay",
)
async def enrol_relay(call: Write, once: WriteOnce, relay: IdInPath) -> Response:
    """Also before its certificate ends: enrolling again makes a new one."""

    async def build(unit: Unit) -> Enrolment:
        item = found(unit.state.relays, relay)
        given = await enrolment.give_out(call.services, unit, "relay", item.id)
        return Enrolment(enrolment_token=given.text, expires_at=from_s(given.expires))

    return await once.create(build)


@router.delete("/{relay}", status_code=204, responses=problems(*STAFF, 404, 412), summary="Remove a relay")
async def remove_relay(call: Write, relay: IdInPath, expected: IfMatch) -> None:
    """No tickets are made for it any more; connectors leave it with their next config."""
    async with call.write() as unit:
        item = found(unit.state.relays, relay)
        expected.check(unit.state, relay)
        await unit.execute(RemoveRelay(item.id))
        await enrolments.revoke_all(unit.connection, item.id)
