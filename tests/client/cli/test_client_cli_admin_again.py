"""A command that an old sign-in is not enough for: it goes on by itself on a terminal, and only as the same person."""

import itertools
import sqlite3
from pathlib import Path

import pytest
from command_line import CommandLine
from live_controller import LiveController

from client.cli import admin_again, admin_browser, admin_common
from client.cli.admin_session import Api, SignedIn, load_stored, save
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason

WORD = "a long password of somebody"
_numbers = itertools.count(1)


class Somebody:
    """An owner of his own, signed in an hour ago."""

    def __init__(self, admin: CommandLine, controller: LiveController, folder: Path) -> None:
        self.email, self.controller = f"old{next(_numbers)}@corp.example", controller
        word = folder / "word"
        word.write_text(WORD)
        made = admin("admin", "user", "create", self.email, "--role", "owner", "--password-file", str(word))
        assert made.code == 0, made.err
        done = admin("admin", "login", "--email", self.email, "--password-file", str(word))
        assert done.code == 0, done.err
        self.signed_in = load_stored()
        with Api(self.signed_in.url, self.signed_in.ca, self.signed_in.token) as api:
            user = api.get("me")["id"]
        with sqlite3.connect(controller.folder / "controller" / "controller.db", timeout=30) as database:
            older = 'UPDATE web_sessions SET authenticated_s = authenticated_s - 3600 WHERE "user" = ?'
            assert database.execute(older, (user,)).rowcount > 0

    def other_token(self, email: str, password: str) -> str:
        """Another session, as it comes from the page."""
        with Api(self.controller.url, self.signed_in.ca) as api:
            return str(api.post("sessions", {"email": email, "password": password})["token"])


@pytest.fixture
def somebody(admin: CommandLine, controller: LiveController, tmp_path: Path) -> Somebody:
    return Somebody(admin, controller, tmp_path)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody sits there; what he was asked."""
    asked: list[str] = []

    def type_password(_: str | None, prompt: str) -> str:
        asked.append(prompt)
        return WORD

    monkeypatch.setattr(admin_common, "can_ask", lambda: True)
    monkeypatch.setattr(admin_again, "read_secret", type_password)
    return asked


def test_on_a_terminal_the_command_goes_on_after_the_sign_in(somebody: Somebody, terminal: list[str]) -> None:
    with admin_common.administrator() as api:
        begun = api.post("me/second-factor")
    assert begun["secret"]
    assert terminal == [f"Password of {somebody.email}"]
    kept = load_stored()
    assert (kept.email, kept.url) == (somebody.email, somebody.controller.url)
    assert kept.token != somebody.signed_in.token
    with admin_common.administrator() as api:
        api.post("me/second-factor")
    assert len(terminal) == 1, "the new sign-in is kept"


def test_with_json_it_fails_and_names_the_next_step(
    somebody: Somebody, terminal: list[str], ostiary: CommandLine
) -> None:
    ran = ostiary("admin", "account", "totp", "enable", "--json")
    assert (ran.code != 0, ran.json["error"]["reason"]) == (True, "sign_in_not_recent")
    assert ran.json["error"]["next"].startswith("ostiary admin login,")
    assert terminal == []
    assert load_stored() == somebody.signed_in


def test_without_a_terminal_it_fails_and_names_the_next_step(somebody: Somebody, ostiary: CommandLine) -> None:
    ran = ostiary("admin", "account", "totp", "enable")
    assert ran.code != 0
    assert "ostiary admin login, then the same command again" in ran.err
    assert load_stored() == somebody.signed_in


def test_s9_nobody_else_finishes_what_one_has_begun(
    somebody: Somebody, monkeypatch: pytest.MonkeyPatch, admin: CommandLine, controller: LiveController, tmp_path: Path
) -> None:
    """Another person is signed in in the browser, and approves."""
    save(
        SignedIn(somebody.controller.url, somebody.signed_in.ca, somebody.email, somebody.signed_in.token, browser=True)
    )
    before = load_stored()
    other = Somebody(admin, controller, tmp_path)
    stranger = somebody.other_token(other.email, WORD)
    monkeypatch.setattr(admin_browser, "sign_in", lambda _: stranger)
    with pytest.raises(LocalError) as refused:
        admin_again.sign_in_again(before)
    assert refused.value.reason is Reason.FORBIDDEN
    assert load_stored().token == other.signed_in.token, "what was kept stays"
    with Api(controller.url, before.ca, stranger) as api, pytest.raises(RefusedError):
        api.get("me")


def test_a_second_refusal_is_told(somebody: Somebody) -> None:
    signed = somebody.signed_in
    with (
        Api(signed.url, signed.ca, signed.token, again=lambda: signed.token) as api,
        pytest.raises(RefusedError) as refused,
    ):
        api.post("me/second-factor")
    assert refused.value.reason is Reason.SIGN_IN_NOT_RECENT
