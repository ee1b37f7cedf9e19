"""`ostiary admin policy|exclusion|device trust` against the real controller over TLS, and hours as people type them."""

import uuid
from typing import Any

import pytest
from command_line import CommandLine

from client.cli.hours import parse_window, say_window


def unique(word: str) -> str:
    """The controller is shared by the tests of this run."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def resource(admin: CommandLine) -> str:
    network, name = unique("net"), unique("db")
    assert admin("admin", "network", "create", network).code == 0
    made = admin(
        *("admin", "resource", "create", name, "--network", network, "--address", f"{name}.internal", "--tcp", "5432")
    )
    assert made.code == 0, made.err
    return name


def test_a_policy_from_creation_to_removal(admin: CommandLine) -> None:
    name = unique("strict")
    made = admin(
        *("admin", "policy", "create", name, "--mfa", "8h", "--sign-in", "7d", "--trusted", "--system", "debian:12"),
        *("--disk-encrypted", "--firewall", "--client", "0.1", "--facts-age", "2h", "--source", "192.0.2.0/24"),
        *("--hours", "mon-fri 08:00-18:00", "--hours", "sat 9:00-12:00", "--zone", "Europe/Berlin", "--json"),
    )
    assert made.code == 0, made.err
    conditions = made.json["conditions"]
    assert (conditions["mfa_max_age_s"], conditions["sign_in_max_age_s"]) == (28800, 604800)
    assert conditions["hours"]["zone"] == "Europe/Berlin"
    table = admin("admin", "policy", "list").out
    assert f"{name} " in table
    assert "second factor within 8 h" in table
    assert "mon-fri 08:00-18:00 or sat 09:00-12:00 Europe/Berlin" in table
    changed = admin("admin", "policy", "change", name, "--mfa", "4h")
    assert changed.out.strip() == f"policy {name}: second factor within 4 h"
    assert "4 h" in admin("admin", "policy", "show", name).out
    assert admin("admin", "policy", "change", name).code == 2
    renamed = unique("lax")
    assert admin("admin", "policy", "change", name, "--rename", renamed).code == 0
    assert admin("admin", "policy", "remove", renamed).code == 2
    assert admin("admin", "policy", "remove", renamed, "--yes").code == 0


def test_a_grant_under_a_policy(admin: CommandLine, resource: str) -> None:
    group, name = unique("grp"), unique("pol")
    admin("admin", "group", "create", group)
    admin("admin", "policy", "create", name, "--trusted")
    made = admin("admin", "grant", "create", "--to", f"group:{group}", "--resource", resource, "--policy", name)
    assert f"under policy {name}" in made.out
    assert name in admin("admin", "grant", "list", "--resource", resource).out
    kept = admin("admin", "policy", "remove", name, "--yes", "--json")
    assert (kept.code, kept.json["error"]["reason"]) == (1, "in_use")


def test_an_exclusion_from_creation_to_removal(admin: CommandLine, resource: str) -> None:
    group = unique("grp")
    admin("admin", "group", "create", group)
    made = admin(
        *(
            "admin",
            "exclusion",
            "create",
            "--for",
            f"group:{group}",
            "--resource",
            resource,
            "--expires",
            "8h",
            "--json",
        )
    )
    assert made.code == 0, made.err
    assert made.json["expires_at"]
    table = admin("admin", "exclusion", "list").out
    assert f"group:{group}" in table
    assert "in 8 h" in table
    assert admin("admin", "exclusion", "remove", "exc_x").code == 2
    assert admin("admin", "exclusion", "remove", made.json["id"]).code == 0


@pytest.mark.parametrize("verb", ["trust", "untrust", "show"])
def test_a_device_that_is_not_there(admin: CommandLine, verb: str) -> None:
    ran = admin("admin", "device", verb, "dev_AAAAAAAAAAAAAAAAAAAAAA", "--json")
    assert (ran.code, ran.json["error"]["reason"]) == (1, "not_found")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--mfa", "soon"),
        ("--hours", "office"),
        ("--hours", "mon-fry 08:00-18:00"),
        ("--hours", "mon 25:00-26:00"),
        ("--zone", "Mars", "--hours", "mon 08:00-18:00"),
        (),
    ],
)
def test_nonsense_is_refused(admin: CommandLine, arguments: tuple[str, ...]) -> None:
    assert admin("admin", "policy", "create", unique("odd"), *arguments).code == 2


@pytest.mark.parametrize(
    ("text", "days", "said"),
    [
        ("mon-fri 08:00-18:00", ["mon", "tue", "wed", "thu", "fri"], None),
        ("Sat,Sun 10:00-24:00", ["sat", "sun"], "sat,sun 10:00-24:00"),
        ("fri-mon 8:00-9:00", ["mon", "fri", "sat", "sun"], "mon,fri,sat,sun 08:00-09:00"),
        ("daily 22:00-06:00", ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], None),
        ("wed 00:00-24:00", ["wed"], None),
    ],
)
def test_windows_are_read_and_said(text: str, days: list[str], said: str | None) -> None:
    window: dict[str, Any] = parse_window(text)
    assert window["days"] == days
    assert say_window(window) == (said or text)
    assert parse_window(say_window(window)) == window
