"""The control socket's verbs: who may, and what they do."""

import contextlib
from collections.abc import Mapping
from typing import Any, Final

from client.daemon.access_control import check_verb, may_change_trust
from client.daemon.asking import AccessDesk
from client.daemon.doctor import Doctor
from client.daemon.log_buffer import LINES_MAX, LogBuffer
from client.daemon.report import Reporter
from client.daemon.session import Session
from client.daemon.sign_in import SignInPrompt
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.status_socket import Emit, Peer

_LINES_DEFAULT: Final = 100


class Verbs:
    """The handler of the status socket."""

    def __init__(
        self, session: Session, reporter: Reporter, doctor: Doctor, logs: LogBuffer, *, gid: int | None
    ) -> None:
        self._session = session
        self._desk = AccessDesk(session)
        self._reporter = reporter
        self._doctor = doctor
        self._logs = logs
        self._gid = gid

    async def handle(self, verb: str, args: Mapping[str, Any], peer: Peer, emit: Emit) -> Mapping[str, Any]:
        """Carries out one verb. Raises OstiaryError."""
        check_verb(verb, peer, gid=self._gid)
        match verb:
            case "status":
                return self._reporter.status()
            case "resources":
                return self._reporter.resources()
            case "explain":
                return await self._reporter.explain(args)
            case "request":
                return await self._desk.request(args)
            case "requests":
                return await self._desk.list()
            case "withdraw":
                return await self._desk.withdraw(args)
            case "doctor":
                return await self._doctor.run()
            case "logs":
                return await self._show_logs(args, emit)
            case "version":
                return self._reporter.version()
        return await self._change(verb, args, peer, emit)

    async def _change(self, verb: str, args: Mapping[str, Any], peer: Peer, emit: Emit) -> Mapping[str, Any]:
        async def prompt(shown: SignInPrompt) -> None:
            await emit(shown.event())

        match verb:
            case "up":
                await self._session.up(args, prompt, may_change=may_change_trust(peer))
            case "login":
                await self._session.login(prompt)
            case "auth":
                await self._session.extend(args, prompt)
            case "down":
                await self._session.down()
            case "logout":
                await self._session.logout()
        return self._reporter.status()

    async def _show_logs(self, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        count = args.get("n", _LINES_DEFAULT)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise LocalError(Reason.INVALID_INPUT, "n is a number of lines")
        lines = self._logs.last(min(count, LINES_MAX))
        if args.get("follow") is not True:
            return {"lines": lines}
        for line in lines:
            await emit({"kind": "log", "line": line})
        async with contextlib.aclosing(self._logs.follow()) as following:
            async for line in following:
                await emit({"kind": "log", "line": line})
        return {"lines": []}
