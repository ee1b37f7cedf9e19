"""`ostiary auth`: what is asked of the daemon, and the exit code that says whether it is due."""

import time

import pytest
from command_line import CommandLine
from fake_daemon import FakeDaemon

HOUR = 3600


def test_auth_asks_the_daemon_to_extend_the_sign_in(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["auth"] = {"state": "online", "user": "grace@corp.example"}
    assert ostiary("auth", "--within", "12h", "--no-browser").code == 0
    ((verb, args),) = daemon.asked
    assert (verb, args["within_s"]) == ("auth", 12 * HOUR)
    daemon.asked.clear()
    assert ostiary("auth").code == 0
    ((verb, args),) = daemon.asked
    assert verb == "auth"
    assert "within_s" not in args


@pytest.mark.parametrize(
    ("status", "options", "code", "says"),
    [
        ({"state": "online", "session_expires": 30 * HOUR}, (), 0, "in 30 h"),
        ({"state": "online", "session_expires": 20 * HOUR}, (), 4, "in 20 h"),
        ({"state": "online", "session_expires": 20 * HOUR}, ("--within", "1h"), 0, "in 20 h"),
        ({"state": "offline", "session_expires": HOUR / 2}, ("--within", "1h"), 4, "in 30 min"),
        ({"state": "sign_in_required", "session_expires": None}, (), 4, "not signed in"),
        ({"state": "not_configured", "session_expires": None}, (), 4, "not signed in"),
        ({"state": "online", "session_expires": None}, (), 0, "does not end by time"),
    ],
)
def test_check_says_until_when_and_whether_it_is_due(
    ostiary: CommandLine, daemon: FakeDaemon, status: dict[str, object], options: tuple[str, ...], code: int, says: str
) -> None:
    ends = status["session_expires"]
    if isinstance(ends, int | float):
        status = {**status, "session_expires": time.time() + ends + 10}
    daemon.results["status"] = status
    ran = ostiary("auth", "--check", *options)
    assert ran.code == code
    assert says in ran.out or "day" in ran.out
    assert ("next: ostiary auth" in ran.out) == (code == 4)
    assert ostiary("auth", "--check", *options, "--json").json["due"] == (code == 4)


def test_a_time_that_is_none_is_named(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    ran = ostiary("auth", "--within", "soon")
    assert ran.code != 0
    assert "--within" in ran.err
    assert daemon.asked == []
