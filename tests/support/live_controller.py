"""The real controller as its own process on a loopback port, with one owner, for tests of the administrator's commands."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OWNER = "ada@corp.example"
PASSWORD = "correct horse battery staple"
_MAIN = "from controller.cli.main import main; main()"
_START_DEADLINE_S = 60


@dataclass(frozen=True)
class LiveController:
    """Where it is and what a person needs to sign in."""

    url: str
    ca_pin: str
    password_file: Path
    folder: Path
    env: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `ostiary-controller` for its state directory."""
        return subprocess.run(
            [sys.executable, "-c", _MAIN, *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=_START_DEADLINE_S,
            check=True,
        )


@contextmanager
def live_controller(folder: Path) -> Iterator[LiveController]:
    """Sets a controller up in ``folder``, serves it, and ends it afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    notices = folder / "notify"
    env = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OSTIARY_STATE_DIR": str(folder / "controller"),
        "OSTIARY_RUNTIME_DIR": str(folder / "run"),
        "OSTIARY_LISTEN_HOST": "127.0.0.1",
        "OSTIARY_LISTEN_PORT": str(port),
        "NOTIFY_SOCKET": str(notices),
    }
    password = folder / "password"
    password.write_text(PASSWORD)
    url = f"https://localhost:{port}"
    bare = LiveController(url, "", password, folder, env)
    made = bare.run(
        *("init", "--public-url", url, "--owner", OWNER, "--owner-name", "Ada", "--password-file", str(password)),
        "--json",
    )
    controller = LiveController(url, json.loads(made.stdout)["ca_pin"], password, folder, env)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, (folder / "controller.log").open("wb") as log:
        systemd.bind(str(notices))
        systemd.settimeout(_START_DEADLINE_S)
        process = subprocess.Popen([sys.executable, "-c", _MAIN, "serve"], env=env, stdout=log, stderr=log)
        try:
            while b"READY=1" not in systemd.recv(4096):
                pass
            yield controller
        finally:
            process.terminate()
            process.wait(_START_DEADLINE_S)
