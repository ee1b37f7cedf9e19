"""The home page: how everything does, at a glance."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import Query

from controller.api import views
from controller.api.calls import SignedCall, permits
from controller.api.operations import summary
from controller.api.problems import FieldError
from controller.api.routes.common import SIGNED, api_router, problems, to_ms
from controller.api.schemas.common import from_ms, from_s
from controller.api.schemas.summary import Bucket, FirstConnection, Summary
from controller.domain.permissions import Permission
from controller.domain.request_model import RequestStatus
from controller.store import record_counts, records
from controller.store.record_pairs import other_sides
from controller.store.records import RecordFilter

P = Permission

router = api_router("/summary", tags=["activity"])

Read = Annotated[SignedCall, permits(P.SELF_READ)]

HOUR_S: Final = 3600
_SECONDS: Final = {"hour": HOUR_S, "day": 24 * HOUR_S}
_BUCKETS: Final = {"hour": 24, "day": 30}
"""How many are told unless the caller names a moment."""
BUCKETS_MAX: Final = 400
DENIALS: Final = 10
_CONCERNED: Final = (P.NETWORKS_READ, P.RELAYS_READ, P.DEVICES_READ, P.PEOPLE_READ, P.REQUESTS_READ, P.CONNECTIONS_READ)


@router.get("", responses=problems(*SIGNED), summary="How is everything?")
async def get_summary(
    call: Read,
    since: Annotated[
        datetime | None, Query(description="Connections from this moment on (RFC 3339); at most 400 buckets ago.")
    ] = None,
    bucket: Annotated[Bucket, Query(description="How long the parts of `connections` are.")] = "hour",
) -> Summary:
    """What the caller may not read is null and named in `withheld`; connections and denials are then his own."""
    state, presence, now = call.state, call.services.presence, call.now
    length_s = _SECONDS[bucket]
    since_ms = to_ms(since)
    if since_ms is None:
        since_ms = round((now // length_s - _BUCKETS[bucket] + 1) * length_s) * 1000
    if since_ms < (now - BUCKETS_MAX * length_s) * 1000:
        raise FieldError("since", f"at most {BUCKETS_MAX} buckets ago")
    whose = None if call.may(P.CONNECTIONS_READ) else call.user.id
    async with call.services.store.read() as connection:
        counted, truncated = await record_counts.by_bucket(
            connection, since_ms=since_ms, bucket_ms=length_s * 1000, user=whose
        )
        open_now = await records.count_open(connection, user=whose)
        where = RecordFilter(user=whose, denied=True, outcomes=tuple(summary.denied_outcomes()), one_side=True)
        denials = await records.page(connection, limit=DENIALS, where=where)
        others = await other_sides(connection, denials)
        first_ms = await record_counts.first_served_ms(connection) if call.may(P.NETWORKS_READ) else None
    here = summary.places(state, presence)
    devices = [item for item in state.devices if presence.agent(item).online] if call.may(P.DEVICES_READ) else []
    enabled = {item.id for item in state.users.values() if not item.disabled}
    waiting = sum(item.status_at(now) is RequestStatus.OPEN for item in state.access_requests.values())
    return Summary(
        revision=state.position,
        at=from_s(now),
        withheld=[item.value for item in _CONCERNED if not call.may(item)],
        networks=here.networks if call.may(P.NETWORKS_READ) else None,
        connectors=here.connectors if call.may(P.NETWORKS_READ) else None,
        relays=here.relays if call.may(P.RELAYS_READ) else None,
        devices=summary.count(state.devices, set(devices), tell=False) if call.may(P.DEVICES_READ) else None,
        users=summary.count(state.users, enabled) if call.may(P.PEOPLE_READ) else None,
        open_access_requests=waiting if call.may(P.REQUESTS_READ) else None,
        open_connections=open_now,
        connections=summary.buckets(counted),
        truncated=truncated,
        denials=[views.connection(item, others.get(item.id)) for item in denials],
        first_connection=_first(call, here, first_ms) if call.may(P.NETWORKS_READ) else None,
    )


def _first(call: SignedCall, here: summary.Places, first_ms: int | None) -> FirstConnection:
    if first_ms is not None:
        return FirstConnection(done=True, at=from_ms(first_ms), next=None)
    return FirstConnection(done=False, at=None, next=summary.next_step(call.state, here))
