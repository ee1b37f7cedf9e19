"""Secrets from files and standard input."""

import io
import sys
from pathlib import Path

import pytest

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.secret_input import PASSWORD_MAX_CHARS, read_password, read_token


def test_a_token_loses_the_white_space_around_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("  otk_abc\n")
    assert read_token(str(tmp_path / "token")) == "otk_abc"


def test_a_password_loses_one_line_break_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" two words \r\n")
    assert read_password(str(tmp_path / "password")) == " two words "


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("otk_abc\n"))
    assert read_token("-") == "otk_abc"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff", b"x" * (PASSWORD_MAX_CHARS + 1)])
def test_t11_what_is_no_secret_is_refused_and_not_repeated(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(LocalError) as caught:
        read_password(str(path))
    assert caught.value.reason is Reason.INVALID_INPUT
    assert "xxx" not in caught.value.detail


def test_a_missing_file_is_named() -> None:
    with pytest.raises(LocalError, match="/nowhere"):
        read_token("/nowhere")
