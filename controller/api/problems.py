"""RFC 9457 problems: every refusal leaves the API as ``application/problem+json`` with a Reason code.

The status is a function of the Reason; ``detail`` is the sentence a person reads, ``next`` the step to take, ``field``
the member of the input at fault. Nothing of an unexpected exception reaches the client.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from controller.identity.rate_limit import RateLimitedError
from protocol.errors import LocalError, OstiaryError, RemoteProtocolError
from protocol.reasons import Reason

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

STATUS: Final[Mapping[Reason, int]] = {
    Reason.INVALID_INPUT: 422,
    Reason.PROTOCOL_ERROR: 422,
    Reason.SIGN_IN_REQUIRED: 401,
    Reason.SIGN_IN_FAILED: 401,
    Reason.SECOND_FACTOR_REQUIRED: 403,
    Reason.SECOND_FACTOR_WRONG: 422,
    Reason.SIGN_IN_NOT_RECENT: 403,
    Reason.IDENTITY_PROVIDER_UNREACHABLE: 503,
    Reason.IDENTITY_REFUSED: 403,
    Reason.IDENTITY_UNKNOWN: 403,
    Reason.USER_DISABLED: 403,
    Reason.SERVICE_ACCOUNT_DISABLED: 403,
    Reason.FORBIDDEN: 403,
    Reason.LAST_OWNER: 409,
    Reason.NOT_FOUND: 404,
    Reason.CONFLICT: 409,
    Reason.ALREADY_EXISTS: 409,
    Reason.IN_USE: 409,
    Reason.PLAN_REFUSED: 409,
    Reason.BODY_TOO_LARGE: 413,
    Reason.RATE_LIMITED: 429,
    Reason.SLOW_DOWN: 429,
    Reason.LIMIT_EXCEEDED: 429,
    Reason.ENROLMENT_INVALID: 403,
    Reason.ENROLMENT_USED: 410,
    Reason.ENROLMENT_EXPIRED: 410,
    Reason.PROOF_INVALID: 403,
    Reason.PROOF_MISSING: 403,
    Reason.UNAVAILABLE: 503,
    Reason.SHUTTING_DOWN: 503,
    Reason.TIMEOUT: 503,
    Reason.INTERNAL: 500,
    Reason.STATE_CORRUPT: 500,
}
"""Tokens (40-49) are 403 by ``status_of``; anything else that is not named here is a plain 400."""

_OF_HTTP_STATUS: Final[Mapping[int, Reason]] = {
    400: Reason.INVALID_INPUT,
    401: Reason.SIGN_IN_REQUIRED,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    405: Reason.INVALID_INPUT,
    413: Reason.BODY_TOO_LARGE,
    415: Reason.INVALID_INPUT,
    422: Reason.INVALID_INPUT,
}

_FIELD_PREFIX: Final = re.compile(r"([a-z_]+(?:\.[a-z_]+)*): (.+)\Z", re.DOTALL)
"""How the domain names the input at fault in a detail."""

_log = structlog.get_logger(__name__)


class Problem(BaseModel):
    """An RFC 9457 problem. ``code`` is stable; texts are for people and may change."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "There is no such thing, or it is not yours to see.",
                    "status": 404,
                    "code": "not_found",
                    "detail": "There is no such thing, or it is not yours to see.",
                    "next": "List what there is.",
                    "request_id": "req_2f8a5bb0c1d94f7e",
                }
            ]
        }
    )

    type: str = Field("about:blank", description="Always `about:blank`: `code` says what happened.")
    title: str = Field(description="The sentence that belongs to `code`.")
    status: int = Field(description="The HTTP status again.")
    code: str = Field(description="Reason code, stable, for machines.")
    detail: str = Field(description="What happened, for a person.")
    next: str = Field("", description="What to do about it, for a person.")
    field: str | None = Field(None, description="The member of the input at fault, as a path (`ports.tcp.0`).")
    request_id: str = Field("", description="Also in the controller's log and in the audit trail.")


class FieldError(OstiaryError):
    """One member of the input is wrong; ``field`` is its path."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(Reason.INVALID_INPUT, detail)
        self.field = field


class PreconditionFailedError(OstiaryError):
    """``If-Match`` names another version than the present one (RFC 9110 section 13.1.1), which the answer tells."""

    def __init__(self, detail: str, *, tag: str = "") -> None:
        super().__init__(Reason.CONFLICT, detail)
        self.tag = tag


def status_of(reason: Reason) -> int:
    """Returns the HTTP status for a refusal."""
    if 40 <= reason.number <= 49:
        return 403
    return STATUS.get(reason, 400)


def problem_response(
    reason: Reason,
    *,
    request_id: str,
    detail: str = "",
    field: str | None = None,
    status: int | None = None,
    retry_after_s: float | None = None,
) -> JSONResponse:
    """Builds the answer for one refusal."""
    status = status or status_of(reason)
    headers: dict[str, str] = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="ostiary"'
    if retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    elif status == 503:
        headers["Retry-After"] = "2"
    body = Problem(
        type="about:blank",
        title=reason.sentence,
        status=status,
        code=reason.code,
        detail=detail or reason.sentence,
        next=reason.next_step,
        field=field,
        request_id=request_id,
    )
    return JSONResponse(body.model_dump(exclude_none=True), status, headers, media_type=PROBLEM_MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Makes ``app`` answer every exception with a problem."""
    app.add_exception_handler(OstiaryError, _on_ostiary_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_crash)


def request_id_of(request: Request) -> str:
    """Returns the id that the outermost middleware gave this request."""
    return str(request.scope.get("ostiary.request_id", ""))


async def _on_ostiary_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, OstiaryError)
    return response_of_error(exc, request_id_of(request))


def response_of_error(exc: OstiaryError, request_id: str) -> JSONResponse:
    """Returns the answer for an error of ours. The detail of a local fault stays in the log."""
    reason = exc.reason
    detail = exc.detail
    if isinstance(exc, LocalError) and status_of(reason) in (400, 500):
        _log.error("request failed", reason=reason.code, detail=detail, request_id=request_id)
        return problem_response(Reason.INTERNAL, request_id=request_id)
    if isinstance(exc, RemoteProtocolError) and reason is Reason.PROTOCOL_ERROR:
        reason = Reason.INVALID_INPUT
    retry_after_s = exc.retry_after_s if isinstance(exc, RateLimitedError) else None
    status = 412 if isinstance(exc, PreconditionFailedError) else None
    field = exc.field or None if isinstance(exc, FieldError) else None
    if field is None and reason is Reason.INVALID_INPUT and (match := _FIELD_PREFIX.match(detail)) is not None:
        field, detail = match[1], match[2]
    response = problem_response(
        reason, request_id=request_id, detail=detail, field=field, status=status, retry_after_s=retry_after_s
    )
    if isinstance(exc, PreconditionFailedError) and exc.tag:
        response.headers["ETag"] = exc.tag
    return response


async def _on_crash(request: Request, _: Exception) -> Response:
    return problem_response(Reason.INTERNAL, request_id=request_id_of(request))


async def _on_validation_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    first = exc.errors()[0] if exc.errors() else {"loc": (), "msg": "the input is not valid"}
    location = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    if first.get("type") == "json_invalid":
        # Its location is where in the text reading stopped, not a member.
        return problem_response(
            Reason.INVALID_INPUT, request_id=request_id_of(request), detail="the body is not JSON", field="body"
        )
    return problem_response(
        Reason.INVALID_INPUT,
        request_id=request_id_of(request),
        # The message comes from the schema, never from the input (T-74).
        detail=str(first["msg"]).removeprefix("Value error, "),
        field=".".join(location) or None,
    )


async def _on_http_exception(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    reason = _OF_HTTP_STATUS.get(exc.status_code, Reason.INVALID_INPUT)
    response = problem_response(
        reason,
        request_id=request_id_of(request),
        status=exc.status_code,
        detail=_DETAIL_OF_HTTP.get(exc.status_code, ""),
    )
    for name, value in (exc.headers or {}).items():
        response.headers[name] = value
    return response


_DETAIL_OF_HTTP: Final[Mapping[int, str]] = {
    405: "This path does not know this method.",
    415: "The content type is not supported.",
}
