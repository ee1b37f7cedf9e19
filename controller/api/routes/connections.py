"""Who was, or is, connected to what: the connection log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.responses import StreamingResponse

from controller.api import exports, views
from controller.api.calls import SignedCall, permits
from controller.api.paging import encode_cursor
from controller.api.routes.common import SIGNED, Since, Until, Window, api_router, position_before, problems, to_ms
from controller.api.schemas.activity import Connection, ConnectionPage
from controller.domain.permissions import Permission
from controller.store import records
from controller.store.record_pairs import other_sides
from controller.store.records import RecordFilter

router = api_router(tags=["activity"])

Read = Annotated[SignedCall, permits(Permission.CONNECTIONS_READ, own=Permission.SELF_READ)]
IdFilter = Annotated[str | None, Query(max_length=64)]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which connections are asked for."""

    user: IdFilter = None
    device: IdFilter = None
    resource: IdFilter = None
    network: IdFilter = None
    connector: IdFilter = None
    flow: Annotated[str | None, Query(max_length=64, description="Both sides of one flow.")] = None
    token: Annotated[str | None, Query(max_length=64, description="All that one access token opened.")] = None
    reporter: Annotated[str | None, Query(pattern="^(client|connector)$", description="Only this side's.")] = None
    outcome: Annotated[str | None, Query(max_length=64, description="Reason code, for example `no_grant`.")] = None
    denied: Annotated[bool | None, Query(description="Only those that were (not) denied.")] = None
    open: Annotated[bool | None, Query(description="Only those that are open now, or that are over.")] = None
    differs: Annotated[
        bool | None,
        Query(
            description="True: only those whose two sides contradict each other. False: only those whose two sides both "
            "told the end, and agree."
        ),
    ] = None
    since: Since = None
    until: Until = None

    def within(self, call: SignedCall) -> RecordFilter | None:
        """As the caller may ask it: others than auditors and admins see their own. None: nothing of it is his."""
        everybodys = call.may(Permission.CONNECTIONS_READ)
        if not everybodys and self.user not in (None, call.user.id):
            return None
        return RecordFilter(
            user=self.user if everybodys else call.user.id,
            device=self.device,
            resource=self.resource,
            network=self.network,
            connector=self.connector,
            outcome=self.outcome,
            denied=self.denied,
            since_ms=to_ms(self.since),
            until_ms=to_ms(self.until),
            open=self.open,
            flow=self.flow,
            token=self.token,
            reporter=self.reporter,
            differs=self.differs,
            # Who asks for one flow, one token, or one side's records, is shown each of them.
            one_side=self.reporter is None and self.flow is None and self.token is None,
        )


@router.get("/connections", responses=problems(*SIGNED), summary="List connections, open, served and denied")
async def list_connections(
    call: Read, window: Annotated[Window, Depends()], filters: Annotated[Filters, Depends()]
) -> ConnectionPage:
    """Newest first. Members see their own. `open=true` answers who is connected now, whichever replica is asked.

    A flow is shown once, as its connector reported it, or as the client did where no connector has, with the other side's record
    in `other`. With `flow`, `token` or `reporter` each record is an item of its own.
    """
    where = filters.within(call)
    if where is None:
        return ConnectionPage(items=[], next_cursor=None)
    async with call.services.store.read() as connection:
        found = await records.page(connection, before=position_before(window), limit=window.limit + 1, where=where)
        page = found[: window.limit]
        others = await other_sides(connection, page)
    following = encode_cursor((page[-1].id,)) if len(found) > window.limit else None
    return ConnectionPage(items=[views.connection(item, others.get(item.id)) for item in page], next_cursor=following)


@router.get(
    "/connections/export",
    responses={**problems(*SIGNED), **exports.DESCRIPTION},
    response_class=StreamingResponse,
    summary="Export connections",
)
async def export_connections(
    call: Read,
    filters: Annotated[Filters, Depends()],
    format: exports.Format = "jsonl",  # noqa: A002 - the parameter's name
) -> StreamingResponse:
    """All connections that pass the filters, newest first, as JSON lines or CSV. What comes in meanwhile is left out."""
    where = filters.within(call)

    async def next_page(before: int | None) -> tuple[Sequence[dict[str, Any]], int | None]:
        if where is None:
            return (), None
        async with call.services.store.read() as connection:
            found = await records.page(connection, before=before, limit=records.PAGE_MAX, where=where)
            others = await other_sides(connection, found)
        rows = [views.connection(item, others.get(item.id)).model_dump(mode="json") for item in found]
        return rows, found[-1].id if len(found) == records.PAGE_MAX else None

    return exports.stream(next_page, format=format, columns=tuple(Connection.model_fields), name="connections")
