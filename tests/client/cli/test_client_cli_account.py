"""The second factor, sign-ins and identity providers from the command line, against the real controller."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pyotp
import pytest
from command_line import CommandLine
from live_controller import LiveController

from client.cli import admin_account

PASSWORD = "a quiet lighthouse"


@pytest.fixture
def person(admin: CommandLine, controller: LiveController, home: Path) -> tuple[str, Callable[..., CommandLine]]:
    """Another owner, and how to sign in as him: what he does to his account concerns no other test."""
    email = f"owner-{uuid.uuid4().hex[:8]}@corp.example"
    word = home / "word"
    word.write_text(PASSWORD)
    made = admin("admin", "user", "create", email, "--role", "owner", "--password-file", str(word))
    assert made.code == 0, made.err

    def sign_in(*more: str) -> CommandLine:
        arguments = ("admin", "login", controller.url, "--ca-pin", controller.ca_pin, "--email", email)
        done = admin(*arguments, "--password-file", str(word), *more)
        assert done.code == 0, done.err
        return admin

    return email, sign_in


def set_up(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> tuple[pyotp.TOTP, list[str]]:
    """Does what a person with an authenticator app does."""
    said: list[str] = []
    monkeypatch.setattr(admin_account, "say", said.append)
    monkeypatch.setattr(
        admin_account, "read_secret", lambda *_: pyotp.TOTP(said[1].strip()).now() if len(said) > 1 else "none"
    )
    done = run("admin", "account", "totp", "enable")
    assert done.code == 0, done.err
    return pyotp.TOTP(said[1].strip()), done.out.split()


def test_a_second_factor_from_beginning_to_end(
    person: tuple[str, Callable[..., CommandLine]], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    _, sign_in = person
    run = sign_in()
    app, codes = set_up(run, monkeypatch)
    assert len(codes) == 10
    state = run("admin", "account", "totp", "status", "--json").json
    assert (state["method"], state["recovery_codes_left"]) == ("totp", 10)
    given = home / "code"
    given.write_text(codes[0])
    sign_in("--code-file", str(given))
    who = run("admin", "whoami", "--json").json
    assert who["session"]["method"] == "password+recovery-code"
    used = run(
        "admin", "login", "--email", who["email"], "--password-file", str(home / "word"), "--code-file", str(given)
    )
    assert (used.code, "The code is wrong or was used before." in used.err) == (1, True)
    monkeypatch.setattr(admin_account, "read_secret", lambda *_: app.at(time.time() + 30))
    gone = run("admin", "account", "totp", "disable")
    assert gone.code == 0, gone.err
    assert run("admin", "account", "totp", "status", "--json").json["method"] is None


def test_sign_ins_are_listed_and_ended(person: tuple[str, Callable[..., CommandLine]]) -> None:
    email, sign_in = person
    first = sign_in()("admin", "whoami", "--json").json["session"]["id"]
    run = sign_in()
    shown = run("admin", "session", "list", "--user", email)
    assert (shown.code, first in shown.out, "(this one)" in shown.out) == (0, True, True)
    assert run("admin", "session", "revoke", first, "--json").json["ended"] == 1
    assert first not in run("admin", "session", "list", "--user", email).out
    sign_in()
    assert run("admin", "session", "revoke", "--user", "me", "--json").json["ended"] == 1
    both = run("admin", "session", "revoke")
    assert (both.code, "name one sign-in by its id" in both.err) == (2, True)
    rules = run("admin", "session", "rules", "--json").json
    assert rules["second_factor_for"] == "nobody"


def test_identity_providers_are_administered(person: tuple[str, Callable[..., CommandLine]], home: Path) -> None:
    email, sign_in = person
    run, name = sign_in(), f"Corp {uuid.uuid4().hex[:6]}"
    secret = home / "secret"
    secret.write_text("a client secret\n")
    issuer = f"https://{uuid.uuid4().hex[:8]}.invalid"
    made = run(
        *("admin", "identity-provider", "create", name, "--issuer", issuer, "--client-id", "ostiary"),
        *("--client-secret-file", str(secret), "--groups-claim", "groups"),
    )
    assert made.code == 0, made.err
    assert "register this redirect URI there: https://localhost" in made.err
    assert "a client secret" not in made.out + made.err
    group = f"eng-{uuid.uuid4().hex[:6]}"
    run("admin", "group", "create", group)
    assert run("admin", "identity-provider", "map", name, f"engineers={group}").code == 0
    assert f"engineers={group}" in run("admin", "identity-provider", "show", name).out
    wrong = run("admin", "identity-provider", "map", name, "engineers")
    assert (wrong.code, "CLAIM=GROUP" in wrong.err) == (2, True)
    changed = run("admin", "identity-provider", "change", name, "--new-users", "create", "--json").json
    assert (changed["new_users"], changed["groups_claim"]) == ("create", "groups")
    linked = run("admin", "identity-provider", "link", name, email, "--subject", "248289761001")
    assert linked.code == 0, linked.err
    assert run("admin", "identity-provider", "unlink", name, email).code == 0
    away = run("admin", "identity-provider", "check", name)
    assert (away.code != 0, "The identity provider cannot be reached." in away.err) == (True, True)
    assert issuer in run("admin", "identity-provider", "list").out
    assert run("admin", "identity-provider", "delete", name, "--yes").code == 0
    assert issuer not in run("admin", "identity-provider", "list").out
