"""What anybody may read: the CA's certificate, the verification keys, health."""

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from controller.api.calls import Anonymous
from controller.api.routes.common import operation_id, problems
from controller.api.schemas.activity import Health
from controller.identity import keyring
from protocol.errors import OstiaryError
from protocol.version import SOFTWARE

router = APIRouter(tags=["public"], generate_unique_id_function=operation_id)

_log = structlog.get_logger(__name__)
_SHORT_CACHE = {"Cache-Control": "public, max-age=60"}


@router.get(
    "/ca.pem",
    operation_id="get_ca",
    response_class=Response,
    responses={
        **problems(429),
        200: {"content": {"application/x-pem-file": {}}, "description": "The internal CA's certificate."},
    },
    summary="Fetch the CA's certificate",
)
async def get_ca(call: Anonymous) -> Response:
    """Agents fetch it before they can trust this connection: they compare its key with the pin in their token."""
    return Response(call.services.ca.pem, media_type="application/x-pem-file", headers=_SHORT_CACHE)


@router.get(
    "/.well-known/jwks.json",
    operation_id="get_jwks",
    response_class=JSONResponse,
    responses=problems(429),
    summary="Fetch the verification keys",
)
async def get_jwks(call: Anonymous) -> JSONResponse:
    """RFC 7517: the keys that sign tokens now, next, or until lately."""
    return JSONResponse(keyring.published(call.state).to_jwks(), headers=_SHORT_CACHE)


@router.get("/healthz/live", operation_id="health_live", responses=problems(429), summary="Does the process answer?")
async def health_live(_: Anonymous) -> Health:
    """Asks nobody else."""
    return Health(status="ok", checks={}, software=SOFTWARE)


@router.get(
    "/healthz/ready",
    operation_id="health_ready",
    response_model=Health,
    responses={**problems(429), 503: {"model": Health, "description": "Not ready."}},
    summary="Does it do its work?",
)
async def health_ready(call: Anonymous) -> Response:
    """The database answers and a signing key is loaded."""
    checks: dict[str, str] = {}
    try:
        await call.services.store.ping()
        checks["database"] = "ok"
    except OstiaryError as exc:
        checks["database"] = exc.reason.code
        _log.warning("not ready", check="database", reason=exc.reason.code, detail=exc.detail)
    try:
        call.services.keyring.active(call.state)
        checks["signing_key"] = "ok"
    except OstiaryError as exc:
        checks["signing_key"] = exc.reason.code
    good = set(checks.values()) == {"ok"}
    health = Health(status="ok" if good else "unavailable", checks=checks, software=SOFTWARE)
    return Response(health.model_dump_json(), 200 if good else 503, media_type="application/json")
