"""The stack on a real engine: one command brings it up, and the last container proves the whole path."""

import json
from pathlib import Path

import pytest

from lab.engine import Engine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("engine")]
SHOW = ("run", "--rm", "--no-deps", "secrets", "ostiary-setup", "show")


def test_one_command_brings_the_stack_up_and_proves_the_path(engine: Engine, checkout: Path) -> None:
    stack = (
        *("--project-directory", str(checkout), "--env-file", str(checkout / "docker/demo.env")),
        *("--profile", "demo"),
    )
    up = ("up", "--detach", "--wait", "--wait-timeout", "300")
    try:
        engine.compose(*stack, *up)
        assert _proof(engine, stack) == "hello from the private network\n"
        states = [json.loads(line) for line in engine.compose(*stack, "ps", "--format", "json").stdout.splitlines()]
        assert {item["Health"] for item in states if item["Service"] != "demo-web"} <= {"healthy", ""}
        # What the stack made up for itself is in its volumes and nowhere else.
        password = engine.compose(*stack, *SHOW).stdout.strip()
        logs = engine.compose(*stack, "logs", "--no-color").stdout
        assert len(password) >= 24
        assert password not in logs
        # Shown once, it is gone.
        assert engine.compose(*stack, *SHOW, check=False).returncode == 1
        # Again, as after an upgrade: one-shots find everything done, and identities are kept.
        engine.compose(*stack, *up, "--force-recreate", "--timeout", "5")
        assert _proof(engine, stack) == "hello from the private network\n"
        assert "schema   " in engine.compose(*stack, "logs", "--no-color", "migrate").stdout
    except BaseException:
        print(engine.compose(*stack, "logs", "--no-color", "--tail", "40", check=False).stdout)
        raise
    finally:
        engine.compose(*stack, "down", "--volumes", "--timeout", "3", check=False)


OVERRIDE = """
x-demo: &demo
  environment: {SSL_CERT_FILE: /trust/root.crt}
  volumes: ["trust:/trust:ro"]
services:
  client: *demo
  client-rootless: *demo
networks: {default: {name: ostiary-demo_edge, external: true}}
volumes: {trust: {name: ostiary-demo_trust, external: true}}
"""
"""What the demo's controller needs besides: its network, and the proxy's own CA."""
ADMIN = """
set -e
export HOME=/tmp
ostiary admin login "https://$DOMAIN" --email "$OWNER_EMAIL" --password-file /owner/password >&2
ostiary admin service-account create NAME --json
ostiary admin grant create --to service-account:NAME --resource web >&2
"""
PAGE = "import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode(), end='')"


@pytest.mark.soak
def test_the_sidecar_recipe_serves_its_application(engine: Engine, checkout: Path, tmp_path: Path) -> None:
    stack = (
        *("--project-directory", str(checkout), "--env-file", str(checkout / "docker/demo.env")),
        *("--profile", "demo"),
    )
    override = tmp_path / "override.yaml"
    override.write_text(OVERRIDE)
    files = ("-f", str(checkout / "docker/sidecar.yaml"), "-f", str(override))
    try:
        engine.compose(*stack, "up", "--detach", "--wait", "--wait-timeout", "300")
        for app, client, url, profile in (
            ("app", "client", "http://web.demo.internal/", ()),
            ("app-rootless", "client-rootless", "http://127.0.0.1:15432/", ("--profile", "rootless")),
        ):
            made = engine.compose(
                *stack, "run", "--rm", "--no-deps", "demo-setup", "sh", "-c", ADMIN.replace("NAME", client)
            ).stdout
            token = tmp_path / client
            token.write_text(json.loads(made[made.index("{") :])["enrolment_token"])
            token.chmod(0o444)
            env = {"TOKEN_FILE": str(token), "FORWARDS": "15432=web.demo.internal:80"}
            up = ("up", "--detach", "--wait", "--wait-timeout", "120")
            engine.compose(*files, *profile, *up, app, env=env)
            ask = ("exec", "-T", app, "python3", "-c", PAGE, url)
            assert engine.compose(*files, *profile, *ask, env=env).stdout == "hello from the private network\n"
            assert restarts(engine, (*files, *profile), client, env) == 0
            # Made anew, as after an upgrade: the identity is in the volume, and the used-up token is not needed.
            token.write_text("used up")
            engine.compose(*files, *profile, *up, "--force-recreate", "--timeout", "3", client, app, env=env)
            assert engine.compose(*files, *profile, *ask, env=env).stdout == "hello from the private network\n"
            assert restarts(engine, (*files, *profile), client, env) == 0
    except BaseException:
        print(engine.compose(*files, "--profile", "rootless", "logs", "--no-color", "--tail", "40", check=False).stdout)
        raise
    finally:
        engine.compose(*files, "--profile", "rootless", "down", "--volumes", "--timeout", "3", check=False)
        engine.compose(*stack, "down", "--volumes", "--timeout", "3", check=False)


def restarts(engine: Engine, files: tuple[str, ...], service: str, env: dict[str, str]) -> int:
    """How often the engine had to start this container again."""
    container = engine.compose(*files, "ps", "-q", service, env=env).stdout.strip()
    return int(engine.docker("inspect", "-f", "{{.RestartCount}}", container).stdout)


def _proof(engine: Engine, stack: tuple[str, ...]) -> str:
    return engine.compose(*stack, "exec", "-T", "demo", "cat", "/tmp/proved").stdout
