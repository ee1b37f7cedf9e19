"""The administrator's commands against the real controller over TLS."""

import contextlib
import io
import json
import stat
import uuid
from pathlib import Path

import pytest
from command_line import CommandLine
from live_controller import OWNER, LiveController


def unique(word: str) -> str:
    """The controller is shared by the tests of this run."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


# --- sign-in ---------------------------------------------------------------------------------------------------------


def test_login_keeps_a_private_file_and_whoami_knows(
    admin: CommandLine, home: Path, controller: LiveController
) -> None:
    path = home / ".config" / "ostiary" / "admin.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    stored = json.loads(path.read_text())
    assert stored["url"] == controller.url
    assert "BEGIN CERTIFICATE" in stored["ca"]
    ran = admin("admin", "whoami")
    assert ran.out.startswith(f"{OWNER} (owner) at {controller.url} until ")
    me = admin("admin", "whoami", "--json").json
    assert (me["schema"], me["email"], me["role"]) == (1, OWNER, "owner")


def test_login_never_prints_the_token(ostiary: CommandLine, home: Path, controller: LiveController) -> None:
    ran = ostiary(
        *("admin", "login", f"{controller.url}#pin={controller.ca_pin}", "--email", OWNER, "--json"),
        *("--password-file", str(controller.password_file)),
    )
    assert (ran.code, ran.json["role"]) == (0, "owner")
    token = json.loads((home / ".config/ostiary/admin.json").read_text())["token"]
    assert token not in ran.out + ran.err


def test_login_with_another_pin_says_which_pins(ostiary: CommandLine, controller: LiveController) -> None:
    other = "sha256/" + "A" * 43 + "="
    ran = ostiary("admin", "login", controller.url, "--ca-pin", other, "--email", OWNER, "--password-file", "/dev/null")
    assert ran.code == 1
    assert controller.ca_pin in ran.err
    assert other in ran.err


def test_login_without_a_pin_does_not_trust_a_private_ca(ostiary: CommandLine, controller: LiveController) -> None:
    arguments = ("admin", "login", controller.url, "--email", OWNER)
    ran = ostiary(*arguments, "--password-file", str(controller.password_file))
    assert (ran.code, "Check the CA pin" in ran.err) == (1, True)


def test_login_with_a_wrong_password(
    ostiary: CommandLine, controller: LiveController, tmp_path: Path, home: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("guessed it\n")
    arguments = ("admin", "login", controller.url, "--ca-pin", controller.ca_pin, "--email", unique("nobody"))
    ran = ostiary(*arguments, "--password-file", str(wrong), "--json")
    assert (ran.code, ran.json["error"]["reason"]) == (1, "sign_in_failed")
    assert not (home / ".config").exists()


def test_login_where_nobody_answers(ostiary: CommandLine, controller: LiveController) -> None:
    arguments = ("admin", "login", "https://127.0.0.1:1", "--email", OWNER)
    ran = ostiary(*arguments, "--password-file", str(controller.password_file))
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("error: The controller cannot be reached. (127.0.0.1:1")


def test_login_over_plain_http_is_refused(ostiary: CommandLine, controller: LiveController) -> None:
    arguments = ("admin", "login", "http://controller.example", "--email", OWNER)
    assert ostiary(*arguments, "--password-file", str(controller.password_file)).code == 2


def test_login_asks_nobody_when_there_is_no_terminal(ostiary: CommandLine, controller: LiveController) -> None:
    assert "use --email" in ostiary("admin", "login", controller.url, "--ca-pin", controller.ca_pin).err
    ran = ostiary("admin", "login", controller.url, "--ca-pin", controller.ca_pin, "--email", OWNER)
    assert (ran.code, "--password-file" in ran.err) == (2, True)


def test_login_without_a_url_uses_the_known_controller(admin: CommandLine, controller: LiveController) -> None:
    assert admin("admin", "login", "--password-file", str(controller.password_file)).code == 0


def test_without_a_sign_in(ostiary: CommandLine) -> None:
    ran = ostiary("admin", "network", "list")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.splitlines()[-1] == "next: ostiary admin login URL"


def test_logout_ends_the_session_at_the_controller(admin: CommandLine, home: Path) -> None:
    path = home / ".config" / "ostiary" / "admin.json"
    stored = path.read_text()
    assert admin("admin", "logout", "--json").json == {"schema": 1, "signed_out": True, "ended_at_controller": True}
    assert not path.exists()
    path.write_text(stored)
    ran = admin("admin", "whoami")
    assert (ran.code, "[sign_in_required]" in ran.err) == (4, True)


def test_damaged_file(admin: CommandLine, home: Path) -> None:
    (home / ".config" / "ostiary" / "admin.json").write_text("{}")
    assert "A state file is damaged." in admin("admin", "whoami").err


# --- places ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def network(admin: CommandLine) -> str:
    name = unique("office")
    assert admin("admin", "network", "create", name).code == 0
    return name


def test_network_life(admin: CommandLine) -> None:
    name = unique("office")
    made = admin("admin", "network", "create", name, "--egress-allow", "169.254.10.0/24", "--json").json
    assert (made["schema"], made["name"], made["egress_allow"]) == (1, name, ["169.254.10.0/24"])
    listed = admin("admin", "network", "list", "--json").json
    assert (listed["schema"], made["id"] in {item["id"] for item in listed["items"]}) == (1, True)
    assert admin("admin", "network", "rename", name.upper(), f"{name}-2").out == f"the network is now called {name}-2\n"
    lines = admin("admin", "network", "list", "-o", "jsonl").out.splitlines()
    assert f"{name}-2" in {json.loads(line)["name"] for line in lines}
    ran = admin("admin", "network", "delete", made["id"])
    assert (ran.code, "Add --yes." in ran.err) == (2, True)
    gone = admin("admin", "network", "delete", made["id"], "--yes", "--json").json
    assert gone == {"schema": 1, "id": made["id"], "deleted": True}
    assert admin("admin", "network", "delete", made["id"], "--yes").code == 1


def test_delete_asks_on_a_terminal(admin: CommandLine, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.cli.admin_common.can_ask", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    ran = admin("admin", "network", "delete", network)
    assert (ran.code, "[y/N]" in ran.err, "nothing was changed" in ran.err) == (1, True, True)
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert admin("admin", "network", "delete", network).out == f"network {network} deleted\n"


def test_connector_token_is_shown_once(admin: CommandLine, network: str) -> None:
    name = unique("gw")
    ran = admin("admin", "connector", "create", name, "--network", network)
    assert ran.out.startswith("otk_")
    assert ran.err.splitlines()[-1].startswith("next, on its host: sudo ostiary-connector enroll --token-file -")
    shown = admin("admin", "connector", "show", name)
    assert "otk_" not in shown.out + shown.err
    again = admin("admin", "connector", "token", name, "--json").json["enrolment_token"]
    assert again.startswith("otk_")
    assert again != ran.out.strip()
    table = admin("admin", "connector", "list").out
    assert [name, network, "not", "enrolled"] in [line.split()[:4] for line in table.splitlines()]
    assert admin("admin", "connector", "delete", name, "--yes").code == 0


def test_token_out_writes_a_private_file(admin: CommandLine, network: str, tmp_path: Path) -> None:
    path = tmp_path / "gw.token"
    arguments = ("admin", "connector", "create", unique("gw"), "--network", network, "--token-out", str(path))
    made = admin(*arguments, "--json").json
    assert "enrolment_token" not in made
    assert made["enrolment_token_file"] == str(path)
    assert path.read_text().startswith("otk_")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_relay_life(admin: CommandLine) -> None:
    name = unique("relay")
    made = admin("admin", "relay", "create", name, "--fqdn", "localhost", "--port", "8555", "--json").json
    assert (made["port"], made["enrolment_token"][:4]) == (8555, "otk_")
    assert f"{name}  localhost:8555" in admin("admin", "relay", "list").out
    assert admin("admin", "relay", "token", name, "--json").json["enrolment_token"].startswith("otk_")
    assert admin("admin", "relay", "delete", name, "--yes").code == 0


def test_resource_life(admin: CommandLine, network: str) -> None:
    name = unique("db")
    made = admin(
        *("admin", "resource", "create", name, "--network", network, "--address", f"{name}.internal"),
        *("--tcp", "5432", "--tcp", "8000-8100,9000", "--udp", "all", "--icmp", "--lease", "2h", "--json"),
    ).json
    assert made["ports"] == {"tcp": ["5432", "8000-8100", "9000"], "udp": ["1-65535"], "icmp": True}
    assert made["lease_s"] == 7200
    changed = admin("admin", "resource", "update", name, "--udp", "none", "--no-icmp", "--lease", "30m", "--json").json
    assert changed["ports"] == {"tcp": ["5432", "8000-8100", "9000"], "udp": [], "icmp": False}
    assert (changed["lease_s"], changed["version"]) == (1800, 2)
    table = admin("admin", "resource", "list", "--network", network).out
    assert "tcp 5432,8000-8100,9000" in table
    assert network in table
    assert admin("admin", "resource", "show", name, "--json").json["id"] == made["id"]
    assert admin("admin", "resource", "delete", name, "--yes").out == f"resource {name} deleted\n"


def test_resource_mistakes_name_the_field_and_the_way_out(admin: CommandLine, network: str) -> None:
    create = ("admin", "resource", "create", unique("x"), "--network", network, "--address")
    ran = admin(*create, "10.0.0.1/8", "--tcp", "80")
    assert (ran.code, "address:" in ran.err, "10.0.0.0/8" in ran.err) == (2, True, True)
    told = admin(*create, "10.0.0.1/8", "--tcp", "80", "--json").json["error"]
    assert (told["reason"], told["field"]) == ("invalid_input", "address")
    ran = admin(*create, "10.0.0.0/8", "--tcp", "90-80")
    assert "(ports.tcp.0: a port range goes from a lower to a higher port" in ran.err
    assert "--tcp: '80x' is not a port" in admin(*create, "10.0.0.0/8", "--tcp", "80x").err
    assert "name what is allowed" in admin(*create, "10.0.0.0/8").err
    assert "--lease" in admin(*create, "10.0.0.0/8", "--tcp", "1", "--lease", "soon").err
    assert admin("admin", "resource", "update", "nothing-like-it").code == 1


def test_unknown_names_and_ids(admin: CommandLine, network: str) -> None:
    ran = admin("admin", "resource", "create", "x", "--network", network[:-1] + "_", "--address", "a.b", "--tcp", "1")
    assert (ran.code, f"did you mean {network!r}?" in ran.err) == (1, True)
    assert ran.err.splitlines()[-1] == "next: ostiary admin network list"
    ran = admin("admin", "connector", "show", "con_AAAAAAAAAAAAAAAAAAAAAA")
    assert ran.err.splitlines() == [
        "error: There is no such thing, or it is not yours to see. "
        "(no connector has the id con_AAAAAAAAAAAAAAAAAAAAAA) [not_found]",
        "next: ostiary admin connector list",
    ]


# --- people and grants -----------------------------------------------------------------------------------------------


@pytest.fixture
def person(admin: CommandLine) -> str:
    email = f"{unique('grace')}@corp.example"
    ran = admin("admin", "user", "create", email)
    assert ran.out.startswith(f"user {email} created (usr_")
    assert "first password, shown this once: " in ran.err
    return email


def test_user_life(admin: CommandLine, person: str, tmp_path: Path) -> None:
    assert admin("admin", "user", "role", person, "admin").out == f"user {person} now has the role admin\n"
    assert admin("admin", "user", "role", person, "king").code == 2
    password = tmp_path / "new"
    password.write_text("a quiet lighthouse\n")
    assert admin("admin", "user", "password", person, "--password-file", str(password)).code == 0
    assert admin("admin", "user", "disable", person, "--json").json["disabled"] is True
    assert [person, person.partition("@")[0], "admin", "disabled"] in [
        line.split()[:4] for line in admin("admin", "user", "list").out.splitlines()
    ]
    assert admin("admin", "user", "enable", person).code == 0
    user = admin("admin", "user", "list", "--json").json["items"][-1]["id"]
    assert admin("admin", "user", "delete", person, "--yes").code == 0
    assert admin("admin", "user", "erase", user, "--yes", "--json").json == {"schema": 1, "id": user, "erased": True}


def test_user_with_a_given_password_can_sign_in(admin: CommandLine, controller: LiveController, tmp_path: Path) -> None:
    email, password = f"{unique('hal')}@corp.example", tmp_path / "hal"
    password.write_text("a quiet lighthouse")
    arguments = ("admin", "user", "create", email, "--name", "Hal", "--password-file", str(password))
    made = admin(*arguments, "--json").json
    assert (made["name"], made["role"], made["initial_password"]) == ("Hal", "member", None)
    login = ("admin", "login", controller.url, "--ca-pin", controller.ca_pin, "--email", email)
    assert admin(*login, "--password-file", str(password)).code == 0
    ran = admin("admin", "network", "create", "mine")
    assert (ran.code, "[forbidden]" in ran.err) == (8, True)


def test_group_life(admin: CommandLine, person: str) -> None:
    name = unique("engineers")
    assert admin("admin", "group", "create", name, "--json").json["members"] == 0
    assert admin("admin", "group", "add-member", name, person).out == f"{person} is in {name}\n"
    assert [item["email"] for item in admin("admin", "group", "members", name, "--json").json["items"]] == [person]
    assert admin("admin", "group", "rename", name, f"{name}-2").code == 0
    assert admin("admin", "group", "remove-member", f"{name}-2", person, "--json").json["member"] is False
    assert admin("admin", "group", "list", "--json").json["items"][-1]["members"] == 0
    assert admin("admin", "group", "delete", f"{name}-2", "--yes").code == 0


def test_grant_life(admin: CommandLine, network: str, person: str) -> None:
    name, team = unique("wiki"), unique("team")
    create = ("admin", "resource", "create", name, "--network", network, "--address", "wiki.internal", "--tcp", "80")
    assert admin(*create).code == 0
    assert admin("admin", "group", "create", team).code == 0
    assert admin("admin", "service-account", "create", team, "--json").json["enrolment_token"].startswith("otk_")
    made = admin("admin", "grant", "create", "--to", f"group:{team}", "--resource", name, "--json").json
    assert (made["subject_kind"], made["expires_at"]) == ("group", None)
    for subject in (f"user:{person}", f"service-account:{team}"):
        ran = admin("admin", "grant", "create", "--to", subject, "--resource", name, "--expires", "8h")
        assert f"{subject} may reach {name} until " in ran.out
    listed = admin("admin", "grant", "list", "--resource", name)
    rows = [line.split() for line in listed.out.splitlines()]
    assert [row[:3] for row in rows[1:]] == [
        [f"group:{team}", name, "never"],
        [f"user:{person}", name, "in"],
        [f"service-account:{team}", name, "in"],
    ]
    only = admin("admin", "grant", "list", "--to", f"group:{team}", "--json").json["items"]
    assert [item["id"] for item in only] == [made["id"]]
    # No --yes and no terminal: a revocation is never held up.
    assert admin("admin", "grant", "revoke", made["id"], "--json").json["revoked"] is True
    again = admin("admin", "grant", "revoke", made["id"])
    assert (again.code, again.err.splitlines()[-1]) == (1, "next: ostiary admin grant list")


@pytest.mark.parametrize(
    ("to", "expires", "said"),
    [
        ("engineers", None, "is not group:NAME"),
        ("group:", None, "is not group:NAME"),
        ("robot:x", None, "is not group:NAME"),
        ("group:nobody-like-it", None, "no group is called"),
        ("grp_AAAAAAAAAAAAAAAAAAAAAA", "whenever", "neither a duration"),
        ("grp_AAAAAAAAAAAAAAAAAAAAAA", "2020-01-01", "expires_at"),
    ],
)
def test_grant_mistakes(admin: CommandLine, to: str, expires: str | None, said: str) -> None:
    more = () if expires is None else ("--expires", expires)
    resource = "res_AAAAAAAAAAAAAAAAAAAAAA"
    ran = admin("admin", "grant", "create", "--to", to, "--resource", resource, *more)
    assert ran.code != 0
    assert said in ran.err
    assert admin("admin", "grant", "revoke", "the-first").code == 2


def test_service_account_life(admin: CommandLine, tmp_path: Path) -> None:
    name, path = unique("ci"), tmp_path / "ci.token"
    ran = admin("admin", "service-account", "create", name, "--token-out", str(path))
    assert ran.err.splitlines()[-1] == f"next, on its host: sudo ostiary up --token-file {path}"
    assert admin("admin", "service-account", "token", name).out.startswith("otk_")
    assert admin("admin", "service-account", "disable", name).out == f"service account {name} disabled\n"
    assert admin("admin", "service-account", "enable", name, "--json").json["disabled"] is False
    assert name in admin("admin", "service-account", "list").out
    assert admin("admin", "service-account", "delete", name, "--yes").code == 0


# --- activity --------------------------------------------------------------------------------------------------------


def test_audit_trail_names_who_did_what(admin: CommandLine, network: str) -> None:
    found = admin("admin", "event", "list", "--type", "network.created", "-n", "1", "--json").json["items"]
    assert [(item["type"], item["data"]["name"]) for item in found] == [("network.created/1", network)]
    table = admin("admin", "event", "list", "--about", found[0]["stream"]).out
    assert " Ada " in table


class _Recorded:
    """An API that knows one service account and one connection of it."""

    def items(self, path: str, *_: object, **__: object) -> list[dict[str, object]]:
        account = "svc_AAAAAAAAAAAAAAAAAAAAAA"
        return {
            "service-accounts": [{"id": account, "name": "nightly-backup"}],
            "connections": [{"user": account, "address": "db.corp.internal", "port": 5432, "transport": "tcp"}],
        }.get(path, [])


def test_a_connection_of_a_service_account_is_listed_by_its_name(
    admin: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.cli.admin_activity.administrator", lambda _: contextlib.nullcontext(_Recorded()))
    table = admin("admin", "connection", "list").out
    assert "nightly-backup" in table
    assert "svc_" not in table


def test_lists_that_are_empty_say_so(admin: CommandLine) -> None:
    for noun in ("device", "connection"):
        ran = admin("admin", noun, "list")
        assert (ran.code, ran.out) == (0, "")
        assert ran.err != ""
        assert admin("admin", noun, "list", "--json").json == {"schema": 1, "items": []}
    assert admin("admin", "connection", "list", "--denied", "--json").json["items"] == []
    assert admin("admin", "device", "revoke", "dev_AAAAAAAAAAAAAAAAAAAAAA", "--yes").code == 1


def test_enforcement(admin: CommandLine, network: str) -> None:
    made = admin("admin", "connector", "create", unique("gw"), "--network", network, "--json").json
    found = admin("admin", "enforcement", "list", "--json").json["items"]
    assert [item["online"] for item in found if item["agent"] == made["id"]] == [False]
    assert made["name"] in admin("admin", "enforcement", "list").out


def test_a_change_that_nobody_misses_names_who_made_it(admin: CommandLine) -> None:
    revision = admin("admin", "event", "list", "-n", "1", "--json").json["items"][0]["position"]
    assert admin("admin", "group", "create", unique("everywhere")).code == 0
    shown = admin("admin", "enforcement", "show", str(revision + 1), "--outstanding")
    assert (shown.code, shown.out) == (0, "")
    made, everywhere, missing = shown.err.splitlines()
    assert made.endswith(f" by {OWNER}.")
    assert everywhere.startswith("Enforced everywhere since ")
    assert missing == "No agent is missing."


def test_keys_rotate_and_distrust(admin: CommandLine) -> None:
    before = {item["status"]: item["kid"] for item in admin("admin", "key", "list", "--json").json["items"]}
    after = {item["status"]: item["kid"] for item in admin("admin", "key", "rotate", "--json").json["items"]}
    assert after["active"] == before["next"]
    assert after["previous"] == before["active"]
    assert admin("admin", "key", "distrust", before["active"]).code == 2
    left = admin("admin", "key", "distrust", before["active"], "--yes", "--json").json["items"]
    assert [item["status"] for item in left if item["kid"] == before["active"]] == ["distrusted"]


def test_long_lists_are_walked_page_by_page(admin: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {unique("page") for _ in range(3)}
    for name in names:
        assert admin("admin", "group", "create", name).code == 0
    monkeypatch.setattr("client.cli.admin_session.PAGE", 1)
    assert names <= {item["name"] for item in admin("admin", "group", "list", "--json").json["items"]}
    assert len(admin("admin", "event", "list", "-n", "2", "--json").json["items"]) == 2
