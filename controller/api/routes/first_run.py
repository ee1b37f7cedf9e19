"""The first run over the web: while there is no owner."""

from controller.api.calls import Anonymous
from controller.api.operations import first_run
from controller.api.routes.common import api_router, problems
from controller.api.schemas.first_run import Setup, SetupDone, SetupRequest

router = api_router("/setup", tags=["public"])


@router.get("", responses=problems(429), summary="Is there an owner yet?")
async def get_setup(call: Anonymous) -> Setup:
    """While `open`, whoever has the set-up token makes the first owner."""
    return Setup(open=first_run.is_open(call.state))


@router.post(
    "",
    status_code=201,
    responses=problems(403, 409, 410, 429, 503),
    summary="Make the first owner and the first network",
)
async def finish_setup(call: Anonymous, body: SetupRequest) -> SetupDone:
    """With the token of `ostiary-controller admin setup-token`, once. 409 as soon as there is an owner. Sign in afterwards."""
    wanted = first_run.FirstRun(body.token, body.email, body.name, body.password, body.network)
    done = await first_run.finish(
        call.services, wanted, address=call.origin.address, request_id=call.request_id, now=call.now
    )
    return SetupDone(owner=done.owner, network=done.network)
