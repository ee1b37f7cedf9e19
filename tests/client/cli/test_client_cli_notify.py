"""`ostiary notify`: which happenings are worth a bubble, and that they arrive over a real session bus."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from fake_daemon import FakeDaemon

from client.cli.notifying import (
    BURST,
    BURST_S,
    SAME_WITHIN_S,
    Bubble,
    Chooser,
    _Desktop,
    bus_address,
    follow,
    is_wanted,
)
from protocol.errors import LocalError
from protocol.reasons import Reason

DBUS_DAEMON = shutil.which("dbus-daemon")
NAME = "org.freedesktop.Notifications"


def denied(host: str = "db", **more: Any) -> dict[str, Any]:
    said = {"reason": "port_not_allowed", "sentence": "The resource does not include this port.", "next": "Ask."}
    return {"kind": "denied", "host": host, "port": 22, "transport": "tcp", **said, **more}


def test_a_denial_is_told_once_a_minute() -> None:
    chooser = Chooser()
    first = chooser.choose(denied(resource_name="Payroll"), 0.0)
    assert first == Bubble("Payroll refused", "The resource does not include this port.\nnext: Ask.")
    assert chooser.choose(denied(resource_name="Payroll"), SAME_WITHIN_S - 1) is None
    assert chooser.choose(denied(resource_name="Payroll"), SAME_WITHIN_S + 1) is not None


def test_what_goes_well_is_told_to_nobody() -> None:
    for kind in ("held", "allowed", "closed"):
        assert Chooser().choose({**denied(), "kind": kind}, 0.0) is None
    assert Chooser().choose({"kind": "state", "state": "online"}, 0.0) is None


def test_a_storm_is_a_few_bubbles_but_a_sign_in_is_always_told() -> None:
    chooser = Chooser()
    shown = [chooser.choose(denied(f"host-{number}"), 1.0) for number in range(50)]
    assert sum(bubble is not None for bubble in shown) == BURST
    needed = chooser.choose({"kind": "state", "state": "sign_in_required"}, 2.0)
    assert needed is not None
    assert needed.urgent
    assert "ostiary login" in needed.text
    assert chooser.choose(denied("later"), 3.0 + BURST_S) is not None


@asynccontextmanager
async def session_bus(folder: Path) -> AsyncIterator[str]:
    """A real bus of this test's own."""
    address = f"unix:path={folder / 'bus'}"
    process = subprocess.Popen((str(DBUS_DAEMON), "--session", f"--address={address}", "--nofork", "--nopidfile"))
    try:
        async with asyncio.timeout(60):
            while not (folder / "bus").is_socket():
                await asyncio.sleep(0.02)
        yield address
    finally:
        process.terminate()
        process.wait(20)


@asynccontextmanager
async def desktop(address: str) -> AsyncIterator["asyncio.Queue[list[Any]]"]:
    """A desktop that takes notifications."""
    taken: asyncio.Queue[list[Any]] = asyncio.Queue()
    bus = await MessageBus(bus_address=address).connect()

    def handle(message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL or message.member != "Notify":
            return None
        taken.put_nowait(message.body)
        return Message.new_method_return(message, "u", [1])

    bus.add_message_handler(handle)
    await bus.request_name(NAME)
    try:
        yield taken
    finally:
        bus.disconnect()


needs_bus = pytest.mark.skipif(DBUS_DAEMON is None, reason="dbus-daemon is not installed")


@needs_bus
async def test_a_denial_reaches_the_desktop_as_text_not_markup(tmp_path: Path, daemon: FakeDaemon) -> None:
    daemon.events["events"] = [denied(sentence="<b>No\x1b[2J</b>")]
    daemon.hang.add("events")
    async with session_bus(tmp_path) as address, desktop(address) as taken, _Desktop(address) as shown:
        following = asyncio.create_task(follow(daemon.path, shown.show))
        async with asyncio.timeout(60):
            name, _, _, title, text, *_ = await taken.get()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert (name, title) == ("Ostiary", "db:22 refused")
    assert text == "&lt;b&gt;No\\x1b[2J&lt;/b&gt;\nnext: Ask."


@needs_bus
async def test_a_bus_without_a_desktop_is_named(tmp_path: Path) -> None:
    async with session_bus(tmp_path) as address, _Desktop(address) as shown:
        with pytest.raises(LocalError, match="nobody shows notifications here") as caught:
            await shown.show(Bubble("a", "b"))
    assert caught.value.reason is Reason.UNAVAILABLE


def test_without_a_session_bus_it_ends_and_says_so(
    ostiary: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(LocalError):
        bus_address({"XDG_RUNTIME_DIR": str(tmp_path)})
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path / 'nowhere'}")
    ran = ostiary("notify", "--test")
    assert ran.code == 3
    assert "D-Bus" in ran.err
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    ran = ostiary("notify", "--test")
    assert ran.code == 3
    assert ran.err.endswith("next: Run it in a terminal of your desktop.\n"), "waiting brings none"


@pytest.mark.parametrize(
    ("setting", "shown"), [("all", [True, True]), ("sign-in", [False, True]), ("off", [False] * 2)]
)
def test_people_choose_what_is_shown(setting: str, shown: list[bool]) -> None:
    items = [denied(), {"kind": "state", "state": "sign_in_required"}]
    assert [is_wanted(item, setting) for item in items] == shown
