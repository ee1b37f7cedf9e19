"""Cursors and entity tags."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.paging import (
    check_version,
    decode_cursor,
    encode_cursor,
    entity_tag,
    page_of,
    parse_if_match,
)
from controller.api.problems import FieldError, PreconditionFailedError


@given(st.sets(st.tuples(st.integers(0, 1 << 40), st.text(max_size=5))), st.integers(1, 7))
def test_pages_hold_every_item_once_in_order(items: set[tuple[int, str]], limit: int) -> None:
    seen: list[tuple[int, str]] = []
    cursor: str | None = None
    for _ in range(len(items) + 1):
        page, cursor = page_of(items, lambda item: item, cursor=cursor, limit=limit)
        assert len(page) <= limit
        seen += page
        if cursor is None:
            break
    assert seen == sorted(items)


def test_what_is_added_or_removed_in_between_disturbs_nobody_else() -> None:
    items = {(number, "") for number in range(10)}
    first, cursor = page_of(items, lambda item: item, cursor=None, limit=5)
    items -= {(4, ""), (7, "")}
    items |= {(-1, "")}
    second, end = page_of(items, lambda item: item, cursor=cursor, limit=5)
    assert [number for number, _ in first] == [0, 1, 2, 3, 4]
    assert [number for number, _ in second] == [5, 6, 8, 9]
    assert end is None


@given(st.text(max_size=600))
def test_any_other_text_is_refused_as_a_cursor(text: str) -> None:
    with contextlib.suppress(FieldError):
        key = decode_cursor(text, like=(1, "a"))
        assert decode_cursor(encode_cursor(key)) == key


@pytest.mark.parametrize("text", ["", "é", "W10", "eyJhIjoxfQ", "WzEsMl0", "[" * 300, "W3RydWUsImEiXQ"])
def test_cursors_of_another_shape_are_refused(text: str) -> None:
    with pytest.raises(FieldError):
        decode_cursor(text, like=(1, "a"))


def test_if_match_is_one_strong_tag() -> None:
    assert parse_if_match(None) is None
    assert parse_if_match("*") is None
    assert parse_if_match(entity_tag(12)) == 12
    assert parse_if_match(entity_tag(0)) == 0, "of what nobody has changed yet"
    for bad in ("12", 'W/"12"', '"01"', '"1", "2"', '"x"', '"' + "9" * 30 + '"'):
        with pytest.raises(FieldError):
            parse_if_match(bad)
    check_version(None, 3)
    check_version(3, 3)
    with pytest.raises(PreconditionFailedError):
        check_version(2, 3)
