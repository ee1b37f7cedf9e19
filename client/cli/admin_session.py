"""The administrator's sign-in: kept in ``~/.config/ostiary/admin.json`` (0600), used for every request to the API.

The token is a bearer credential of twelve hours; it goes nowhere but into that file and the Authorization header.
"""

import asyncio
import json
import os
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from client.cli.admin_settings import AdminSettings, from_environment, read_ca
from protocol.errors import LocalError, RemoteProtocolError
from protocol.reasons import Reason, reason_from_code
from runtime.console import AdviceError
from runtime.files import StateDir
from runtime.http import HttpRefusedError, Response, check_url, refusal, request

API: Final = "/api/v1"
FILE: Final = "admin.json"
DEADLINE_S: Final = 15.0
PAGE: Final = 500
PAGES_MAX: Final = 1000
"""Half a million items: a list that does not end is a fault of the server."""
Json = dict[str, Any]


class ProblemError(HttpRefusedError):
    """The API answered with a problem (RFC 9457).

    ``code`` may be newer than this program; ``title`` is its sentence; ``field`` the member of the input at fault.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        code: str,
        title: str,
        next_step: str,
        field_name: str,
        status: int,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(reason, detail, status=status, retry_after_s=retry_after_s)
        self.code = code
        self.title = title
        self.next_step = next_step
        self.field = field_name

    def __str__(self) -> str:
        known = {"", self.title, self.reason.sentence}
        parts = [part for part in (f"{self.field}: {self.detail}" if self.field else self.detail,) if part not in known]
        return f"{self.title} ({parts[0]}) [{self.code}]" if parts else f"{self.title} [{self.code}]"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Where the administrator is signed in, and how the controller's certificate is verified.

    ``ca`` None: by the system's roots. ``email`` is empty when it is not known; ``browser``: the sign-in was made on a page.
    """

    url: str
    ca: str | None
    email: str
    token: str = field(repr=False)
    browser: bool = False


def config_dir(env: Mapping[str, str] | None = None) -> Path:
    """Returns the user's configuration directory (XDG Base Directory)."""
    known = os.environ if env is None else env
    base = known.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path(known.get("HOME", "~")).expanduser() / ".config") / "ostiary"


def load() -> SignedIn:
    """Returns the sign-in: by the API token in the environment, else the stored one.

    Raises:
        LocalError: SIGN_IN_REQUIRED, STATE_CORRUPT, CONFIG_INVALID.
    """
    settings = from_environment(os.environ)
    return load_stored() if settings is None else _by_token(settings)


def _by_token(settings: AdminSettings) -> SignedIn:
    token = settings.admin_token or ""
    ca = None if settings.admin_ca_file is None else read_ca(settings.admin_ca_file)
    try:
        known = load_stored()
    except LocalError:
        known = None
    url = settings.admin_url or (known.url if known is not None else None)
    if url is None:
        raise LocalError(Reason.CONFIG_INVALID, "OSTIARY_ADMIN_URL is missing: where is the controller of this token?")
    url = check_url(url).geturl().rstrip("/")
    if ca is None and known is not None and known.url == url:
        ca = known.ca
    return SignedIn(url, ca, "", token)


def load_stored() -> SignedIn:
    """Returns the sign-in of `ostiary admin login`. Raises LocalError(SIGN_IN_REQUIRED, STATE_CORRUPT)."""
    stored = StateDir(config_dir()).read_json(FILE)
    if stored is None:
        raise AdviceError(
            Reason.SIGN_IN_REQUIRED, "no administrator is signed in here", next_step="ostiary admin login URL"
        )
    match stored:
        case {"url": str(url), "ca": str() | None as ca, "email": str(email), "token": str(token), **rest}:
            return SignedIn(url, ca, email, token, rest.get("browser") is True)
    raise LocalError(Reason.STATE_CORRUPT, str(config_dir() / FILE))


def save(signed_in: SignedIn) -> Path:
    """Stores the sign-in for this user only; returns the file."""
    directory = StateDir(config_dir())
    directory.ensure()
    directory.write_json(FILE, asdict(signed_in))
    return directory / FILE


def forget() -> None:
    """Removes the stored sign-in if there is one."""
    StateDir(config_dir()).remove(FILE)


class Api:
    """The controller's REST API for one command. Use it in a ``with``; every request has a deadline."""

    def __init__(
        self, url: str, ca: str | None, token: str | None = None, *, again: Callable[[], str] | None = None
    ) -> None:
        """``again`` signs in anew and returns the token, for what an old sign-in is not enough for."""
        self.url = url.rstrip("/")
        self._again = again
        self._context = _tls(ca) if self.url.startswith("https:") else None
        self._token = token
        self._runner = asyncio.Runner()

    def __enter__(self) -> "Api":
        self._runner.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._runner.__exit__(*details)

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Json:
        """Reads one object."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Json:
        """Creates something, once even when the request is repeated."""
        return self._call("POST", path, body or {}, headers={"Idempotency-Key": secrets.token_urlsafe(16)})

    def patch(self, path: str, body: Mapping[str, object], *, version: int | None = None) -> Json:
        """Changes what ``body`` names; refused when it is not at ``version`` any more (``If-Match``)."""
        head = {} if version is None else {"If-Match": f'"{version}"'}
        return self._call("PATCH", path, body, headers=head)

    def put(self, path: str, body: Mapping[str, object] | None = None) -> Json:
        """Sets something."""
        return self._call("PUT", path, body or {})

    def delete(self, path: str) -> Json:
        """Removes something."""
        return self._call("DELETE", path)

    def items(self, path: str, query: Mapping[str, object] | None = None, *, most: int | None = None) -> Iterator[Json]:
        """Walks through a list of any length, page by page."""
        cursor: str | None = None
        left = most
        for _ in range(PAGES_MAX):
            size = PAGE if left is None else min(PAGE, left)
            page = self.get(path, {**(query or {}), "limit": size, "cursor": cursor})
            found = page.get("items")
            if not isinstance(found, list):
                raise RemoteProtocolError("the controller's list is malformed")
            yield from found[:size]
            left = None if left is None else left - len(found)
            cursor = page.get("next_cursor")
            if cursor is None or (left is not None and left <= 0):
                return

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        try:
            return self._ask(method, path, body, query=query, headers=headers)
        except ProblemError as problem:
            if problem.reason is not Reason.SIGN_IN_NOT_RECENT or self._again is None:
                raise
            again, self._again = self._again, None
            self._token = again()
            return self._ask(method, path, body, query=query, headers=headers)

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        head = {"Accept": "application/json", **(headers or {})}
        if self._token is not None:
            head["Authorization"] = f"Bearer {self._token}"
        raw = None
        if body is not None:
            raw = json.dumps(body).encode()
            head["Content-Type"] = "application/json"
        given = {key: _text(value) for key, value in (query or {}).items() if value is not None}
        url = f"{self.url}{API}/{path}" + (f"?{urlencode(given)}" if given else "")
        answer = self._runner.run(
            request(method, url, context=self._context, body=raw, headers=head, deadline_s=DEADLINE_S)
        )
        return _read_untrusted(answer, path)


def escape(part: str) -> str:
    """Returns ``part`` as one segment of a path."""
    return quote(part, safe="")


def go_by_proxy() -> None:
    """The controller is reached through the environment's proxy, if there is one. Raises LocalError(CONFIG_INVALID)."""
    from runtime import upstream_proxy

    upstream_proxy.use(upstream_proxy.choose(None, None))


def _tls(ca: str | None) -> ssl.SSLContext:
    from runtime.trust import client_context

    go_by_proxy()
    return client_context(None if ca is None else ca.encode())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _read_untrusted(answer: Response, path: str) -> Json:
    try:
        value = json.loads(answer.body) if answer.body else {}
    except (ValueError, RecursionError) as exc:
        value = exc
    if answer.status >= 400:
        raise _problem(answer, value, path)
    if answer.status >= 300 or not isinstance(value, dict):
        raise RemoteProtocolError(f"the answer (HTTP {answer.status}) is not one of an Ostiary controller")
    return value


def _problem(answer: Response, value: object, path: str) -> HttpRefusedError:
    wait_s = refusal(answer.status, answer.headers, value).retry_after_s
    if not isinstance(value, dict) or not isinstance(value.get("code"), str):
        reason = Reason.UNAVAILABLE if answer.status in {429, 502, 503, 504} else Reason.PROTOCOL_ERROR
        said = f"HTTP {answer.status} without an explanation; is this an Ostiary controller?"
        return HttpRefusedError(reason, said, status=answer.status, retry_after_s=wait_s)
    reason = reason_from_code(value["code"])

    def text(key: str, otherwise: str = "") -> str:
        found = value.get(key)
        return found[:500] if isinstance(found, str) else otherwise

    step, detail = text("next", reason.next_step), text("detail")
    if reason is Reason.NOT_FOUND:
        noun, _, thing = path.partition("/")
        if detail in ("", reason.sentence):
            detail = f"no {noun.removesuffix('s')} has the id {thing.partition('/')[0]}"
        step = f"ostiary admin {noun.removesuffix('s')} list"
    if reason in (Reason.SIGN_IN_REQUIRED, Reason.SESSION_ENDED):
        step = "ostiary admin login URL"
    if reason is Reason.SIGN_IN_NOT_RECENT:
        step = "ostiary admin login, then the same command again within a quarter of an hour"
    if reason is Reason.RATE_LIMITED and wait_s:
        step = f"Wait {wait_s:.0f} s and try again."
    return ProblemError(
        reason,
        detail,
        code=value["code"][:64],
        title=text("title", reason.sentence),
        next_step=step,
        field_name=text("field"),
        status=answer.status,
        retry_after_s=wait_s,
    )
