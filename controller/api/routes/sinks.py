"""Where connection records and audit events are sent to (SIEM)."""

from dataclasses import replace
from typing import Annotated, Final

from fastapi import Depends
from fastapi.responses import Response

from controller.api.calls import SignedCall, permits
from controller.api.paging import page_of
from controller.api.routes.common import STAFF, IdInPath, Window, api_router, problems
from controller.api.schemas import sinks as schemas
from controller.api.schemas.common import from_ms
from controller.api.writes import WriteOnce
from controller.delivery.courier import make_transport, secret_name
from controller.domain.commands_sinks import AddSink, RemoveSink
from controller.domain.permissions import Permission
from controller.store import Unit, records, secrets, sinks
from controller.store.sinks import Sink
from protocol.errors import RefusedError
from protocol.reasons import Reason
from runtime.entropy import new_id

router = api_router("/sinks", tags=["activity"])

Read = Annotated[SignedCall, permits(Permission.SINKS_READ)]
Write = Annotated[SignedCall, permits(Permission.SINKS_WRITE)]
_NEEDED: Final = {"connections": Permission.CONNECTIONS_READ, "events": Permission.AUDIT_READ}


@router.get("", responses=problems(*STAFF), summary="List sinks")
async def list_sinks(call: Read, window: Annotated[Window, Depends()]) -> schemas.SinkPage:
    """With what waits for each, and why it fails if it does."""
    async with call.services.store.read() as connection:
        found = await sinks.list_all(connection)
        newest = await records.newest(connection)
    page, following = page_of(found, lambda item: (item.name,), cursor=window.cursor, limit=window.limit)
    position = call.state.position
    return schemas.SinkPage(items=[_shown(item, newest, position) for item in page], next_cursor=following)


@router.post("", status_code=201, response_model=schemas.Sink, responses=problems(*STAFF, 409), summary="Add a sink")
async def create_sink(call: Write, once: WriteOnce, body: schemas.SinkCreate) -> Response:
    """What it gets holds who reached what: give it only to those who may know. Needs the permission to
    read what is sent, too. The credential is sealed."""
    for content in set(body.content):
        # Who sends it somewhere has it there.
        call.require(_NEEDED[content])
    if body.token and body.kind != "https":
        raise RefusedError(Reason.INVALID_INPUT, "token: syslog has none")
    sink = Sink(
        id=new_id("sink"),
        name=body.name,
        kind=body.kind,
        destination=body.destination,
        ca_pem=body.ca_pem,
        content=" ".join(sorted(set(body.content))),
        created_ms=round(call.now * 1000),
        connections_seq=0,
        events_position=0,
    )
    make_transport(sink, body.token, hostname="", process="", loopback=False)

    async def build(unit: Unit) -> schemas.Sink:
        newest = await records.newest(unit.connection)
        await unit.execute(AddSink(sink.id, sink.name, sink.kind, sink.destination, sink.content))
        placed = sink
        if not body.from_start:
            placed = _placed(sink, newest, unit.position)
        await sinks.add(unit.connection, placed)
        if body.token:
            sealed = call.services.seal.seal(secret_name(sink.id), body.token.encode())
            await secrets.put(unit.connection, secret_name(sink.id), sealed, call.now)
        return _shown(placed, newest, unit.position)

    return await once.create(build)


@router.get("/{sink}", responses=problems(*STAFF, 404), summary="Read a sink")
async def get_sink(call: Read, sink: IdInPath) -> schemas.Sink:
    """As in the list."""
    async with call.services.store.read() as connection:
        found = await sinks.get(connection, sink)
        newest = await records.newest(connection)
    if found is None:
        raise RefusedError(Reason.NOT_FOUND)
    return _shown(found, newest, call.state.position)


@router.delete("/{sink}", status_code=204, responses=problems(*STAFF, 404), summary="Remove a sink")
async def remove_sink(call: Write, sink: IdInPath) -> None:
    """What it has not taken it never gets."""
    async with call.write() as unit:
        found = await sinks.get(unit.connection, sink)
        if found is None:
            raise RefusedError(Reason.NOT_FOUND)
        await unit.execute(RemoveSink(found.id, found.name))
        await sinks.remove(unit.connection, found.id)
        await secrets.delete(unit.connection, secret_name(found.id))


def _placed(sink: Sink, seq: int, position: int) -> Sink:
    return replace(sink, connections_seq=seq, events_position=position)


def _shown(item: Sink, newest: int, position: int) -> schemas.Sink:
    return schemas.Sink(
        id=item.id,
        name=item.name,
        kind=item.kind,
        destination=item.destination,
        content=[what for what in ("connections", "events") if item.takes(what)],
        created_at=from_ms(item.created_ms),
        state="failing" if item.failing_ms is not None else "delivering",
        delivered=item.delivered,
        delivered_at=None if item.delivered_ms is None else from_ms(item.delivered_ms),
        pending_connections=max(0, newest - item.connections_seq) if item.takes("connections") else 0,
        pending_events=max(0, position - item.events_position) if item.takes("events") else 0,
        failing_since=None if item.failing_ms is None else from_ms(item.failing_ms),
        failure=item.failure or None,
        detail=item.detail or None,
    )
