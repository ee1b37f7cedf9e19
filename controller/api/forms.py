"""Reads ``application/x-www-form-urlencoded`` bodies, strictly and bounded; no multipart anywhere (T-12)."""

from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request

from controller.api.problems import FieldError

FORM_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
FIELDS_MAX: Final = 16


def media_type_of(request: Request) -> str:
    """Returns the media type of the body without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_form_untrusted(raw: bytes) -> dict[str, str]:
    """Returns the fields of a form. Raises ValueError for anything malformed, doubled, or not text."""
    pairs = parse_qsl(
        raw.decode(), keep_blank_values=True, strict_parsing=bool(raw), max_num_fields=FIELDS_MAX, errors="strict"
    )
    form = dict(pairs)
    if len(form) != len(pairs):
        raise ValueError("a field is there twice")
    if any("\0" in value for value in form.values()):
        raise ValueError("a field holds a NUL character")
    return form


async def read_form(request: Request) -> dict[str, str]:
    """Returns the form in the body. Raises FieldError."""
    if media_type_of(request) != FORM_MEDIA_TYPE:
        raise FieldError("", f"the body is not {FORM_MEDIA_TYPE}")
    try:
        return parse_form_untrusted(await request.body())
    except ValueError as exc:
        raise FieldError("", "the form is malformed") from exc
