"""A small HTTP/1.1 client for agents: one JSON request per connection, everything bounded, no redirects (T-12, T-15).

Agents call the controller's API only to enrol and to sign in; a client library would cost them more than it gives.
"""

import asyncio
import http.client
import io
import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from protocol.errors import LocalError, RefusedError, RemoteError, RemoteProtocolError
from protocol.reasons import Reason, reason_from_code
from protocol.version import SOFTWARE
from runtime.sockets import Admission, connect_socket

DEADLINE_S: Final = 10.0
HEAD_MAX_BYTES: Final = 64 * 1024
BODY_MAX_BYTES: Final = 4 * 1024 * 1024
_STATUS: Final = re.compile(r"[1-9][0-9]{2}")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
"""Not ``isdigit``: int() does not read all that it calls a digit, nor thousands of them."""


class HttpRefusedError(RefusedError):
    """The server answered with an error; ``reason`` is its machine code, ``retry_after_s`` its hint."""

    def __init__(self, reason: Reason, detail: str, *, status: int, retry_after_s: float = 0.0) -> None:
        super().__init__(reason, detail)
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def request(
    method: str,
    url: str,
    *,
    context: ssl.SSLContext | None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    deadline_s: float = DEADLINE_S,
    sock_mark: int | None = None,
    max_bytes: int = BODY_MAX_BYTES,
    admit: Admission | None = None,
) -> Response:
    """Sends one request and returns the answer, whatever its status.

    Args:
        method: GET, POST, ...
        url: https; plain http only to this host itself.
        context: the TLS context (``trust.client_context``).
        body: sent with a Content-Length.
        headers: further ones.
        deadline_s: for everything together.
        sock_mark: SO_MARK of the socket.
        max_bytes: of the answer's body.
        admit: asked for every address of the host before one is dialled; what it raises is raised.

    Raises:
        RemoteError: CONTROLLER_UNREACHABLE, CERTIFICATE_UNTRUSTED, TIMEOUT.
        RemoteProtocolError: the answer is not HTTP or too large.
    """
    parts = check_url(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    tls = context if parts.scheme == "https" else None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = {
        "Host": parts.netloc,
        "User-Agent": f"ostiary/{SOFTWARE}",
        "Connection": "close",
        "Accept-Encoding": "identity",
        **(headers or {}),
    }
    if body is not None:
        head["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    if any(set(line) & {"\r", "\n"} for line in lines):
        raise LocalError(Reason.INVALID_INPUT, "line break in an HTTP header")
    message = ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")
    try:
        async with asyncio.timeout(deadline_s):
            sock = await connect_socket(host, port, mark=sock_mark, deadline_s=deadline_s, admit=admit)
            return await _exchange(sock, host, tls, message, method, max_bytes)
    except TimeoutError as exc:
        raise RemoteError(Reason.TIMEOUT, f"{host}:{port} did not answer within {deadline_s:g} s") from exc
    except ssl.SSLCertVerificationError as exc:
        raise RemoteError(Reason.CERTIFICATE_UNTRUSTED, f"{host}:{port}: {exc.verify_message}") from exc
    except (OSError, EOFError) as exc:
        raise RemoteError(Reason.CONTROLLER_UNREACHABLE, f"{host}:{port}: {exc}") from exc


async def request_json(
    method: str,
    url: str,
    *,
    context: ssl.SSLContext | None,
    body: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    deadline_s: float = DEADLINE_S,
    sock_mark: int | None = None,
) -> tuple[int, Mapping[str, str], object]:
    """Sends JSON and returns ``(status, headers, parsed body)`` of a successful answer.

    Raises:
        HttpRefusedError: a status of 400 or above, with the reason of its ``code`` member (RFC 9457).
        RemoteError: as ``request``.
    """
    head = {"Accept": "application/json", **(headers or {})}
    raw = None
    if body is not None:
        raw = json.dumps(body, separators=(",", ":")).encode()
        head["Content-Type"] = "application/json"
    answer = await request(
        method, url, context=context, body=raw, headers=head, deadline_s=deadline_s, sock_mark=sock_mark
    )
    value = _parse(answer)
    if answer.status >= 400:
        raise refusal(answer.status, answer.headers, value)
    if answer.status >= 300:
        raise RemoteProtocolError(f"status {answer.status}: redirects are not followed")
    return answer.status, answer.headers, value


def refusal(status: int, headers: Mapping[str, str], value: object) -> HttpRefusedError:
    """Turns an error answer into an exception; text of the server is kept short."""
    reason = Reason.UNAVAILABLE if status in {429, 502, 503, 504} else Reason.INTERNAL
    detail = f"HTTP {status}"
    if isinstance(value, dict):
        if isinstance(value.get("code"), str):
            reason = reason_from_code(value["code"])
        if isinstance(value.get("detail"), str):
            detail = value["detail"][:300]
    hint = headers.get("retry-after", "")
    retry_after_s = float(hint) if hint.isascii() and hint.isdigit() and len(hint) < 6 else 0.0
    return HttpRefusedError(reason, detail, status=status, retry_after_s=retry_after_s)


def check_url(url: str) -> SplitResult:
    """Returns the parts of a controller's URL. Raises LocalError(CONFIG_INVALID): only https leaves this host."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as exc:
        raise LocalError(Reason.CONFIG_INVALID, f"{url!r} is not a URL") from exc
    host = parts.hostname
    if not host or parts.username is not None or parts.scheme not in {"https", "http"}:
        raise LocalError(Reason.CONFIG_INVALID, f"{url!r} is not an https URL of a host")
    if parts.scheme == "http" and not _is_loopback(host):
        raise LocalError(Reason.CONFIG_INVALID, f"{url!r}: http is accepted for this host itself only; use https")
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _exchange(
    sock: socket.socket, host: str, tls: ssl.SSLContext | None, message: bytes, method: str, max_bytes: int
) -> Response:
    try:
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname=host if tls is not None else None, limit=HEAD_MAX_BYTES
        )
    except BaseException:
        sock.close()
        raise
    try:
        writer.write(message)
        await writer.drain()
        return await _read_response(reader, method, max_bytes)
    finally:
        writer.transport.abort()


async def _read_response(reader: asyncio.StreamReader, method: str, max_bytes: int) -> Response:
    try:
        status = 100
        headers: dict[str, str] = {}
        while 100 <= status < 200:
            head = await reader.readuntil(b"\r\n\r\n")
            first, _, rest = head.partition(b"\r\n")
            words = first.decode("latin-1").split(" ", 2)
            if len(words) < 2 or not words[0].startswith("HTTP/1.") or not _STATUS.fullmatch(words[1]):
                raise RemoteProtocolError("the answer is not HTTP/1.1")
            status = int(words[1])
            headers = {
                name.lower(): value.strip() for name, value in http.client.parse_headers(io.BytesIO(rest)).items()
            }
        if method == "HEAD" or status in {204, 304}:
            return Response(status, headers, b"")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return Response(status, headers, await _read_chunked(reader, max_bytes))
        length = headers.get("content-length")
        if length is None:
            body = await reader.read(max_bytes + 1)
            while more := await reader.read(max_bytes + 1 - len(body)):
                body += more
        elif not _LENGTH.fullmatch(length) or int(length) > max_bytes:
            raise RemoteProtocolError(f"body of {length[:20]} bytes, limit {max_bytes}")
        else:
            body = await reader.readexactly(int(length))
    except (asyncio.LimitOverrunError, http.client.HTTPException, UnicodeDecodeError) as exc:
        raise RemoteProtocolError("malformed HTTP answer") from exc
    if len(body) > max_bytes:
        raise RemoteProtocolError(f"body longer than {max_bytes} bytes")
    return Response(status, headers, body)


async def _read_chunked(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        line = (await reader.readuntil(b"\r\n")).split(b";")[0].strip()
        try:
            size = int(line, 16)
        except ValueError as exc:
            raise RemoteProtocolError("malformed chunk") from exc
        if size < 0 or len(body) + size > max_bytes:
            raise RemoteProtocolError(f"body longer than {max_bytes} bytes")
        if size == 0:
            return bytes(body)
        body += await reader.readexactly(size)
        await reader.readexactly(2)


def _parse(answer: Response) -> object:
    if not answer.body:
        return None
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as exc:
        if answer.status >= 400:
            return None
        raise RemoteProtocolError("the answer is not JSON") from exc
