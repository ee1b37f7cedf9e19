"""Connectors and their enrolment tokens (C1)."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.operations import enrolment
from controller.api.paging import page_of
from controller.api.routes.common import STAFF, IdInPath, NameFilter, Window, api_router, found, has_name, problems
from controller.api.schemas.common import from_s
from controller.api.schemas.places import Connector, ConnectorCreate, ConnectorCreated, ConnectorPage, Enrolment
from controller.api.writes import WriteOnce, model_answer
from controller.domain.commands import CreateConnector, RemoveConnector
from controller.domain.permissions import Permission
from controller.store import Unit, enrolments
from protocol.ids import ConnectorId, NetworkId
from runtime.entropy import new_id

router = api_router("/connectors", tags=["connectors"])

Read = Annotated[SignedCall, permits(Permission.NETWORKS_READ)]
Write = Annotated[SignedCall, permits(Permission.NETWORKS_WRITE)]


@router.get("", responses=problems(*STAFF), summary="List connectors")
async def list_connectors(
    call: Read,
    window: Annotated[Window, Depends()],
    name: NameFilter = None,
    network: Annotated[str | None, Query(max_length=64, description="Only those of this remote network.")] = None,
    online: Annotated[bool | None, Query(description="Only those that are (not) connected.")] = None,
) -> ConnectorPage:
    """With what their heartbeats say: online since when, version, clock offset, relays, enforced revision."""
    state, presence = call.state, call.services.presence
    chosen = [
        item
        for item in state.connectors.values()
        if has_name(item.name, name)
        and network in (None, item.network)
        and online in (None, presence.agent(item.id).online)
    ]
    items, following = page_of(
        chosen, lambda item: (item.created_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    shown = [views.connector(state, item, presence.agent(item.id)) for item in items]
    return ConnectorPage(items=shown, next_cursor=following)


@router.post(
    "",
    status_code=201,
    response_model=ConnectorCreated,
    responses=problems(*STAFF, 404, 409),
    summary="Create a connector",
)
async def create_connector(call: Write, once: WriteOnce, body: ConnectorCreate) -> Response:
    """The answer holds the one-time enrolment token, this once: hand it to `ostiary-connector enroll`."""
    connector = ConnectorId(new_id("connector"))

    async def build(unit: Unit) -> ConnectorCreated:
        await unit.execute(CreateConnector(connector, NetworkId(body.network), body.name))
        given = await enrolment.give_out(call.services, unit, "connector", connector)
        shown = _shown(call, unit, connector)
        return ConnectorCreated(
            **shown.model_dump(), enrolment_token=given.text, enrolment_expires_at=from_s(given.expires)
        )

    return await once.create(build)


@router.get("/{connector}", response_model=Connector, responses=problems(*STAFF, 404), summary="Read a connector")
async def get_connector(call: Read, connector: IdInPath) -> Response:
    """With its entity tag."""
    item = found(call.state.connectors, connector)
    return model_answer(views.connector(call.state, item, call.services.presence.agent(item.id)))


@router.post(
    "/{connector}/enrolment",
    status_code=201,
    response_model=Enrolment,
    responses=problems(*STAFF, 404),
    summary="Make a new enrolment token for a connector",
)
async def enrol_connector(call: Write, once: WriteOnce, connector: IdInPath) -> Response:
    """An earlier token that was not used is worth nothing any more. An enrolled connector keeps working until the new
    token is redeemed; then its old key has no standing."""

    async def build(unit: Unit) -> Enrolment:
        item = found(unit.state.connectors, connector)
        given = await enrolment.give_out(call.services, unit, "connector", item.id)
        return Enrolment(enrolment_token=given.text, expires_at=from_s(given.expires))

    return await once.create(build)


@router.delete("/{connector}", status_code=204, responses=problems(*STAFF, 404, 412), summary="Remove a connector")
async def remove_connector(call: Write, connector: IdInPath, expected: IfMatch) -> None:
    """It loses its standing at once; its flows end."""
    async with call.write() as unit:
        item = found(unit.state.connectors, connector)
        expected.check(unit.state, connector)
        await unit.execute(RemoveConnector(item.id))
        await enrolments.revoke_all(unit.connection, item.id)


def _shown(call: SignedCall, unit: Unit, connector: ConnectorId) -> Connector:
    return views.connector(unit.state, unit.state.connectors[connector], call.services.presence.agent(connector))
