"""`ostiary set` and `ostiary get`: what is asked of the daemon and what is shown."""

from command_line import CommandLine
from fake_daemon import FakeDaemon

from protocol.errors import RefusedError
from protocol.reasons import Reason

SETTINGS_STEP = "next: `ostiary get` shows every setting, and what it means."

SETTINGS = {
    "settings": [{"key": "log-level", "value": "debug", "default": "info", "set": True, "help": "Verbosity."}],
}


def test_set_sends_key_and_value_and_shows_the_result(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["set"] = SETTINGS
    ran = ostiary("set", "log-level=debug")
    assert (ran.code, ran.out) == (0, "log-level = debug\n")
    assert daemon.asked == [("set", {"key": "log-level", "value": "debug"})]
    assert ostiary("set", "log-level").code == 2
    assert ostiary("set", "=debug").code == 2


def test_get_teaches(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["get"] = SETTINGS
    assert ostiary("get").out.splitlines()[1].split() == ["log-level", "debug", "set", "Verbosity."]
    assert ostiary("get", "log-level").out == "debug\n"
    assert ostiary("get", "log-level", "--json").json["default"] == "info"
    wrong = ostiary("get", "loudness")
    assert wrong.code == 2
    assert "there are log-level" in wrong.err
    assert wrong.err.splitlines()[-1] == SETTINGS_STEP


def test_a_value_that_is_refused_ends_with_where_it_is_explained(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["set"] = RefusedError(Reason.INVALID_INPUT, "log-level: debug, info, warning or error")
    ran = ostiary("set", "log-level=loud")
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "error: The input is not valid. (log-level: debug, info, warning or error)",
        SETTINGS_STEP,
    ]
    daemon.results["set"] = RefusedError(Reason.NEEDS_ROOT, "log-level=debug")
    assert ostiary("set", "log-level=debug").code == 6


def test_what_waits_for_a_restart_is_said(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    waiting = {"key": "mtu", "value": "1400", "default": "65500", "set": True, "restart_needed": True, "help": "MTU."}
    daemon.results |= {"set": {"settings": [waiting]}, "get": {"settings": [waiting]}}
    ran = ostiary("set", "mtu=1400")
    assert (ran.code, ran.out) == (0, "mtu = 1400\n")
    assert ran.err.splitlines() == [
        "It counts from the daemon's next start on.",
        "next: Restart the daemon, for example by `sudo systemctl restart ostiaryd`.",
    ]
    assert "after a restart" in ostiary("get").out
