"""The stack on a real engine: one command brings it up, and the last container proves the whole path."""

import json
from pathlib import Path

import pytest

from lab.engine import Engine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("lab")]
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


def _proof(engine: Engine, stack: tuple[str, ...]) -> str:
    return engine.compose(*stack, "exec", "-T", "demo", "cat", "/tmp/proved").stdout
