"""The worst day with real processes: a connector that saw more than the restored controller knows takes its policy (F-26, T-8)."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from live_controller import OWNER, PASSWORD, LiveController, live_controller

from runtime.trust import client_context

ROOT = Path(__file__).parents[3]
DEADLINE_S = 45


def until(found: Callable[[], Any]) -> Any:
    """Waits for something that processes do."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
            if value := found():
                return value
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


class Connector:
    """A real connector process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "OSTIARY_STATE_DIR": str(folder / "state"),
            "OSTIARY_RUNTIME_DIR": str(folder / "run"),
        }

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Runs a command of it."""
        program = [sys.executable, "-m", "connector", *arguments]
        return subprocess.run(
            program, env=self.env, input=stdin, capture_output=True, text=True, check=True, timeout=DEADLINE_S
        ).stdout

    def status(self) -> dict[str, Any]:
        """What it says about itself."""
        answer: dict[str, Any] = json.loads(self.run("status", "--json"))
        return answer

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Runs it."""
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", "connector", "run"], env=self.env, stdout=log, stderr=log)
            try:
                yield
            finally:
                process.terminate()
                process.wait(DEADLINE_S)


@contextlib.contextmanager
def serving(controller: LiveController) -> Iterator[None]:
    """Serves again, as ``live_controller`` did, until the block ends."""
    notices = controller.folder / "notify"
    notices.unlink(missing_ok=True)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        (controller.folder / "again.log").open("wb") as log,
    ):
        systemd.bind(str(notices))
        systemd.settimeout(DEADLINE_S)
        program = [sys.executable, "-c", "from controller.cli.main import main; main()", "serve"]
        process = subprocess.Popen(program, env=controller.env, stdout=log, stderr=log)
        try:
            while b"READY=1" not in systemd.recv(4096):
                pass
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)


@contextlib.contextmanager
def owner(controller: LiveController) -> Iterator[httpx2.Client]:
    """A client of the API with the owner's session."""
    context = client_context((controller.folder / "controller" / "ca.pem").read_bytes())
    with httpx2.Client(base_url=controller.url, verify=context, trust_env=False) as client:
        token = client.post("/api/v1/sessions", json={"email": OWNER, "password": PASSWORD}).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def enrolled(controller: LiveController, folder: Path) -> tuple[Connector, str]:
    """A connector of a new network."""
    folder.mkdir()
    connector = Connector(folder)
    with owner(controller) as api:
        network = api.post("/api/v1/networks", json={"name": "office"}).json()["id"]
        made = api.post("/api/v1/connectors", json={"name": "c1", "network": network}).json()
        token = made["enrolment_token"]
    connector.run("enroll", "--token-file", "-", stdin=token + "\n")
    return connector, network


@pytest.mark.slow
def test_f26_t8_agents_take_a_restored_policy_by_its_higher_epoch_only(tmp_path: Path) -> None:
    backup, witness = tmp_path / "a.backup", tmp_path / "office.json"
    with contextlib.ExitStack() as stack:
        with live_controller(tmp_path) as controller:
            connector, network = enrolled(controller, tmp_path / "connector")
            stack.enter_context(connector.running())
            until(lambda: connector.status()["config"])
            controller.run("backup", str(backup))
            with owner(controller) as api:
                for number in range(3):
                    resource = {"network": network, "name": f"r{number}", "address": f"10.0.0.{number}"}
                    answer = api.post("/api/v1/resources", json={**resource, "ports": {"tcp": ["443"]}})
                    assert answer.status_code == 201, answer.text
            seen = until(lambda: (config := connector.status()["config"])["resources"] == 3 and config)
        connector.run("witness", "export", "--output", str(witness))
        for path in (tmp_path / "controller").glob("controller.db*"):
            path.unlink()
        restored = json.loads(controller.run("restore", str(backup), "--witness", str(witness), "--json").stdout)
        assert restored["lost_events_at_least"] >= 3
        with pytest.raises(subprocess.CalledProcessError) as refused:
            controller.run("serve")
        assert "restore --bump-epoch" in refused.value.stderr
        controller.run("restore", "--bump-epoch", "--witness", str(witness))
        with serving(controller):
            now = until(lambda: (config := connector.status()["config"])["epoch"] > seen["epoch"] and config)
            assert now["resources"] == 0
            assert now["revision"] < seen["revision"] + 3
            assert connector.status()["witness"]["conflicts"] == 0
        connector.run("witness", "export", "--output", str(witness))
        audited = json.loads(controller.run("events", "verify", "--witness", str(witness), "--json").stdout)
        assert (audited["ok"], audited["checkpoints"] > 0) == (True, True)
        assert any("restored from a backup" in note for note in audited["notes"])
