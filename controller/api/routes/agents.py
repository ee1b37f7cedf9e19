"""How agents get an identity: enrolment (C1, C2) and device sign-in (RFC 8628, C6). No session is needed."""

import json
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError

from controller.api.calls import Anonymous
from controller.api.forms import FORM_MEDIA_TYPE, media_type_of, parse_form_untrusted
from controller.api.operations import device_sign_in, enrolment
from controller.api.operations.device_sign_in import SlowDownError
from controller.api.operations.sessions import SignedIn
from controller.api.problems import FieldError, response_of_error
from controller.api.routes.common import api_router, problems
from controller.api.schemas.identity import (
    AdministrationToken,
    DeviceAuthorizationReply,
    DeviceAuthorizationRequest,
    EnrolReply,
    EnrolRequest,
    TokenError,
    TokenReply,
    TokenRequest,
)
from controller.identity import device_flow
from protocol.errors import RemoteError
from protocol.reasons import Reason

router = api_router(tags=["agents"])

M = TypeVar("M", bound=BaseModel)


def _body(model: type[BaseModel]) -> dict[str, Any]:
    """Documents a body that may come as JSON or as a form."""
    schema = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    return {"requestBody": {"required": True, "content": {"application/json": schema, FORM_MEDIA_TYPE: schema}}}


@router.post(
    "/enroll",
    operation_id="enroll",
    response_model=EnrolReply,
    response_model_exclude_none=True,
    responses=problems(403, 409, 410, 429, 503),
    summary="Redeem an enrolment token",
)
async def enroll(call: Anonymous, body: EnrolRequest) -> Response:
    """Connector, relay or service: gives an identity to the key in `jwk`, once. `proof` is an assertion (RFC 7523) with
    subject `enrolment` and this controller's URL as audience."""
    reply = await enrolment.redeem(
        call.services,
        enrolment.Request(
            secret=body.secret,
            kind=body.kind,
            jwk=body.jwk.model_dump(),
            proof=body.proof,
            hostname=body.hostname,
            pin=body.pin,
            csr=body.csr,
        ),
        address=call.origin.address,
        request_id=call.request_id,
        now=call.now,
    )
    return Response(EnrolReply(**reply).model_dump_json(exclude_none=True), media_type="application/json")


@router.post(
    "/device_authorization",
    response_model=DeviceAuthorizationReply,
    responses=problems(403, 429, 503),
    openapi_extra=_body(DeviceAuthorizationRequest),
    summary="Start a device sign-in",
)
async def device_authorization(request: Request, call: Anonymous) -> DeviceAuthorizationReply:
    """RFC 8628 section 3.1. With the scope `administration` for `ostiary admin login --browser`. JSON, or a form in which `jwk` is JSON text."""
    body = await _read(request, DeviceAuthorizationRequest)
    started = await device_sign_in.start(
        call.services,
        jwk=body.jwk.model_dump(),
        proof=body.proof,
        name=body.device_name,
        platform=body.platform,
        purpose=body.scope,
        address=call.origin.address,
        now=call.now,
    )
    page, complete = device_flow.verification_uris(call.services.public_url, started.user_code)
    return DeviceAuthorizationReply(
        device_code=started.device_code,
        user_code=complete.rpartition("=")[2],
        verification_uri=page,
        verification_uri_complete=complete,
        expires_in=device_flow.LIFE_S,
        interval=device_flow.INTERVAL_S,
    )


@router.post(
    "/token",
    response_model=TokenReply | AdministrationToken,
    responses={**problems(429, 503), 400: {"model": TokenError, "description": "RFC 8628 section 3.5."}},
    openapi_extra=_body(TokenRequest),
    summary="Poll a device sign-in",
)
async def token(request: Request, call: Anonymous) -> Response:
    """RFC 8628 section 3.4. Each poll that comes before `interval` makes the interval 5 seconds longer."""
    body = await _read(request, TokenRequest)
    if body.grant_type != device_flow.GRANT_TYPE:
        return _token_error("unsupported_grant_type", Reason.INVALID_INPUT, f"only {device_flow.GRANT_TYPE}")
    try:
        reply = await device_sign_in.redeem(
            call.services,
            device_code=body.device_code,
            proof=body.proof,
            origin=call.origin,
            request_id=call.request_id,
            now=call.now,
        )
    except SlowDownError as exc:
        return _token_error("slow_down", exc.reason, exc.reason.sentence, interval=int(exc.retry_after_s))
    except RemoteError as exc:
        if exc.reason in (Reason.RATE_LIMITED, Reason.UNAVAILABLE):
            return response_of_error(exc, call.request_id)
        return _token_error(device_flow.error_code(exc), exc.reason, str(exc))
    body_of = _administration(reply, call.now) if isinstance(reply, SignedIn) else TokenReply(**reply)
    return Response(body_of.model_dump_json(), media_type="application/json", headers={"Cache-Control": "no-store"})


def _administration(signed: SignedIn, now: float) -> AdministrationToken:
    return AdministrationToken(
        access_token=signed.secret,
        token_type="Bearer",  # noqa: S106 - a word
        expires_in=int(signed.principal.session.expires - now),
        user=signed.account.id,
        role=signed.account.role.value,
    )


def _token_error(error: str, reason: Reason, description: str, *, interval: int | None = None) -> JSONResponse:
    body = TokenError(error=error, error_description=description, code=reason.code, interval=interval)
    response = JSONResponse(body.model_dump(exclude_none=True), 400, {"Cache-Control": "no-store"})
    if interval is not None:
        response.headers["Retry-After"] = str(interval)
    return response


async def _read(request: Request, model: type[M]) -> M:
    """Parses a body that is JSON or a form. Raises FieldError."""
    raw = await request.body()
    try:
        value = _form(raw) if media_type_of(request) == FORM_MEDIA_TYPE else json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise FieldError("", "the body is neither JSON nor a form") from exc
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False, include_context=False)[0]
        raise FieldError(".".join(map(str, first["loc"])), first["msg"]) from exc


def _form(raw: bytes) -> dict[str, object]:
    form: dict[str, object] = {**parse_form_untrusted(raw)}
    if isinstance(jwk := form.get("jwk"), str):
        form["jwk"] = json.loads(jwk)
    return form
