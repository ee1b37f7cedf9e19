"""The measuring itself: what /proc says, what iperf3 says, which engine gets which metric, when a run does not begin."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import machine, run
from bench.engines import ENGINES, QUICK
from bench.engines.engine import GROUPS, missing_programs, private
from bench.engines.stunnel import haproxy_configuration, stunnel_configuration
from bench.metrics import METRICS
from bench.metrics import QUICK as QUICK_METRICS
from bench.metrics.datagrams import arrived
from bench.metrics.measure import Plan, scaled
from bench.metrics.wires import round_trips
from bench.suite import wanted
from bench.usage import Machine, cpu_of, descendants, machine_cpu, parse_machine, rss_of
from lab.processes import LabError


def test_the_machines_time_is_busy_idle_or_stolen() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    line = " ".join(str(ticks * value) for value in (1, 2, 3, 100, 50, 4, 5, 6, 7, 8))
    assert parse_machine(f"cpu  {line}\ncpu0 1 1\n") == Machine(15.0, 6.0, 171.0)
    earlier = machine_cpu()
    assert (machine_cpu() - earlier).total >= 0


def test_a_childs_work_is_its_parents() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(3_000_000))']); print(1, flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert cpu_of([process.pid]) > 0
        assert rss_of([process.pid]) > 1
        assert process.pid in descendants([os.getpid()])
        assert descendants([process.pid]) == {process.pid}
    finally:
        process.communicate(b"\n", timeout=20)
    assert cpu_of([process.pid]) == rss_of([process.pid]) == 0


def end(sent: int, received: int, lost: int, seconds: float = 2.0) -> dict[str, Any]:
    return {
        "sum_sent": {"packets": sent, "bytes": sent * 1200, "seconds": seconds},
        "sum_received": {"packets": received, "lost_packets": lost},
    }


def test_datagrams_that_came_are_goodput_and_the_rest_is_loss() -> None:
    goodput, loss = arrived(end(1000, 1000, 250))
    assert goodput == pytest.approx(750 * 1200 * 8 / 2 / 1e6)
    assert loss == pytest.approx(25.0)


def test_a_lost_tail_is_loss_too() -> None:
    """The receiver numbers what it knows of: what never came at the end is not in its count."""
    assert arrived(end(1000, 600, 100))[1] == pytest.approx(50.0)
    assert arrived(end(1000, 1000, 0))[1] == 0.0
    assert arrived(end(0, 0, 0)) == (0.0, 0.0)


def test_round_trips_are_what_distance_adds() -> None:
    assert round_trips({0: 0.9, 20: 0.005 + 3 * 0.020, 100: 0.005 + 3 * 0.100}) == pytest.approx(3.0)


def test_engines_have_names_classes_and_places_of_their_own() -> None:
    assert len({engine.name for engine in ENGINES}) == len({engine.label for engine in ENGINES}) == len(ENGINES)
    assert {engine.group for engine in ENGINES} == set(GROUPS)
    assert set(QUICK) <= {engine.name for engine in ENGINES}
    assert set(QUICK_METRICS) <= set(METRICS)
    daemons = [name for engine in ENGINES for role, names in engine.roles.items() if role == "client" for name in names]
    # Ours with a relay and without one are the same client; all other programs are one engine's.
    assert sorted(daemons) == sorted([*set(daemons), "client"])


def test_a_metric_is_for_engines_that_carry_it() -> None:
    by_name = {engine.name: engine.__new__(engine) for engine in ENGINES}
    assert wanted(METRICS["udp"], by_name["openvpn"])
    assert not wanted(METRICS["udp"], by_name["stunnel"])
    assert wanted(METRICS["revocation"], by_name["ostiary-tun"])
    assert not wanted(METRICS["revocation"], by_name["routed"])


def test_short_transfers_make_small_rounds_and_long_ones_no_larger() -> None:
    short, whole, long = scaled(2.0), scaled(8.0), scaled(60.0)
    assert whole == Plan()
    assert (short.seconds, short.short, short.transfer) == (2.0, 1.0, whole.transfer // 4)
    assert 100 <= short.connections < whole.connections == long.connections
    assert (long.seconds, long.transfer) == (60.0, whole.transfer)


def test_what_is_not_installed_is_told() -> None:
    assert missing_programs("true") == ""
    assert "no-such-program: not installed" in missing_programs("true", "no-such-program")


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    path = private(tmp_path / "key", "secret")
    assert path.stat().st_mode & 0o777 == 0o600
    assert private(path, "other").read_text() == "other"


def test_configurations_lead_each_port() -> None:
    text = stunnel_configuration(
        Path("/x"), "client", {"127.0.0.1:1": "192.0.2.2:2"}, client=True, certificate="/c.pem"
    )
    assert "verifyPeer = yes" in text
    assert "accept = 127.0.0.1:1\nconnect = 192.0.2.2:2" in text
    relay = haproxy_configuration({7: 30_007})
    assert "bind 203.0.113.10:30007" in relay
    assert "server office 192.0.2.2:30007" in relay


def test_a_busy_machine_is_named_and_a_run_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    looks = iter([(0.9, "ffmpeg (7) 180 %"), (0.05, "")])
    monkeypatch.setattr(machine, "busy_part", lambda: next(looks))
    assert machine.wait_until_idle(60, said.append) == 0.05
    assert said == ["waiting: 90 % of all cores are busy (ffmpeg (7) 180 %)"]
    monkeypatch.setattr(machine, "busy_part", lambda: (0.9, "ffmpeg (7) 180 %"))
    with pytest.raises(LabError, match=r"not idle: 90 % .*ffmpeg"):
        machine.wait_until_idle(0, said.append)


def test_the_watch_sees_who_works() -> None:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        part, who = machine.busy_part(0.5)
    finally:
        process.kill()
        process.wait(10)
    assert part > 0.05
    assert "%" in who


def test_locks_are_held_while_measuring_and_waited_for_with_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(tmp_path / name) for name in ("one", "two")]

    def free(path: str) -> bool:
        with open(path, "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    with run.held(paths):
        assert not any(map(free, paths))
        monkeypatch.setattr(run, "LOCK_DEADLINE_S", 0.05)
        with pytest.raises(LabError, match=r"not free within 0\.05 s"), run.held(paths[1:]):
            pytest.fail("two hold one lock")
    assert all(map(free, paths))


def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["run", "--engines", "routed,wormhole"])
    with pytest.raises(SystemExit) as caught:
        run.main()
    assert caught.value.code == 2
    assert "no such engine: wormhole; there are: ostiary-tun" in capsys.readouterr().err
