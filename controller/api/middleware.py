"""What surrounds every request: id, bounds before authentication (D10, T-12), security headers (T-72), log line (T-74).

Plain ASGI, outermost first: ``RequestIds`` > ``Bounds`` > the application. WebSockets pass ``Bounds`` after the header
check; their messages are bounded by the server's ``ws_max_size``.
"""

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api.problems import problem_response, response_of_error
from controller.identity import api_tokens, web_sessions
from protocol.errors import LocalError, OstiaryError
from protocol.limits import API_BODY_MAX_BYTES, POLICY_DOCUMENT_MAX_BYTES
from protocol.reasons import Reason

HEADERS_MAX: Final = 64
HEADERS_MAX_BYTES: Final = 16 * 1024
"""All header names and values together; an assertion is below 1 KiB."""
QUERY_MAX_BYTES: Final = 4 * 1024
BODY_DEADLINE_S: Final = 20.0
LARGE_BODIES: Final[Mapping[str, int]] = {"/api/v1/plans": 2 * POLICY_DOCUMENT_MAX_BYTES}
"""Paths whose bodies may be longer than others: a policy document names everybody in a company."""
LARGE_BODIES_AT_ONCE: Final = 4
"""Bodies beyond the usual size that one process holds."""

Admit = Callable[[Scope], Awaitable[None]]
"""Raises OstiaryError unless the credential of a request is right and may send a large body there."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{8,64}\Z")
_log = structlog.get_logger(__name__)

SECURITY_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    # Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"strict-transport-security", b"max-age=31536000"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
"""On every answer. There is no CORS header on purpose: no other origin may read anything."""
DEFAULT_CSP: Final = b"default-src 'none'; frame-ancestors 'none'"


class RequestIds:
    """Gives each request an id (a well-formed ``X-Request-Id`` is kept), logs it once, and adds the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or f"req_{secrets.token_hex(8)}"
        scope["ostiary.request_id"] = request_id
        started = time.monotonic()
        status = 0
        complete = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _with_security_headers(message["headers"], request_id)}
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception:
                # The framework has answered 500 without details and raised again; here it gets its one log line.
                _log.exception("request crashed", method=scope["method"], path=_printable(scope["path"]))
                if not complete:
                    raise
            finally:
                _log.debug(
                    "request",
                    method=scope["method"],
                    path=_printable(scope["path"]),
                    status=status,
                    ms=round((time.monotonic() - started) * 1000, 1),
                )
                # Bound on the way by the dependency that knows who asks.
                structlog.contextvars.unbind_contextvars("user")


class Bounds:
    """Refuses oversized heads and bodies before anything else looks at them; also without a Content-Length.

    A body beyond the usual size gets one of few places, once ``admit`` has said that its sender may have it: who makes
    credentials up keeps nobody else out.
    """

    def __init__(self, app: ASGIApp, *, admit: Admit, body_max: int = API_BODY_MAX_BYTES) -> None:
        self._app = app
        self._admit = admit
        self._body_max = body_max
        self._large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and not _head_is_small(scope):
            await send({"type": "websocket.close", "code": 1009, "reason": Reason.BODY_TOO_LARGE.code})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not _head_is_small(scope):
            await self._refuse(scope, receive, send, 431, "The request's headers or its query are too large.")
            return
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            # No database stores it and no id holds it.
            await self._refuse(scope, receive, send, 400, "The URL holds a NUL character.", Reason.INVALID_INPUT)
            return
        body_max = self._body_max
        if scope["path"] in LARGE_BODIES and _claims_a_sign_in(scope):
            body_max = max(body_max, LARGE_BODIES[scope["path"]])
        if _declared_length(scope) > body_max:
            await self._refuse(scope, receive, send, 413, f"A body has at most {body_max} bytes.")
            return
        counted = _CountedBody(receive, body_max, self._body_max, lambda: self._take_large(scope))
        started = False

        async def send_unless_broken(message: Message) -> None:
            # The framework turns any failure to read a body into an answer of its own; ours replaces that one.
            nonlocal started
            if counted.refusal is None or started:
                started = True
                await send(message)

        try:
            with contextlib.suppress(_BodyRefusedError):
                await self._app(scope, counted.receive, send_unless_broken)
        finally:
            if counted.large:
                self._large -= 1
        if started:
            return
        if isinstance(counted.refusal, OstiaryError):
            await _close_with(response_of_error(counted.refusal, _id_of(scope)), scope, receive, send)
        elif counted.refusal is not None:
            await self._refuse(scope, receive, send, *counted.refusal)

    async def _take_large(self, scope: Scope) -> None:
        """Raises OstiaryError: what ``admit`` raises, and UNAVAILABLE while all places are taken."""
        await self._admit(scope)
        if self._large >= LARGE_BODIES_AT_ONCE:
            raise LocalError(Reason.UNAVAILABLE, "Too many large bodies at once.")
        self._large += 1

    async def _refuse(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        status: int,
        detail: str,
        reason: Reason = Reason.BODY_TOO_LARGE,
    ) -> None:
        response = problem_response(reason, request_id=_id_of(scope), detail=detail, status=status)
        await _close_with(response, scope, receive, send)


class _BodyRefusedError(Exception):
    pass


class _CountedBody:
    """Hands the body on while it is within its bounds in size and time."""

    def __init__(self, receive: Receive, limit: int, usual: int, take_large: Callable[[], Awaitable[None]]) -> None:
        self._receive = receive
        self._limit = limit
        self._usual = usual
        self._take_large = take_large
        self._read = 0
        self._complete = False
        self._deadline = time.monotonic() + BODY_DEADLINE_S
        self.large = False
        """Whether it holds one of the places for large bodies."""
        self.refusal: tuple[int, str, Reason] | OstiaryError | None = None

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            self.refusal = (408, "The body did not arrive in time.", Reason.BODY_TOO_LARGE)
            raise _BodyRefusedError from None
        if message["type"] == "http.request":
            self._complete = not message.get("more_body", False)
            self._read += len(message.get("body", b""))
            if self._read > self._limit:
                self.refusal = (413, f"A body has at most {self._limit} bytes.", Reason.BODY_TOO_LARGE)
                raise _BodyRefusedError
            if self._read > self._usual and not self.large:
                try:
                    await self._take_large()
                except OstiaryError as exc:
                    self.refusal = exc
                    raise _BodyRefusedError from None
                self.large = True
        return message


async def _close_with(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers and closes: the rest of the body is not read, so that the connection cannot be used again."""
    response.headers["Connection"] = "close"
    await response(scope, receive, send)


def _id_of(scope: Scope) -> str:
    return str(scope.get("ostiary.request_id", ""))


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if _REQUEST_ID.match(text) else None
    return None


def _head_is_small(scope: Scope) -> bool:
    headers = scope["headers"]
    size = sum(len(name) + len(value) for name, value in headers)
    return len(headers) <= HEADERS_MAX and size <= HEADERS_MAX_BYTES and len(scope["query_string"]) <= QUERY_MAX_BYTES


def _claims_a_sign_in(scope: Scope) -> bool:
    """Whether there is a credential of the right form; whether it is a right one is asked later."""
    headers = Headers(scope=scope)
    scheme, bearer = get_authorization_scheme_param(headers.get("authorization"))
    if scheme.lower() == "bearer" and bearer:
        parsed = api_tokens.parse_secret_untrusted(bearer) or web_sessions.parse_secret_untrusted(bearer)
        return parsed is not None
    cookie = cookie_parser(headers.get("cookie", "")).get(web_sessions.CONSOLE_COOKIE, "")
    return web_sessions.parse_secret_untrusted(cookie) is not None


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            try:
                return int(value)
            except ValueError:
                return 1 << 62
    return 0


def _with_security_headers(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    extra = [*SECURITY_HEADERS, (b"content-security-policy", DEFAULT_CSP), (b"x-request-id", request_id.encode())]
    if b"cache-control" not in present:
        extra.append((b"cache-control", b"no-store"))
    return [*headers, *(item for item in extra if item[0] not in present)]


def _printable(path: str) -> str:
    """Paths are user input: control characters never reach a log (T-74)."""
    return "".join(char if char.isprintable() else "?" for char in path[:200])
