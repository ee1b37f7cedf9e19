"""The members of a document: types, bounds, and sentences that name the line."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import desired_fields as f
from controller.domain.desired import Named
from controller.domain.model import SubjectKind
from controller.domain.yaml_text import DocumentError, Listed, Mapped, Node, Scalar


def _scalar(text: str, *, null: bool = False) -> Scalar:
    return Scalar(7, text, null=null)


@given(st.integers(0, 253_402_300_799))
def test_times_are_written_as_they_are_read(seconds: int) -> None:
    assert f.moment(_scalar(f.moment_text(seconds))) == seconds


def test_an_offset_counts() -> None:
    assert f.moment(_scalar("1970-01-01T02:00:00+02:00")) == 0


@pytest.mark.parametrize("kind", list(SubjectKind))
def test_subjects_are_written_as_they_are_read(kind: SubjectKind) -> None:
    named = Named(kind, "a: b:c")
    assert f.named(_scalar(f.named_text(named))) == named


def test_every_kind_of_subject_has_its_word() -> None:
    assert set(f.SUBJECT_WORDS.values()) == set(SubjectKind)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (f.text, ""),
        (f.text, "x" * 301),
        (f.flag, "2"),
        (f.number, "-1"),
        (f.number, "1.5"),
        (f.number, "٣"),
        (f.moment, "tomorrow"),
        (f.moment, "2026-12-24T18:00:00"),
        (f.moment, "2026-12-24T18:00:00.5Z"),
        (f.moment, "0001-01-01T00:00:00+23:59"),
        (f.named, "engineers"),
        (f.named, "robots:a"),
        (f.named, "group:"),
        (f.ports, "443"),
    ],
)
def test_what_is_wrong_names_its_line(read: Callable[[Node], object], text: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read(_scalar(text))
    assert refused.value.line == 7


def test_members_that_nobody_asked_for_are_refused() -> None:
    members = f.Members(Mapped(1, {"a": _scalar("x"), "c": _scalar("y")}, {"a": 2, "c": 3}), "a thing")
    assert members.need("a", f.text) == "x"
    assert members.maybe("b", f.text) is None
    with pytest.raises(DocumentError, match="line 3: a thing knows no 'c'; it knows a, b"):
        members.end()


def test_an_empty_member_is_absent() -> None:
    members = f.Members(Mapped(1, {"a": _scalar("", null=True)}, {"a": 2}), "a thing")
    assert members.get("a", f.text, "default") == "default"
    with pytest.raises(DocumentError, match="needs 'a'"):
        members.need("a", f.text)


def test_one_stands_for_a_list_of_one_and_lists_are_bounded() -> None:
    assert f.listed(f.number)(_scalar("5")) == (5,)
    with pytest.raises(DocumentError, match="at most 2"):
        f.listed(f.number, 2)(Listed(1, (_scalar("1"),) * 3))
