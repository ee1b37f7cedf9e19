"""`ostiary-relay` as people and systemd see it: exit codes, messages, a real process (F-16, F-28, T-29)."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from leg_server import free_port
from recorders import Recorder
from relay_world import ISSUER, RELAY, Attached, make_ticket, signing_key
from tls_material import tls_material

from protocol.errors import OstiaryError
from protocol.reasons import Reason
from protocol.rendezvous import ATTACH_PATH, CONNECT_PATH, LEG_PATH
from protocol.tokens.keys import VerificationKeys
from relay.identity import Identity, save_identity
from runtime.files import StateDir
from runtime.leg import Leg, dial_leg
from runtime.trust import client_context

ROOT = Path(__file__).parents[2]


def environment(folder: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OSTIARY_")}
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "OSTIARY_STATE_DIR": str(folder / "state"),
        "OSTIARY_RUNTIME_DIR": str(folder / "run"),
        **more,
    }


def command(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs `ostiary-relay` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "relay.cli", *arguments],
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def enrolled(folder: Path, port: int) -> None:
    """Writes the state of an enrolled relay."""
    material = tls_material()
    keys = VerificationKeys.of(signing_key())
    state = StateDir(folder / "state")
    state.ensure()
    identity = Identity(RELAY, ISSUER, "localhost", port, material.cert_pem, material.key_pem, keys)
    save_identity(state, identity, material.ca_pem)


@dataclass
class Process:
    """A running relay."""

    folder: Path
    port: int
    popen: subprocess.Popen[str]

    async def dial(self, path: str) -> Leg:
        role = "client" if path == CONNECT_PATH else "connector"
        return await dial_leg(
            host="localhost",
            address="127.0.0.1",
            port=self.port,
            path=path,
            ticket=make_ticket(role),  # type: ignore[arg-type]
            context=client_context(tls_material().ca_pem),
            deadline=5.0,
        )

    async def until_it_serves(self) -> None:
        async with asyncio.timeout(60):
            while True:
                assert self.popen.poll() is None, self.popen.communicate()
                with contextlib.suppress(OstiaryError):
                    attached = Attached(await self.dial(ATTACH_PATH))
                    attached.leg.close()
                    return
                await asyncio.sleep(0.05)

    async def left(self) -> tuple[int, str]:
        """Waits for the end; returns exit code and log."""
        _, log = await asyncio.to_thread(self.popen.communicate, None, 20)
        return self.popen.returncode, log


@contextlib.asynccontextmanager
async def running(folder: Path, *, descriptors: int | None = None, **more: str) -> AsyncIterator[Process]:
    port = free_port()
    enrolled(folder, port)

    def limit() -> None:
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    popen = subprocess.Popen(
        [sys.executable, "-m", "relay.cli", "run"],
        env=environment(folder, OSTIARY_LOG_JSON="true", OSTIARY_LISTEN_HOST="127.0.0.1", **more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )
    process = Process(folder, port, popen)
    try:
        await process.until_it_serves()
        yield process
    finally:
        if popen.poll() is None:
            popen.kill()
            popen.communicate()
        assert popen.stderr is not None
        popen.stderr.close()


def test_help_teaches_and_every_command_has_an_example(tmp_path: Path) -> None:
    top = command(tmp_path, "--help")
    assert top.returncode == 0
    assert "ostiary-relay enroll" in top.stdout
    assert "never connects anywhere" in top.stdout
    for name in ("enroll", "run", "status", "health", "check-config"):
        found = command(tmp_path, name, "--help")
        assert found.returncode == 0
        assert "Example" in found.stdout, name


def test_version(tmp_path: Path) -> None:
    assert command(tmp_path, "version").stdout.startswith("ostiary-relay ")
    assert json.loads(command(tmp_path, "version", "--json").stdout)["protocol"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run"], 2, ["not enrolled", "enroll"]),
        (["status"], 5, ["not running", "sudo ostiary-relay run"]),
        (["health"], 5, ["not running"]),
        (["enroll"], 2, ["--token-file"]),
        (["enroll", "otk_x", "--token-file", "x"], 2, ["--token-file"]),
        (["enroll", "--token-file", os.devnull], 2, ["enrolment token"]),
        (["run", "--config", "/nonexistent.toml"], 2, ["/nonexistent.toml"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_goes_wrong_is_said_in_one_line_with_a_next_step(
    tmp_path: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    done = command(tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_errors_as_json(tmp_path: Path) -> None:
    body = json.loads(command(tmp_path, "status", "--json").stdout)
    assert (body["ok"], body["error"]["reason"]) == (False, "daemon_not_running")


def test_check_config_shows_where_each_setting_comes_from(tmp_path: Path) -> None:
    enrolled(tmp_path, 8444)
    body = json.loads(command(tmp_path, "check-config", "--json", OSTIARY_DRAIN_S="5").stdout)
    shown = {item["key"]: (item["value"], item["origin"]) for item in body["settings"]}
    assert shown["drain_s"] == ("5.0", "OSTIARY_DRAIN_S")
    assert shown["listen_host"] == ("", "default")
    assert (body["enrolled"], body["relay"]) == (True, RELAY)
    wrong = command(tmp_path, "check-config", OSTIARY_DRIAN_S="5")
    assert wrong.returncode == 2
    assert "OSTIARY_DRAIN_S" in wrong.stderr


async def test_a_process_serves_answers_and_drains_on_sigterm(tmp_path: Path) -> None:
    async with running(tmp_path, OSTIARY_DRAIN_S="10") as relay:
        attached = Attached(await relay.dial(ATTACH_PATH))
        parked = await relay.dial(LEG_PATH)
        client = await relay.dial(CONNECT_PATH)
        receiver = Recorder()
        parked.set_receiver(receiver)
        client.write(b"hello")
        await receiver.received(5)
        status = json.loads((await asyncio.to_thread(command, tmp_path, "status", "--json")).stdout)
        assert (status["pairs"], status["attachments"], status["relay"]) == (1, 1, RELAY)
        assert "pairs" in (await asyncio.to_thread(command, tmp_path, "status")).stdout
        assert (await asyncio.to_thread(command, tmp_path, "health", "--live")).returncode == 0
        second = await asyncio.to_thread(command, tmp_path, "run", OSTIARY_LISTEN_HOST="127.0.0.1")
        assert second.returncode == 1
        assert f"127.0.0.1:{relay.port}" in second.stderr
        relay.popen.send_signal(signal.SIGTERM)
        assert await attached.goodbye() is Reason.SHUTTING_DOWN
        client.write(b" and on")
        await receiver.received(12)
        draining = await asyncio.to_thread(command, tmp_path, "health")
        assert draining.returncode == 3
        client.close()
        code, log = await relay.left()
    assert code == 0
    events = [json.loads(line) for line in log.splitlines()]
    names = [event["event"] for event in events]
    # The test's certificate lives for a day.
    assert names.pop(0) == "relay.certificate_expires"
    assert [name for name in names if name.startswith("relay.")] == ["relay.started", "relay.draining", "relay.stopped"]
    assert [event for event in events[1:] if event["level"] in ("warning", "error")] == []


async def test_f28_a_relay_without_descriptors_recovers(tmp_path: Path) -> None:
    async with running(tmp_path, descriptors=64, OSTIARY_DRAIN_S="0") as relay:
        attached = Attached(await relay.dial(ATTACH_PATH))
        crowd = []
        for _ in range(150):
            sock = socket.socket()
            sock.setblocking(False)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", relay.port))
            crowd.append(sock)
        with pytest.raises(OstiaryError):
            await relay.dial(LEG_PATH)
        assert attached.recorder.reason is None, "who is inside stays"
        for sock in crowd:
            sock.close()
        async with asyncio.timeout(2):
            while True:
                with contextlib.suppress(OstiaryError):
                    leg = await relay.dial(LEG_PATH)
                    break
        assert attached.recorder.reason is None
        leg.close()
        attached.leg.close()
        relay.popen.send_signal(signal.SIGTERM)
        code, log = await relay.left()
    assert code == 0
    assert log.count("listener.no_descriptors") >= 1
    assert log.count("listener.no_descriptors") < 20, "it does not spin"
