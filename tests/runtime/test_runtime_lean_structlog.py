"""structlog is loaded without rich, and nobody else is kept from it."""

import subprocess
import sys

import pytest

_STATE = "print('rich.traceback' in sys.modules, structlog.dev.rich is None); import rich.traceback"


def run(text: str) -> str:
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_structlog_comes_without_rich_and_rich_can_be_had_afterwards() -> None:
    assert run(f"import sys, runtime.lean_structlog, structlog; {_STATE}") == "False True"


def test_what_was_loaded_before_is_left_alone() -> None:
    assert run(f"import sys, structlog, runtime.lean_structlog; {_STATE}") == "True False"


@pytest.mark.parametrize("module", ["connector.cli", "relay.cli", "client.cli.daemon", "controller.cli.main"])
def test_declaring_the_commands_loads_no_structlog(module: str) -> None:
    assert run(f"import sys, {module}; print('structlog' in sys.modules)") == "False"


@pytest.mark.parametrize("module", ["controller.cli.start"])
def test_what_serves_begins_with_it(module: str) -> None:
    assert run(f"import sys, {module}; import structlog; {_STATE}") == "False True"
