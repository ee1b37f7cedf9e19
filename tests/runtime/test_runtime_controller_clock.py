"""Which of the kernel's clocks counts: the one that goes on while the host sleeps, and that nobody sets (F-13, F-18)."""

import subprocess
import sys

import pytest

from client.daemon.network_watch import NetworkWatch
from runtime.clock import SystemClock
from runtime.controller_clock import ControllerClock, boot_seconds

ASLEEP_S = 36_000
PROGRAM = """
from runtime.clock import SystemClock
from runtime.controller_clock import boot_seconds
print(round(boot_seconds() - SystemClock().monotonic()))
"""


def test_f18_the_kernels_clocks_differ_by_the_time_that_the_host_slept() -> None:
    # In a time namespace the clocks of one process are what they are on a host that slept for ten hours.
    command = ("unshare", "--time", f"--boottime={ASLEEP_S}", "--fork", sys.executable, "-c", PROGRAM)
    here = round(boot_seconds() - SystemClock().monotonic())
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        pytest.skip(f"no time namespaces here: {done.stderr.strip()}")
    assert abs(int(done.stdout) - here - ASLEEP_S) <= 1


def test_f18_what_the_daemon_looks_at_tells_sleep_from_work() -> None:
    slept = 0.0
    clock = ControllerClock(SystemClock(), lambda: boot_seconds() + slept)
    watch = NetworkWatch(clock.counter, lambda: ("192.0.2.7",), clock.monotonic)
    before = clock.wall()
    slept = ASLEEP_S
    assert watch.look() == f"the host slept for {ASLEEP_S} s"
    clock.learn(0.0, fresh=True)
    # The wall clock of this test did not sleep: what counts is that it is the counter that goes on.
    slept += 60
    assert 60 <= clock.wall() - before < 120
