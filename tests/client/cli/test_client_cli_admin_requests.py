"""`ostiary admin requests` against the real controller: list, approve, deny."""

import json
import uuid
from pathlib import Path

from command_line import CommandLine
from live_controller import LiveController

from client.cli.admin_session import Api


def asked_by_somebody(admin: CommandLine, controller: LiveController, home: Path, target: str) -> tuple[str, str]:
    """A member asks for ``target`` over the API; returns his address and the request's id."""
    email = f"grace-{uuid.uuid4().hex[:8]}@corp.example"
    password = home / "password"
    password.write_text("a quiet lighthouse")
    assert admin("admin", "user", "create", email, "--name", "Grace", "--password-file", str(password)).code == 0
    ca = json.loads((home / ".config" / "ostiary" / "admin.json").read_text())["ca"]
    with Api(controller.url, ca) as nobody:
        token = nobody.post("sessions", {"email": email, "password": "a quiet lighthouse"})["token"]
    with Api(controller.url, ca, str(token)) as grace:
        made = grace.post("access-requests", {"target": target, "reason": "release 4.2", "duration_s": 7200})
    return email, str(made["id"])


def test_approve_and_deny(admin: CommandLine, controller: LiveController, home: Path) -> None:
    name = f"db-{uuid.uuid4().hex[:8]}"
    assert admin("admin", "network", "create", name).code == 0
    address = f"{name}.corp.internal"
    ran = admin("admin", "resource", "create", name, "--network", name, "--address", address, "--tcp", "5432")
    assert ran.code == 0, ran.err
    _, first = asked_by_somebody(admin, controller, home, address)
    listed = admin("admin", "requests", "list")
    assert first in listed.out
    assert f"{address}  {name}" in listed.out.replace("   ", "  ")
    assert "release 4.2" in listed.out

    ran = admin("admin", "requests", "approve", first, "--for", "1h", "--answer", "until then")
    assert ran.code == 0, ran.err
    assert f"Grace may reach {address} until " in ran.err + ran.out
    shown = admin("admin", "requests", "list", "--all", "--json").json["items"]
    assert [item["answer"] for item in shown if item["id"] == first] == ["until then"]
    again = admin("admin", "requests", "approve", first)
    assert (again.code, "conflict" in again.err or "approved" in again.err) == (1, True)

    _, second = asked_by_somebody(admin, controller, home, "nowhere.corp.internal")
    assert admin("admin", "requests", "approve", second).code == 2
    ran = admin("admin", "requests", "deny", second, "--answer", "there is no such thing")
    assert (ran.code, "denied; Grace reads your answer" in ran.err + ran.out) == (0, True)


def test_what_is_no_id_is_wrong_usage(admin: CommandLine) -> None:
    ran = admin("admin", "requests", "approve", "db")
    assert (ran.code, "requests list" in ran.err) == (2, True)
