"""The digest of routes and rules moves when one of them does, and only then."""

import socket
from pathlib import Path

import pytest
from client_netns import Namespace, tun_world

from client.host.route_digest import route_digest

DIGEST = "from client.host.route_digest import route_digest; print(route_digest().hex())"


def test_nothing_moved_nothing_differs(inside: Namespace) -> None:
    inside.run("ip", "route", "add", "blackhole", "10.9.0.0/24")
    assert inside.python(DIGEST) == inside.python(DIGEST)


@pytest.mark.parametrize(
    "change",
    [
        ("ip", "route", "add", "blackhole", "10.9.1.0/24"),
        ("ip", "route", "add", "blackhole", "10.9.1.0/24", "table", "29555"),
        ("ip", "-6", "route", "add", "blackhole", "fd09::/64"),
        ("ip", "rule", "add", "pref", "100", "table", "77"),
        ("ip", "-6", "rule", "add", "pref", "100", "table", "77"),
        ("ip", "rule", "del", "pref", "32767"),
    ],
)
def test_t52_each_kind_of_change_is_seen(inside: Namespace, change: tuple[str, ...]) -> None:
    before = inside.python(DIGEST)
    inside.run(*change)
    assert inside.python(DIGEST) != before


def test_a_host_without_netlink_has_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket, "socket", refuse)
    assert route_digest() is None


def test_t52_what_is_taken_away_twice_is_put_back_twice(inside: Namespace, tmp_path: Path) -> None:
    with tun_world(inside, tmp_path) as world:
        for _ in range(2):
            world.tell(do="repair")
            assert world.wait_for("repaired")["what"] == []
            inside.run("ip", "rule", "del", "pref", "5200")
            world.tell(do="repair")
            assert world.wait_for("repaired")["what"] == ["rule for IPv4"]
        world.stop()
