"""The control socket's verbs: who may, and what they do."""

import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from client.daemon.access_control import check_verb, may_change_trust
from client.daemon.activity import Activity
from client.daemon.asking import AccessDesk
from client.daemon.doctor import Doctor
from client.daemon.log_buffer import LINES_MAX, LogBuffer
from client.daemon.ownership import Asker, Ownership
from client.daemon.ping import Pinger
from client.daemon.reach import FRESH_S, Reach
from client.daemon.report import Reporter
from client.daemon.session import Session
from client.daemon.sign_in import SignInPrompt
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.status_socket import Emit, Peer

VERIFY_MAX_S: Final = 20.0
_LINES_DEFAULT: Final = 100
_UIDS: Final = 2**32 - 1

Verb = Callable[[Mapping[str, Any], Peer, Emit], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Desk:
    """Whom the verbs ask. ``more`` are further verbs by name; each has its line in ``access_control.RIGHTS``, too."""

    session: Session
    reporter: Reporter
    doctor: Doctor
    reach: Reach
    pinger: Pinger
    activity: Activity
    logs: LogBuffer
    owner: Callable[[], Ownership]
    more: dict[str, Verb] = field(default_factory=dict)


class Verbs:
    """The handler of the status socket.

    Args:
        desk: whom to ask.
        gid: the group that may use the daemon.
    """

    def __init__(self, desk: Desk, *, gid: int | None) -> None:
        self._desk = desk
        self._access = AccessDesk(desk.session)
        self._gid = gid

    async def handle(self, verb: str, args: Mapping[str, Any], peer: Peer, emit: Emit) -> Mapping[str, Any]:
        """Carries out one verb. Raises OstiaryError."""
        desk = self._desk
        check_verb(verb, peer, gid=self._gid, owner=desk.owner().uid())
        match verb:
            case "status":
                return await self._status(args)
            case "resources":
                return {**desk.reporter.resources(), "state": desk.session.state}
            case "explain":
                return {**await desk.reporter.explain(args), "state": desk.session.state}
            case "ping":
                return await desk.pinger.run(args, emit)
            case "request":
                return await self._access.request(args)
            case "requests":
                return await self._access.list()
            case "withdraw":
                return await self._access.withdraw(args)
            case "doctor":
                return await desk.doctor.run()
            case "logs":
                return await self._show_logs(args, emit)
            case "events":
                return await self._show_events(args, emit)
            case "version":
                return desk.reporter.version()
        if verb in desk.more:
            return await desk.more[verb](args, peer, emit)
        return await self._change(verb, args, peer, emit)

    async def _status(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """``verify_s``: check the ways into the networks first, for at most so long; ``fresh_s``: unless done since."""
        seconds = _seconds(args, "verify_s", 0.0)
        if seconds > 0:
            await self._desk.reach.verify(min(seconds, VERIFY_MAX_S), fresh_s=_seconds(args, "fresh_s", FRESH_S))
        return self._desk.reporter.status()

    async def _change(self, verb: str, args: Mapping[str, Any], peer: Peer, emit: Emit) -> Mapping[str, Any]:
        async def prompt(shown: SignInPrompt) -> None:
            await emit(shown.event())

        session, owner = self._desk.session, self._desk.owner
        asker = Asker(
            prompt,
            may_change_trust(peer),
            admit=lambda: check_verb(verb, peer, gid=self._gid, owner=owner().uid()),
            signed_in=lambda: owner().take(_owner(args, peer)),
            signed_out=lambda: owner().give_up(),
        )
        match verb:
            case "up":
                await session.up(args, asker)
            case "login":
                await session.login(asker)
            case "auth":
                await session.extend(args, asker)
            case "down":
                await session.down(asker)
            case "logout":
                await session.logout(asker)
        return await self._status(args)

    async def _show_logs(self, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        count = _count(args)
        lines = self._desk.logs.last(min(count, LINES_MAX))
        if args.get("follow") is not True:
            return {"lines": lines}
        for line in lines:
            await emit({"kind": "log", "line": line})
        async with contextlib.aclosing(self._desk.logs.follow()) as following:
            async for line in following:
                await emit({"kind": "log", "line": line})
        return {"lines": []}

    async def _show_events(self, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        activity, count, kinds = self._desk.activity, _count(args), _kinds(args)
        if args.get("follow") is not True:
            return {"events": [happening.as_json() for happening in activity.last(count, kinds)]}
        with activity.watching() as queue:
            for happening in activity.last(count, kinds):
                await emit(happening.as_json())
            while True:
                happening = await queue.get()
                if kinds is None or happening.kind in kinds:
                    await emit(happening.as_json())


def _count(args: Mapping[str, Any]) -> int:
    count = args.get("n", _LINES_DEFAULT)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise LocalError(Reason.INVALID_INPUT, "n is a number of lines")
    return count


def _kinds(args: Mapping[str, Any]) -> frozenset[str] | None:
    """Which happenings are wanted; None: all."""
    kinds = args.get("kinds")
    if kinds is None:
        return None
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        raise LocalError(Reason.INVALID_INPUT, "kinds is a list of texts")
    return frozenset(kinds)


def _seconds(args: Mapping[str, Any], name: str, default: float) -> float:
    value = args.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise LocalError(Reason.INVALID_INPUT, f"{name} is a number of seconds")
    return float(value)


def _owner(args: Mapping[str, Any], peer: Peer) -> int:
    """Whose the sign-in is: the asker's; root may say for whom it asks (`sudo ostiary up`)."""
    named = args.get("owner_uid")
    if peer.uid == 0 and isinstance(named, int) and not isinstance(named, bool) and 0 <= named < _UIDS:
        return named
    return peer.uid
