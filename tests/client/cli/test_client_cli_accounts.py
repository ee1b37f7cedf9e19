"""`ostiary accounts` and `ostiary switch`: what is asked and what is shown."""

from command_line import CommandLine
from fake_daemon import FakeDaemon

ACCOUNTS = {
    "accounts": [
        {"account": "default", "active": False, "user": "Grace", "controller": "https://c.example", "signed_in": True},
        {"account": "acme", "active": True, "user": None, "controller": None, "signed_in": False},
    ]
}


def test_accounts_show_which_one_is_active(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["accounts"] = ACCOUNTS
    lines = ostiary("accounts").out.splitlines()
    assert lines[1].split() == ["default", "Grace", "https://c.example", "yes"]
    assert lines[2].split() == ["*", "acme", "-", "-", "no"]
    assert ostiary("accounts", "--json").json["accounts"][1]["active"]


def test_switch_says_what_is_next(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["switch"] = ACCOUNTS
    ran = ostiary("switch", "acme", "--new")
    assert ran.code == 0
    assert ran.out.splitlines()[-1].startswith("next: sudo ostiary up ")
    assert daemon.asked == [("switch", {"account": "acme", "new": True, "remove": False})]
    assert ostiary("switch", "acme", "--new", "--remove").code == 2
