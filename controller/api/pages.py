"""Renders the few HTML pages of the sign-in (T-72): every value is escaped unless it is itself a rendered page part.

The pages need no JavaScript. Their policy forbids scripts altogether, inline styles and framing; the one style sheet is
served from the same origin.
"""

import html
from functools import cache
from importlib import resources
from string import Template
from typing import Final

from fastapi.responses import HTMLResponse, Response

PAGE_CSP: Final = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


class Markup(str):
    """HTML made by this module; plain ``str`` values are escaped."""

    __slots__ = ()


def render(name: str, **values: str) -> Markup:
    """Fills the template ``name``; every placeholder must be given. Plain strings are escaped for text and attributes."""
    escaped = {key: value if isinstance(value, Markup) else html.escape(value) for key, value in values.items()}
    return Markup(_template(name).substitute(escaped))


def page(title: str, content: Markup, *, status: int = 200) -> HTMLResponse:
    """Wraps ``content`` in the frame that all pages share."""
    headers = {"Content-Security-Policy": PAGE_CSP, "Cache-Control": "no-store"}
    return HTMLResponse(render("frame", title=title, content=content), status, headers)


def notice(kind: str, text: str) -> Markup:
    """A highlighted line; ``kind`` is ``error`` or ``info``. Nothing when there is no text."""
    return render("notice", kind=kind, text=text) if text else Markup("")


def stylesheet() -> Response:
    """The pages' style sheet."""
    return Response(_read("style.css"), media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


@cache
def _template(name: str) -> Template:
    return Template(_read(f"{name}.html"))


@cache
def _read(name: str) -> str:
    return resources.files("controller.api").joinpath("templates", name).read_text(encoding="utf-8")
