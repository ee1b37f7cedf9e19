"""The stream of what happens, for pages that show it as it happens."""

from typing import Annotated, Any, Final

from fastapi import Header
from fastapi.responses import StreamingResponse

from controller.api.calls import SignedCall, permits, require_second_factor
from controller.api.event_stream import MEDIA_TYPE, EventStreamResponse, Frames, Reader
from controller.api.operations import sessions
from controller.api.routes.common import POSITION_MAX, STAFF, api_router, problems
from controller.domain.permissions import Permission
from controller.domain.standing import standing_of
from protocol.errors import RefusedError
from protocol.ids import ApiTokenId
from protocol.reasons import Reason

router = api_router(tags=["activity"])

Listen = Annotated[SignedCall, permits(Permission.AUDIT_READ, own=Permission.SELF_READ)]

_DESCRIPTION: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-Sent Events: `hello`, `change`, `presence`, `resync`, `end`; a comment every 15 seconds without news.",
        "content": {
            MEDIA_TYPE: {
                "example": 'id: 42\nevent: change\ndata: {"position":42,"kind":"grant.created",'
                '"ids":["gra_q1w2e3r4t5y6u7i8o9p0aA"],"at_ms":1795348800000}\n\n'
            }
        },
    }
}


@router.get(
    "/events/stream",
    responses={**problems(*STAFF), **_DESCRIPTION},
    response_class=StreamingResponse,
    summary="Follow what happens",
)
async def stream_events(
    call: Listen,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            max_length=19,
            pattern=r"^[0-9]{1,19}$",
            description="The last position that you were told; what followed is told first.",
        ),
    ] = None,
) -> StreamingResponse:
    """`change` tells kind, position and the ids that you may see, nothing else: ask for what changed. Without `audit:read`, only what
    happened to things that you may read, or to your own. `presence` tells when connectors and relays come and go. After `resync` or a `hello` with
    `resumed` false, load everything anew. The stream ends with the session, which it does not keep alive.
    """
    services = call.services
    after = None if last_event_id is None else min(int(last_event_id), POSITION_MAX)
    frames = Frames(services.store, services.streams, lambda: services.presence, _reader(call), after)
    give_back = services.streams.take(call.user.id, call.actor if call.session is None else call.session.session.hash)
    return EventStreamResponse(frames.frames(), give_back)


def _reader(call: SignedCall) -> Reader:
    services = call.services
    session = call.session
    if session is None:
        token = services.state.api_tokens[ApiTokenId(call.actor)]
        ends_at = float(token.expires)
    else:
        ends_at = session.session.expires

    async def verify() -> None:
        require_second_factor(call)
        standing = standing_of(services.state, call.actor)
        if standing is None or not (standing.may(Permission.AUDIT_READ) or standing.may(Permission.SELF_READ)):
            raise RefusedError(Reason.SIGN_IN_REQUIRED)
        if session is not None:
            await sessions.require_live(services, session, services.clock.wall())

    return Reader(call.actor, call.user.id, ends_at, verify)
