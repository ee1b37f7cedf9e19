"""`ostiary admin api-token`, and commands that use such a token instead of a sign-in, against the real controller."""

import json
import stat
import uuid
from pathlib import Path

import pytest
from command_line import CommandLine
from live_controller import LiveController

VARIABLES = ("OSTIARY_ADMIN_TOKEN", "OSTIARY_ADMIN_TOKEN_FILE", "OSTIARY_ADMIN_URL", "OSTIARY_ADMIN_CA_FILE")


def unique(word: str) -> str:
    """The controller is shared by the tests of this run."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pipeline(
    admin: CommandLine, home: Path, controller: LiveController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """A program with a token that may see and make networks, and no sign-in of its own."""
    token = tmp_path / "token"
    scopes = ("--scope", "networks:read", "--scope", "networks:write", "--scope", "self:read")
    ran = admin("admin", "api-token", "create", unique("ci"), *scopes, "--secret-out", str(token))
    assert ran.code == 0, ran.err
    stored = home / ".config" / "ostiary" / "admin.json"
    ca = tmp_path / "ca.pem"
    ca.write_text(json.loads(stored.read_text())["ca"])
    stored.unlink()
    monkeypatch.setenv("OSTIARY_ADMIN_TOKEN_FILE", str(token))
    monkeypatch.setenv("OSTIARY_ADMIN_URL", controller.url)
    monkeypatch.setenv("OSTIARY_ADMIN_CA_FILE", str(ca))
    return admin


def test_life_of_a_token(admin: CommandLine) -> None:
    name = unique("terraform")
    ran = admin("admin", "api-token", "create", name, "--scope", "grants:read", "--expires", "8h")
    assert ran.out.startswith("ost_api_")
    assert ran.err.splitlines()[0].startswith(f"API token {name} created (apt_")
    listed = admin("admin", "api-token", "list")
    row = next(line for line in listed.out.splitlines() if name in line)
    assert ran.out.strip() not in listed.out
    assert f"{ran.out[:12]}…" in row
    assert "in 8 h" in row
    found = admin("admin", "api-token", "list", "--json").json["items"]
    assert [item["scopes"] for item in found if item["name"] == name] == [["grants:read"]]
    assert admin("admin", "api-token", "revoke", name).out == f"API token {name} revoked\n"
    again = admin("admin", "api-token", "revoke", name)
    assert (again.code, again.err.splitlines()[-1]) == (1, "next: ostiary admin api-token list")


def test_t11_the_secret_goes_into_a_private_file(admin: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    create = ("admin", "api-token", "create", unique("ci"), "--scope", "self:read", "--secret-out", str(path))
    made = admin(*create, "--json")
    secret = path.read_text().strip()
    assert secret.startswith("ost_api_")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in made.out + made.err
    assert made.json["secret_file"] == str(path)
    assert admin(*create).err.splitlines()[-1] == f"next: OSTIARY_ADMIN_TOKEN_FILE={path} ostiary admin whoami"


def test_mistakes_are_named(admin: CommandLine) -> None:
    wrong = admin("admin", "api-token", "create", "x", "--scope", "fly:write")
    assert (wrong.code, "scopes.0" in wrong.err) == (2, True)
    late = admin("admin", "api-token", "create", "x", "--scope", "self:read", "--expires", "400d")
    assert (late.code, "at most 366 days" in late.err) == (2, True)
    assert admin("admin", "api-token", "create", "x").code == 2


def test_scopes_are_listed_with_the_roles_that_hold_them(admin: CommandLine) -> None:
    items = {item["scope"]: item["roles"] for item in admin("admin", "api-token", "scopes", "--json").json["items"]}
    assert items["keys:write"] == ["owner"]
    assert items["networks:write"] == ["owner", "admin", "network-admin"]
    assert "credentials:write" not in items


def test_a_program_uses_the_token_of_its_environment(pipeline: CommandLine, controller: LiveController) -> None:
    ran = pipeline("admin", "whoami")
    assert ran.code == 0, ran.err
    assert f"(owner) at {controller.url} by API token apt_" in ran.out
    name = unique("office")
    assert pipeline("admin", "network", "create", name).code == 0
    assert name in pipeline("admin", "network", "list").out
    refused = pipeline("admin", "group", "list")
    assert (refused.code, "groups:read" in refused.err) == (8, True)


def test_the_token_may_be_in_the_environment_itself(
    pipeline: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTIARY_ADMIN_TOKEN", (tmp_path / "token").read_text().strip())
    both = pipeline("admin", "whoami")
    assert (both.code, "give either" in both.err) == (2, True)
    monkeypatch.delenv("OSTIARY_ADMIN_TOKEN_FILE")
    assert pipeline("admin", "whoami").code == 0
    monkeypatch.setenv("OSTIARY_ADMIN_TOKEN", "ost_api_" + "A" * 43)
    refused = pipeline("admin", "whoami")
    assert (refused.code, "revoked or has expired" in refused.err) == (4, True)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OSTIARY_ADMIN_TOKEN_FILE", "/nonexistent/token", "OSTIARY_ADMIN_TOKEN_FILE"),
        ("OSTIARY_ADMIN_TOKEN_FILE", "{home}/other", "begins with ost_api_"),
        ("OSTIARY_ADMIN_CA_FILE", "{home}/other", "no certificate in PEM"),
        ("OSTIARY_ADMIN_URL", "", "OSTIARY_ADMIN_URL is missing"),
        ("OSTIARY_ADMIN_URL", "http://controller.example", "use https"),
        ("OSTIARY_ADMIN_TOKN", "x", "did you mean OSTIARY_ADMIN_TOKEN"),
    ],
)
def test_a_wrong_environment_is_named(
    pipeline: CommandLine, home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    (home / "other").write_text("nothing of use")
    monkeypatch.setenv(variable, value.format(home=home))
    ran = pipeline("admin", "whoami")
    assert (ran.code != 0, said in ran.err) == (True, True), ran.err


def test_a_sign_in_lends_the_token_its_controller(
    admin: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    admin("admin", "api-token", "create", unique("ci"), "--scope", "self:read", "--secret-out", str(token))
    monkeypatch.setenv("OSTIARY_ADMIN_TOKEN_FILE", str(token))
    assert "by API token apt_" in admin("admin", "whoami").out
    # Signing out is about the sign-in, not about the token.
    assert admin("admin", "logout").out == "signed out\n"
