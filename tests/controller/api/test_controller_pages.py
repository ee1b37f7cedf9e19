"""The pages of the sign-in render text as text (T-72)."""

import pytest

from controller.api import pages
from controller.api.pages import Markup, notice, page, render

HOSTILE = "<img src=x onerror=alert(1)>\"'&{}%s$title${title}"


def test_t72_values_are_escaped_in_text_and_in_attributes() -> None:
    account = render("account", user=HOSTILE, user_code=HOSTILE)
    assert "<img" not in account
    assert 'value="&lt;img' in account
    assert "&quot;&#x27;&amp;{}%s$title${title}" in account
    approve = render(
        "approve",
        user=HOSTILE,
        user_code=HOSTILE,
        device=HOSTILE,
        platform=HOSTILE,
        address=HOSTILE,
        notice=notice("error", HOSTILE),
        account=account,
    )
    assert "<img" not in bytes(page(HOSTILE, approve).body).decode()


def test_rendered_parts_are_not_escaped_twice() -> None:
    inner = render("notice", kind="info", text="a < b")
    assert isinstance(inner, Markup)
    assert '<p class="notice info" role="alert">a &lt; b</p>' in bytes(page("t", inner).body).decode()
    assert notice("error", "") == ""


def test_a_missing_value_is_an_error_not_an_empty_field() -> None:
    with pytest.raises(KeyError):
        render("account", user="u")


def test_the_page_forbids_scripts_frames_and_foreign_forms() -> None:
    response = page("t", Markup("x"))
    policy = response.headers["content-security-policy"]
    for rule in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "style-src 'self'"):
        assert rule in policy
    assert "script" not in policy
    assert "<script" not in bytes(response.body).decode()
    assert "style=" not in bytes(response.body).decode()
    assert response.headers["cache-control"] == "no-store"


def test_the_style_sheet_is_css_and_knows_dark_and_light() -> None:
    response = pages.stylesheet()
    assert response.media_type == "text/css"
    assert b"prefers-color-scheme: dark" in response.body
