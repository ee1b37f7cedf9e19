"""The commands run in this process; the daemon's socket and the home directory are the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_daemon import FakeDaemon, fake_daemon
from live_controller import OWNER, LiveController, live_controller


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "OSTIARY_SOCKET", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OSTIARY_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


@pytest.fixture
def ostiary(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    assert home.exists()
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def daemon(home: Path) -> Iterator[FakeDaemon]:
    with fake_daemon(home / "run" / "ostiary.sock") as running:
        yield running


@pytest.fixture(scope="session")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveController]:
    with live_controller(tmp_path_factory.mktemp("controller")) as running:
        yield running


@pytest.fixture
def admin(ostiary: CommandLine, controller: LiveController) -> CommandLine:
    """Signed in as the owner."""
    done = ostiary(
        *("admin", "login", controller.url, "--ca-pin", controller.ca_pin, "--email", OWNER),
        *("--password-file", str(controller.password_file)),
    )
    assert done.code == 0, done.err
    return ostiary
