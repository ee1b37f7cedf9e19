"""Serves the web console: one page, its assets, and nothing that is not in its build (T-12, T-72).

The build comes with the wheel (``controller/console_dist``); in a source tree it is ``console/dist``, which `make console` writes.
All of it is read once, at the start: no path of a request ever names a file, and an upgrade that replaces the files below a running
controller takes nothing away from the browsers that it serves. Assets carry a hash in their name
and never change; ``index.html`` is asked for anew each time and gets a nonce for the style sheets that its libraries write.

It stands behind all routes: what the API or the pages of the sign-in know, they answer. Of the rest, a browser that opens a page
gets the console, which knows its own paths; programs get the API's 404.
"""

import mimetypes
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

import controller
from controller.api.pages import page, render

INDEX: Final = "index.html"
HOW_TO_BUILD: Final = (
    "The web console is not built here: run `make console` in the source tree and start the controller anew."
)
RESERVED: Final = ("/api/", "/assets/", "/device/", "/sign-in/", "/healthz/", "/.well-known/", "/agent/")
"""Below these a page of the console never is: a mistyped address there is a 404 for everybody."""
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
IMMUTABLE: Final = "public, max-age=31536000, immutable"
BRIEFLY: Final = "public, max-age=3600"
ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
"""Best first; the build writes both beside what is worth it."""
_MEDIA_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
"""What a host's own table of types says about these differs, and browsers refuse a module of the wrong type."""

_NONCE: Final = re.compile(r'(<meta name="csp-nonce" content=")(")')


def find_build() -> Path | None:
    """Returns the folder of the build: that of the wheel, or that of the source tree; None when there is none."""
    package = Path(controller.__file__).parent
    for folder in (package / "console_dist", package.parent / "console" / "dist"):
        if (folder / INDEX).is_file():
            return folder
    return None


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the build: its content by content coding; ``identity`` is the file itself."""

    forms: dict[str, bytes]
    media_type: str
    caching: str

    def response(self, accepted: str) -> Response:
        """Returns the smallest form that the browser takes."""
        taken = _codings(accepted)
        coding = next((name for name, _ in ENCODINGS if name in self.forms and name in taken), "identity")
        headers = {"Cache-Control": self.caching, "Vary": "Accept-Encoding"}
        if coding != "identity":
            headers["Content-Encoding"] = coding
        return Response(self.forms[coding], media_type=self.media_type, headers=headers)


class Console:
    """Answers what no route does; ``otherwise`` answers what is none of the console's paths either."""

    def __init__(self, otherwise: ASGIApp, build: Path | None) -> None:
        self._otherwise = otherwise
        self._index = (build / INDEX).read_text(encoding="utf-8") if build is not None else None
        self._assets = _assets_of(build) if build is not None else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        response = self._answer(scope) if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") else None
        await (response or self._otherwise)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        path, headers = scope["path"], Headers(scope=scope)
        asset = self._assets.get(path)
        if asset is not None:
            return asset.response(headers.get("accept-encoding", ""))
        opens_page = "text/html" in headers.get("accept", "") and not path.startswith(RESERVED)
        if path != "/" and not opens_page:
            return None
        return _index_response(self._index) if self._index is not None else _missing()


def _index_response(index: str) -> Response:
    nonce = secrets.token_urlsafe(18)
    headers = {"Content-Security-Policy": CSP.format(nonce=nonce), "Cache-Control": "no-cache"}
    return Response(_NONCE.sub(rf"\g<1>{nonce}\g<2>", index), media_type="text/html", headers=headers)


def _missing() -> Response:
    return page("No console", render("result", kind="bad", heading="No console", text=HOW_TO_BUILD), status=503)


def _assets_of(build: Path) -> dict[str, Asset]:
    """Every file of the build by the path at which it is served; its hidden ones are for tests of the build."""
    found: dict[str, Asset] = {}
    suffixes = tuple(suffix for _, suffix in ENCODINGS)
    # Each name is looked at once: a build has hundreds of files, and reading them is a large part of a start as it is.
    files: dict[str, Path] = {}
    for folder, _, names in os.walk(build):
        below = Path(folder)
        within = below.relative_to(build).as_posix()
        files.update((name if within == "." else f"{within}/{name}", below / name) for name in names)
    for name in sorted(files):
        if name.startswith(".") or name == INDEX or name.endswith(suffixes):
            continue
        forms = {"identity": files[name].read_bytes()}
        for coding, suffix in ENCODINGS:
            if (form := files.get(name + suffix)) is not None:
                forms[coding] = form.read_bytes()
        media_type = _MEDIA_TYPES.get(files[name].suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        found[f"/{name}"] = Asset(forms, media_type, IMMUTABLE if name.startswith("assets/") else BRIEFLY)
    return found


def _codings(accepted: str) -> frozenset[str]:
    """What ``Accept-Encoding`` names, without what it refuses by ``q=0``."""
    taken: set[str] = set()
    for item in accepted.lower().split(","):
        name, _, weight = item.strip().partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            taken.add(name.strip())
    return frozenset(taken)
