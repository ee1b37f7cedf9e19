"""Secrets from files and standard input."""

import getpass
import io
import sys
from pathlib import Path

import pytest

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.secret_input import PASSWORD_MAX_CHARS, ask_password, read_password, read_token


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
    with pytest.raises(LocalError, match="there is no file /nowhere") as caught:
        read_token("/nowhere")
    assert caught.value.reason is Reason.INVALID_INPUT


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_token_pasted_at_a_terminal_ends_with_enter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = _Terminal(" otk_abc \nwhat is typed later\n")
    monkeypatch.setattr(sys, "stdin", terminal)
    assert read_token("-") == "otk_abc"
    assert terminal.read() == "what is typed later\n"
    assert capsys.readouterr().err == "Paste the enrolment token and press Enter: "


@pytest.mark.parametrize(
    ("answers", "words"), [(["one", "two"], "not the same"), (["", ""], "empty"), (["right", "right"], "")]
)
def test_a_password_is_asked_for_twice_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], words: str
) -> None:
    monkeypatch.setattr(sys, "stdin", _Terminal())
    typed = iter(answers)
    monkeypatch.setattr(getpass, "getpass", lambda prompt, stream: next(typed))
    if not words:
        assert ask_password("Password", twice=True) == "right"
        return
    with pytest.raises(LocalError, match=words):
        ask_password("Password", twice=True)


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a password\n"))
    with pytest.raises(LocalError, match="--password-file"):
        ask_password("Password")
