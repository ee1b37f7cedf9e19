"""Programs of the lab end with it, and nobody else's do."""

import signal
import subprocess
from pathlib import Path

from lab.processes import Processes, wait_for


def test_what_an_ended_program_left_behind_is_ended_too(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    leader = processes.daemon("here", "leader", "/bin/sh", "-c", "sleep 60 & echo $!")
    assert leader.wait(30) == 0
    left = int(processes.log("leader"))
    state = Path(f"/proc/{left}/stat")
    assert state.exists()
    processes.stop_all()
    # Nobody may be there to bury it.
    wait_for("its end", lambda: not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z", 10)


def test_a_number_that_is_another_programs_by_now_is_left_alone(tmp_path: Path) -> None:
    """The kernel gives numbers out again after 32,768 processes, which a run of all tests starts in minutes."""
    processes = Processes(tmp_path)
    ended = processes.daemon("here", "ended", "/bin/true")
    ended.wait(30)
    stranger = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
    try:
        ended.pid = stranger.pid
        processes.stop_all()
        stranger.send_signal(signal.SIGTERM)
        assert stranger.wait(30) == -signal.SIGTERM
    finally:
        stranger.kill()
        stranger.wait(30)
