"""compose.yaml, Dockerfile and the set-up script as written, without an engine."""

import contextlib
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

from lab.engine import ROOT, compose_binary
from lab.processes import Host

OURS = {"secrets", "migrate", "init", "controller", "relay", "demo-setup", "demo-web", "demo-connector", "demo-client"}
ONE_SHOTS = {"secrets", "migrate", "init", "demo-setup"}
SCRIPT = ROOT / "docker/setup"


def test_the_stack_has_its_parts(stack: dict[str, Any]) -> None:
    services = stack["services"]
    assert set(services) == OURS | {"demo", "db", "proxy"}
    for name in ONE_SHOTS:
        assert services[name]["restart"] == "no"
    for name in set(services) - ONE_SHOTS:
        assert services[name]["restart"] == "unless-stopped", name


def test_every_container_of_ours_is_hardened(stack: dict[str, Any]) -> None:
    for name in OURS | {"demo"}:
        service = stack["services"][name]
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"] > 0, name
        assert int(service["mem_limit"]) > 0, name
        assert not service.get("privileged"), name
    # The client writes the resolver's settings, routes and rules of its container; nobody else may do any of it.
    exceptions = {name for name in OURS | {"demo"} if not stack["services"][name].get("read_only")}
    assert exceptions == {"demo-client"}
    capable = {name: service["cap_add"] for name, service in stack["services"].items() if "cap_add" in service}
    assert capable == {"demo-client": ["NET_ADMIN"], "proxy": ["NET_BIND_SERVICE"]}
    assert {name for name in stack["services"] if stack["services"][name].get("user", "").startswith("0")} == {
        "demo-client"
    }


def test_only_proxy_and_relay_publish_ports_and_the_database_is_in_a_network_without_exit(
    stack: dict[str, Any],
) -> None:
    published = {name for name, service in stack["services"].items() if service.get("ports")}
    assert published == {"proxy", "relay"}
    assert stack["networks"]["backend"]["internal"]
    assert stack["networks"]["demo"]["internal"]
    assert set(stack["services"]["db"]["networks"]) == {"backend"}
    assert set(stack["services"]["demo-client"]["networks"]) == {"edge"}
    assert set(stack["services"]["demo-web"]["networks"]) == {"demo"}


def test_only_the_proxy_may_say_where_a_request_comes_from(stack: dict[str, Any]) -> None:
    trusted = stack["services"]["controller"]["environment"]["OSTIARY_TRUSTED_PROXIES"]
    assert trusted == stack["services"]["proxy"]["networks"]["edge"]["ipv4_address"]


def test_secrets_travel_in_volumes_not_in_variables(stack: dict[str, Any]) -> None:
    for name, service in stack["services"].items():
        for key, value in (service.get("environment") or {}).items():
            secret = re.search(r"PASSWORD|SECRET|TOKEN|DATABASE_URL", key)
            assert secret is None or str(value).startswith("/"), f"{name}: {key}"


def test_a_missing_setting_is_named_before_anything_starts() -> None:
    done = Host("here").run(
        str(compose_binary()), "--project-directory", str(ROOT), "--env-file", "/dev/null", "config", "-q", check=False
    )
    assert done.returncode != 0
    assert "in .env (see .env.example)" in done.stderr


def test_the_example_is_complete() -> None:
    names = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    done = Host("here").run(
        *(str(compose_binary()), "--project-directory", str(ROOT), "--env-file", str(ROOT / ".env.example")),
        *("config", "-q"),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert names == ["DOMAIN", "RELAY_DOMAIN", "OWNER_EMAIL", "ACME_EMAIL"]


def test_the_image_runs_as_nobody_in_particular() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert "requirements-image.lock" in text
    assert "--require-hashes" in text


def test_the_set_up_script_is_valid_and_teaches_its_verbs() -> None:
    script = str(SCRIPT)
    assert subprocess.run(["/bin/sh", "-n", script], check=False).returncode == 0
    done = subprocess.run(["/bin/sh", script, "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_t11_each_secret_is_seen_by_its_maker_and_its_receiver_only(stack: dict[str, Any]) -> None:
    seen: dict[str, set[str]] = {}
    for name, service in stack["services"].items():
        for mount in service.get("volumes") or ():
            if mount["type"] == "volume":
                seen.setdefault(mount["source"], set()).add(name)
    assert seen["secrets"] == {"secrets", "migrate", "init", "controller"}
    assert seen["database-secret"] == {"secrets", "db"}
    assert seen["owner"] == {"secrets", "init", "demo-setup"}
    assert seen["relay-enrolment"] == {"init", "relay"}
    assert seen["demo-connector-enrolment"] == {"demo-setup", "demo-connector"}
    assert seen["demo-client-enrolment"] == {"demo-setup", "demo-client"}
    for own in ("controller", "relay", "database", "demo-connector", "demo-client"):
        assert len(seen[own] - {"migrate", "init"}) == 1, own
    assert set(seen) == set(stack["volumes"])


def _setup(folder: Path, verb: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs a verb of the script whose volumes and programs lie in ``folder``."""
    volumes = "secrets|database-secret|owner|enrolment|connector-enrolment|client-enrolment|trust|proxy"
    text = re.sub(rf"(?<=[ \"])/(?=(?:{volumes})\b)", f"{folder}/", SCRIPT.read_text())
    environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", **settings}
    return subprocess.run(
        ["/bin/sh", "-c", text, "setup", verb], env=environment, capture_output=True, text=True, check=False
    )


def test_t11_the_first_password_is_kept_until_it_was_shown_once(tmp_path: Path) -> None:
    for name in ("secrets", "database-secret", "owner", "enrolment", "bin"):
        (tmp_path / name).mkdir()
    told = tmp_path / "told"
    controller = tmp_path / "bin/ostiary-controller"
    controller.write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    controller.chmod(0o755)
    names = {"DOMAIN": "c.example", "OWNER_EMAIL": "ada@c.example", "RELAY_DOMAIN": "r.example", "RELAY_PORT": "1"}
    password = tmp_path / "owner/password"

    assert _setup(tmp_path, "secrets").returncode == 0
    first = password.read_text()
    assert (len(first) >= 24, password.stat().st_mode & 0o077) == (True, 0)
    assert _setup(tmp_path, "show").stdout.strip() == first
    assert password.exists(), "nobody has used it yet"
    assert _setup(tmp_path, "init", **names).returncode == 0
    assert f"--owner ada@c.example --password-file {password}" in told.read_text()

    assert _setup(tmp_path, "show").stdout.strip() == first
    assert not password.exists()
    again = _setup(tmp_path, "show")
    assert (again.returncode, again.stdout) == (1, "")
    assert "admin reset-password" in again.stderr

    told.write_text("")
    assert _setup(tmp_path, "secrets").returncode == 0
    assert _setup(tmp_path, "init", **names).returncode == 0
    assert not password.exists(), "an upgrade makes no new one"
    assert "--owner" not in told.read_text()


def test_t11_the_demos_client_takes_its_enrolment_token_away(tmp_path: Path, stack: dict[str, Any]) -> None:
    for name in ("owner", "connector-enrolment", "client-enrolment", "trust", "bin", "state"):
        (tmp_path / name).mkdir()
    told = tmp_path / "told"
    for name, does in (
        ("ostiary", f'echo "$@" >> {told}; echo \'{{"enrolment_token": "once"}}\''),
        ("ostiaryd", "true"),
    ):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    names = {"DOMAIN": "c.example", "OWNER_EMAIL": "ada@c.example", "PROXY_ISSUER": ""}
    assert _setup(tmp_path, "demo", **names).returncode == 0
    made = tmp_path / "client-enrolment"
    assert (made / "token").read_text() == "once"
    # It is another user's than the client's, who is root without the right to pass over modes.
    assert made.stat().st_mode & 0o007 == 0o007
    mounts = {mount["target"]: mount for mount in stack["services"]["demo-client"]["volumes"]}
    assert not mounts["/enrolment"].get("read_only")

    made.rename(tmp_path / "enrolment")
    host = {"OSTIARY_STATE_DIR": str(tmp_path / "state"), "OSTIARY_RUNTIME_DIR": str(tmp_path)}
    with contextlib.chdir(tmp_path), socket.socket(socket.AF_UNIX) as control:
        control.bind("ostiary.sock")
        assert _setup(tmp_path, "client", **host).returncode == 0
        assert not (tmp_path / "enrolment/token").exists()
        told.write_text("")
        assert _setup(tmp_path, "client", **host).returncode == 0
    assert told.read_text() == "up\n", "it enrols once"


def test_a_token_that_is_a_mount_does_not_end_the_client(tmp_path: Path) -> None:
    for name in ("enrolment", "bin", "state"):
        (tmp_path / name).mkdir()
    told = tmp_path / "told"
    for name, does in (
        ("ostiary", f'echo "$1" >> {told}'),
        ("ostiaryd", f'sleep 0.2; echo "daemon ended" >> {told}'),
        ("rm", "echo 'Device or resource busy' >&2; exit 1"),
    ):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "enrolment/token").write_text("once")
    host = {"OSTIARY_STATE_DIR": str(tmp_path / "state"), "OSTIARY_RUNTIME_DIR": str(tmp_path)}
    with contextlib.chdir(tmp_path), socket.socket(socket.AF_UNIX) as control:
        control.bind("ostiary.sock")
        done = _setup(tmp_path, "client", **host)
    assert (done.returncode, told.read_text()) == (0, "up\ndaemon ended\n"), "it waits for its daemon"
    assert "take it away" in done.stderr
