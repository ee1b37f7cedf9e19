"""`ostiary notify`: tells the person at the desktop what was denied or cut, and when a sign-in is needed.

A process of the user, started by the user (or with the session), over the user's own session bus
(org.freedesktop.Notifications 1.2); the daemon, which is root's, never touches it. It reads what ``ostiary events`` reads.
"""

import asyncio
import html
import os
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from client.cli import render
from client.cli.control_socket import socket_path
from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from runtime.console import OK, AdviceError, exit_on_error, printable, say

SAME_WITHIN_S: Final = 60.0
"""The same trouble again within this time is not shown again."""
BURST: Final = 4
BURST_S: Final = 60.0
"""So many at most in this time: a desktop full of bubbles helps nobody."""
RETRY_S: Final = 5.0
BUS_DEADLINE_S: Final = 5.0
_SEEN_MAX: Final = 200
SETTING: Final = "notifications"
_STATES: Final = {
    "sign_in_required": ("Sign-in needed", "You are signed out of your company's network.", "ostiary login"),
    "sign_in_ending": ("Sign-in ends soon", "What is open stays open if you sign in before.", "ostiary auth"),
}

Show = Callable[["Bubble"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Bubble:
    """What is shown: a line, and a text below it."""

    title: str
    text: str
    urgent: bool = False


class Chooser:
    """Which happenings are worth a bubble. Pure: ``now`` is monotonic seconds."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._shown: deque[float] = deque(maxlen=BURST)

    def choose(self, item: Mapping[str, Any], now: float) -> Bubble | None:
        """Returns the bubble for one happening; None when it is none, was just shown, or there were too many."""
        made = self._made(item)
        if made is None:
            return None
        key, bubble = made
        if now - self._seen.get(key, float("-inf")) < SAME_WITHIN_S:
            return None
        if not bubble.urgent and len(self._shown) == BURST and now - self._shown[0] < BURST_S:
            return None
        self._seen.pop(key, None)
        self._seen[key] = now
        while len(self._seen) > _SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        self._shown.append(now)
        return bubble

    @staticmethod
    def _made(item: Mapping[str, Any]) -> tuple[str, Bubble] | None:
        kind = item.get("kind")
        if kind == "state" and item.get("state") in _STATES:
            title, text, command = _STATES[item["state"]]
            return title, Bubble(title, f"{text}\nnext: {command}", urgent=True)
        if kind not in ("denied", "cut"):
            return None
        target = str(item.get("resource_name") or "") or render.target_of(item)
        word = "refused" if kind == "denied" else "was cut"
        step = f"\nnext: {item['next']}" if item.get("next") else ""
        text = f"{item.get('sentence', '')}{step}"
        return f"{kind} {render.target_of(item)} {item.get('reason')}", Bubble(f"{target} {word}", text)


def notify(*, once: bool) -> int:
    """Shows bubbles until it is ended; ``once``: a test bubble, and no more. Exit code 3 without a session bus."""
    with exit_on_error():
        try:
            asyncio.run(_run(once=once))
        except KeyboardInterrupt:
            return OK
    return OK


def bus_address(env: Mapping[str, str]) -> str:
    """Returns where the session bus is. Raises AdviceError(UNAVAILABLE) when this session has none."""
    if env.get("DBUS_SESSION_BUS_ADDRESS"):
        return env["DBUS_SESSION_BUS_ADDRESS"]
    runtime = env.get("XDG_RUNTIME_DIR")
    if runtime and (Path(runtime) / "bus").is_socket():
        return f"unix:path={runtime}/bus"
    raise AdviceError(
        Reason.UNAVAILABLE,
        "it has no D-Bus",
        sentence="Notifications are shown on a desktop, and this session has none.",
        next_step="Run it in a terminal of your desktop.",
    )


async def _run(*, once: bool) -> None:
    if os.geteuid() == 0 and "DBUS_SESSION_BUS_ADDRESS" not in os.environ:
        raise AdviceError(
            Reason.INVALID_INPUT,
            "root has no desktop",
            sentence="Notifications are shown on your own desktop.",
            next_step="Run it as yourself, without sudo.",
        )
    async with _Desktop(bus_address(os.environ)) as desktop:
        if once:
            await desktop.show(Bubble("Ostiary", "Notifications work: you are told here what is refused, and why."))
            return
        say("showing what is denied or cut; Ctrl-C ends it")
        await follow(socket_path(os.environ), desktop.show)


async def follow(socket: Path, show: Show) -> None:
    """Follows the daemon's events for ever, also over its restarts. Raises what is not to be mended by waiting."""
    from runtime.status_socket import call
    from runtime.tasks import TaskScope

    chooser, loop = Chooser(), asyncio.get_running_loop()
    queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(100)

    def take(item: Mapping[str, Any]) -> None:
        if not queue.full():
            queue.put_nowait(item)

    async def show_all() -> None:
        while True:
            item = await queue.get()
            bubble = chooser.choose(item, loop.time())
            if bubble is not None and is_wanted(item, await _setting(socket)):
                await show(bubble)

    async def listen() -> None:
        while True:
            try:
                await call(socket, "events", {"n": 0, "follow": True}, deadline_s=None, on_event=take)
            except OstiaryError as error:
                if error.reason is not Reason.DAEMON_NOT_RUNNING:
                    raise
            await asyncio.sleep(RETRY_S)

    async with TaskScope("notify") as scope:
        scope.spawn(show_all(), name="show")
        scope.spawn(listen(), name="listen")
        await scope.join()


def is_wanted(item: Mapping[str, Any], setting: str) -> bool:
    """Whether a happening is shown under the setting ``notifications`` (`ostiary set`)."""
    return setting == "all" or (setting == "sign-in" and item.get("kind") == "state")


async def _setting(socket: Path) -> str:
    """Returns what the daemon's setting ``notifications`` says now; an older daemon has none, and a dead one says nothing."""
    from runtime.status_socket import call

    try:
        answer = await call(socket, "get")
    except OstiaryError:
        return "all"
    found = (item for item in answer.get("settings") or () if isinstance(item, dict))
    return next((str(item.get("value")) for item in found if item.get("key") == SETTING), "all")


class _Desktop:
    """The session's notification service; an async context manager. Raises LocalError(UNAVAILABLE)."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._bus: Any = None

    async def __aenter__(self) -> "_Desktop":
        from dbus_fast import AuthError, DBusError, InvalidAddressError
        from dbus_fast.aio import MessageBus

        try:
            async with asyncio.timeout(BUS_DEADLINE_S):
                self._bus = await MessageBus(bus_address=self._address).connect()
        except (OSError, EOFError, AuthError, DBusError, InvalidAddressError, TimeoutError) as exc:
            raise LocalError(Reason.UNAVAILABLE, f"the session's D-Bus: {exc}") from exc
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bus.disconnect()

    async def show(self, bubble: Bubble) -> None:
        """Shows one bubble. What came from elsewhere is text, never markup (T-74)."""
        from dbus_fast import Message, MessageType, Variant

        body = [
            "Ostiary",
            0,
            "network-vpn",
            printable(bubble.title),
            "\n".join(html.escape(printable(line), quote=False) for line in bubble.text.split("\n")),
            [],
            {"urgency": Variant("y", 2 if bubble.urgent else 1), "desktop-entry": Variant("s", "ostiary")},
            -1,
        ]
        message = Message(
            destination="org.freedesktop.Notifications",
            path="/org/freedesktop/Notifications",
            interface="org.freedesktop.Notifications",
            member="Notify",
            signature="susssasa{sv}i",
            body=body,
        )
        try:
            async with asyncio.timeout(BUS_DEADLINE_S):
                reply = await self._bus.call(message)
        except (TimeoutError, EOFError, OSError) as exc:
            raise LocalError(Reason.UNAVAILABLE, f"the session's D-Bus: {str(exc) or 'no answer'}") from exc
        if reply is not None and reply.message_type is MessageType.ERROR:
            raise LocalError(Reason.UNAVAILABLE, f"nobody shows notifications here: {reply.error_name}")
