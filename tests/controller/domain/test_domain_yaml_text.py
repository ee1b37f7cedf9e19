"""The strict YAML of policy documents: every refusal names its line, nothing is constructed, everything is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.yaml_text import DocumentError, Listed, Mapped, Scalar, read_yaml_untrusted


def test_texts_stay_texts_and_know_their_lines() -> None:
    root = read_yaml_untrusted("ports:\n  - 22\n  - no\n  - 22:30\n")
    assert isinstance(root, Mapped)
    ports = root.items["ports"]
    assert isinstance(ports, Listed)
    assert ports.items == (Scalar(2, "22"), Scalar(3, "no"), Scalar(4, "22:30"))


def test_null_is_told_from_the_text_null() -> None:
    root = read_yaml_untrusted("a: null\nb: 'null'\nc:\n")
    assert isinstance(root, Mapped)
    assert [getattr(root.items[key], "null", False) for key in "abc"] == [True, False, True]


@pytest.mark.parametrize(
    ("document", "line", "words"),
    [
        ("", 0, "empty"),
        ("a: 1\nb: 2\na: 3\n", 3, "twice"),
        ("a: &all [1]\nb: *all\n", 1, "anchors"),
        ("a: 1\nb: !!python/object/apply:os.system [id]\n", 2, "tags"),
        ("a: 1\n--- \nb: 2\n", 2, "second document"),
        ("? [a]\n: 1\n", 1, "key"),
        ("a: [1\n", 2, "not YAML"),
        ("a: \x00", 0, "not allowed"),
        ("[" * 50_000, 1, "deeper"),
        ("a: " + "[" * 13 + "]" * 13, 1, "deeper"),
    ],
)
def test_what_is_refused_says_where(document: str, line: int, words: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read_yaml_untrusted(document)
    assert refused.value.line == line
    assert words in str(refused.value)


def test_a_billion_laughs_are_not_laughed() -> None:
    bomb = "a: &a [x,x]\n" + "".join(f"{new}: &{new} [*{old},*{old}]\n" for old, new in zip("abcdefg", "bcdefgh"))  # noqa: B905
    with pytest.raises(DocumentError):
        read_yaml_untrusted(bomb)


def test_the_number_of_parts_is_bounded() -> None:
    with pytest.raises(DocumentError, match="more than"):
        read_yaml_untrusted("- x\n" * 210_000)


@given(st.text())
def test_only_document_errors_escape(document: str) -> None:
    try:
        read_yaml_untrusted(document)
    except DocumentError:
        return
