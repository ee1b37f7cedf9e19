"""The shipped stack: what compose makes of it, and the stack on an engine of our own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.engine import ROOT, Engine, compose_binary, missing_for_engine
from lab.processes import Host, LabError, Processes

DEMO = ("--env-file", "docker/demo.env", "--profile", "demo")


@pytest.fixture(scope="session")
def stack() -> dict[str, Any]:
    """compose.yaml as compose understands it, with the demo's variables. Compose needs no engine for this."""
    try:
        compose = compose_binary()
    except LabError as error:
        pytest.skip(f"compose cannot be had here: {str(error).splitlines()[-1]}")
    shown = Host("here").run(
        str(compose), "--project-directory", str(ROOT), *_demo(ROOT), "config", "--format", "json", deadline=30
    )
    value: dict[str, Any] = json.loads(shown.stdout)
    return value


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A running engine with stand-ins for the base images and a built image of ours."""
    if missing := missing_for_engine():
        pytest.skip(missing)
    processes = Processes(tmp_path_factory.mktemp("engine"))
    made = Engine(processes)
    try:
        made.start()
        made.make_stand_ins()
        yield made
    finally:
        processes.stop_all()


@pytest.fixture(scope="session")
def checkout(engine: Engine) -> Path:
    """The repository with its wheels, and the image built from it."""
    folder = engine.checkout()
    offline = ("--build-arg", "PIP_NO_INDEX=1", "--build-arg", "PIP_FIND_LINKS=/src/wheelhouse")
    engine.compose("--project-directory", str(folder), *_demo(folder), "build", *offline)
    return folder


def _demo(folder: Path) -> tuple[str, ...]:
    return ("--env-file", str(folder / "docker/demo.env"), "--profile", "demo")
