"""The parts of ``serve --workers`` without a database: flags, sockets, what is refused, metrics of several in one."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.cli import listening, start, worker_process
from controller.cli.worker_metrics import Member, WorkerMetrics, ask, merged, source_of
from controller.cli.worker_process import Worker
from controller.cli.workers import Crew
from controller.settings import Settings
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.lifecycle import Lifecycle
from runtime.metrics import MetricsServer, Source, gauge

LOOPBACK = "127.0.0.1"


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    "flags", [start.Flags(), start.Flags(Path("/etc/a=b.toml"), "::1", 8443, 4), start.Flags(listen_host="", workers=2)]
)
def test_workers_get_the_flags_of_their_parent(flags: start.Flags) -> None:
    assert start.flags_of(flags.words()) == flags


def test_several_workers_need_a_shared_database(tmp_path: Path) -> None:
    for url in (None, f"sqlite:///{tmp_path}/x.db"):
        assert Settings(state_dir=tmp_path, database_url=url, workers=1).workers == 1
        with pytest.raises(LocalError, match="workers: SQLite serves one process") as refused:
            Settings(state_dir=tmp_path, database_url=url, workers=2)
        assert refused.value.reason is Reason.CONFIG_INVALID
    assert Settings(state_dir=tmp_path, database_url="postgresql://a/b", workers=2).workers == 2


def test_a_reserved_port_answers_only_while_somebody_listens() -> None:
    port = _free_port()
    with listening.reserved(LOOPBACK, port) as places:
        with socket.socket() as other, pytest.raises(OSError):
            other.bind((LOOPBACK, port))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, port), timeout=30)
        with contextlib.ExitStack() as opened:
            first, second = (opened.enter_context(contextlib.closing(listening.shared(places)[0])) for _ in range(2))
            first.listen()
            second.listen()
            second.close()
            with pytest.raises(LocalError) as taken:
                listening.listen(LOOPBACK, port)
            assert taken.value.reason is Reason.PORT_IN_USE
            for _ in range(8):
                socket.create_connection((LOOPBACK, port), timeout=30).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, port), timeout=30)


def test_a_port_that_another_one_serves_is_found_out() -> None:
    with socket.socket() as other:
        # As another controller with workers would have it.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((LOOPBACK, 0))
        other.listen()
        with pytest.raises(LocalError) as taken, listening.reserved(LOOPBACK, other.getsockname()[1]):
            pass
    assert taken.value.reason is Reason.PORT_IN_USE


@contextlib.asynccontextmanager
async def _worker_at(path: Path, value: float, why: dict[str, str] | None = None) -> AsyncIterator[None]:
    async def why_not_ready() -> dict[str, str] | None:
        return why

    source = Source("controller", lambda: [gauge("ostiary_test_value", "Of a test.", value)], why_not_ready)
    async with MetricsServer(source, None, path):
        yield


async def test_metrics_of_workers_are_told_apart_and_never_added_up(tmp_path: Path) -> None:
    members = [Member(number, tmp_path / f"{number}.sock", serves=True, restarts=number) for number in (1, 2, 3)]
    parent = WorkerMetrics(source_of("controller", lambda: members), None, tmp_path / "all.sock", lambda: members)
    async with parent, _worker_at(members[0].socket, 5), _worker_at(members[1].socket, 7):
        text = (await ask(tmp_path / "all.sock", "/metrics")).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    # The third one answers nobody: the others are shown all the same.
    assert {sample.labels["worker"]: sample.value for sample in families["ostiary_test_value"].samples} == {
        "1": 5.0,
        "2": 7.0,
    }
    restarts = families["ostiary_controller_worker_restarts"].samples
    assert {sample.labels["worker"]: sample.value for sample in restarts} == {"1": 1.0, "2": 2.0, "3": 3.0}
    assert text.count("# TYPE ostiary_build_info") == 1


def test_a_merged_exposition_keeps_labels() -> None:
    text = '# HELP a_total A.\n# TYPE a_total counter\na_total{kind="x"} 3.0\n'
    assert b'a_total{kind="x",worker="2"} 3.0' in merged("", {"2": text})


@pytest.mark.parametrize("serves", [True, False])
async def test_all_workers_must_be_ready(tmp_path: Path, serves: bool) -> None:
    members = [Member(number, tmp_path / f"{number}.sock", serves=serves, restarts=0) for number in (1, 2)]
    source = source_of("controller", lambda: members)
    why = await source.why_not_ready()
    assert why is not None
    assert "worker 1 does not" in why["detail"]
    async with _worker_at(members[0].socket, 1):
        async with _worker_at(members[1].socket, 1, {"reason": "unavailable", "detail": "database: away"}):
            why = await source.why_not_ready()
            assert why is not None
            assert ("worker 2: database: away" in why["detail"]) is serves
        async with _worker_at(members[1].socket, 1):
            assert (await source.why_not_ready() is None) is serves


async def _ended(
    code: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, silent_max_s: float = 60
) -> tuple[float, int]:
    """Runs a stand-in for the worker's program and returns what its parent learnt."""
    monkeypatch.setattr(worker_process, "_CHILD", ("-c", code))
    monkeypatch.setattr(worker_process, "CHECK_S", 0.05)
    changes: list[bool] = []
    one = Worker(
        1,
        (),
        (),
        notices=folder / "n",
        metrics=folder / "m",
        changed=lambda: changes.append(one.serves),
        silent_max_s=silent_max_s,
    )
    async with asyncio.timeout(60):
        ended = await one.run_once()
    assert changes in ([], [True, False])
    return ended


NOTIFY = (
    "import os,socket,sys;s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.connect(os.environ['NOTIFY_SOCKET']);"
)


async def test_a_worker_whose_loop_does_not_turn_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = f"{NOTIFY}s.send(b'READY=1');sys.stdin.read()"
    served_s, code = await _ended(stuck, tmp_path, monkeypatch, silent_max_s=0.2)
    assert served_s > 0
    assert code == -9


async def test_a_worker_that_never_served_is_told_from_one_that_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await _ended("raise SystemExit(2)", tmp_path, monkeypatch) == (0.0, 2)
    served_s, code = await _ended(f"{NOTIFY}s.send(b'READY=1\\nSTATUS=x')", tmp_path, monkeypatch)
    assert served_s > 0
    assert code == 0


async def _crew(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, until: str = "") -> int:
    """Runs two stand-ins, which know ``number`` and ``folder``, until the crew ends or ``until`` is its status."""
    prelude = f"import pathlib,time;{NOTIFY}number=sys.argv[1];folder=pathlib.Path({str(folder)!r})\n"
    monkeypatch.setattr(worker_process, "_CHILD", ("-c", prelude + code))
    life = Lifecycle()
    told: list[str] = []

    def ready(text: str = "") -> None:
        told.append(text)
        life.stop.set()

    monkeypatch.setattr(life, "ready", ready)
    settings = Settings(state_dir=folder, database_url="postgresql://a/b", workers=2)
    async with asyncio.timeout(60):
        code_of_parent = await Crew(settings, (), life, (), folder).run()
    assert told == ([until] if until else [])
    return code_of_parent


async def test_a_worker_that_served_and_ends_while_another_starts_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The second one serves when the first has come back.
    code = """
runs = folder / "runs"
if number == "1":
    with runs.open("a") as file:
        file.write("x")
while number == "2" and not (folder / "back").exists():
    time.sleep(0.01)
s.send(b"READY=1")
if number == "1" and runs.read_text() == "x":
    raise SystemExit(1)
(folder / "back").touch()
sys.stdin.read()
"""
    assert await _crew(code, tmp_path, monkeypatch, until="2 of 2 workers serve on *:8443") == 0
    assert (tmp_path / "runs").read_text() == "xx"


async def test_a_worker_that_cannot_start_ends_the_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
if number == "2":
    raise SystemExit(2)
s.send(b"READY=1")
sys.stdin.read()
"""
    assert await _crew(code, tmp_path, monkeypatch) == 2
