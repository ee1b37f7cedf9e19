"""The Unix socket by which commands talk to their daemon (T-50, decision D9).

One request per connection, JSON lines::

    -> {"verb": "status", "args": {}}
    <- {"event": {...}}                                       zero or more, for verbs that report progress
    <- {"ok": true, "result": {...}}                          or
    <- {"ok": false, "error": {"reason": code, "detail": str}}

The kernel says who asks (SO_PEERCRED); the handler decides per verb. The socket is in a directory that only its owner and
group may enter. When the asker goes away, its handler is cancelled.
"""

import asyncio
import contextlib
import errno
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import structlog

from protocol.errors import LocalError, OstiaryError, RefusedError, RemoteProtocolError
from protocol.reasons import Reason, reason_from_code
from runtime.files import os_error
from runtime.tasks import TaskScope

REQUEST_MAX_BYTES: Final = 64 * 1024
REPLY_MAX_BYTES: Final = 8 * 1024 * 1024
"""One line; a status with some thousand flows fits."""
REQUEST_DEADLINE_S: Final = 5.0
CONNECTIONS_MAX: Final = 64
CALL_DEADLINE_S: Final = 30.0

_log = structlog.get_logger(__name__)

Result = Mapping[str, Any]
Emit = Callable[[Result], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who asks, according to the kernel."""

    uid: int
    gid: int
    pid: int


Handler = Callable[[str, Mapping[str, Any], Peer, Emit], Awaitable[Result]]
"""``(verb, args, peer, emit) -> result``; raises OstiaryError to refuse (INVALID_INPUT for an unknown verb)."""


class StatusServer:
    """Serves a daemon's socket; an async context manager."""

    def __init__(
        self, path: Path, handler: Handler, *, mode: int = 0o600, directory_mode: int = 0o750, gid: int | None = None
    ) -> None:
        self.path = path
        self._handler = handler
        self._mode = mode
        self._directory_mode = directory_mode
        self._gid = gid
        self._scope = TaskScope("status-socket")
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        try:
            await self._listen()
        except OSError as exc:
            await self._scope.__aexit__(None, None, None)
            raise os_error(exc, self.path) from exc
        except BaseException:
            await self._scope.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        await self._scope.__aexit__(None, None, None)
        with contextlib.suppress(OSError):
            self.path.unlink()

    async def _listen(self) -> None:
        directory = self.path.parent
        if not directory.exists():
            directory.mkdir(mode=self._directory_mode, parents=True)
            directory.chmod(self._directory_mode)
            if self._gid is not None:
                os.chown(directory, -1, self._gid)
        elif self._gid is not None and _waits_for_group(directory):
            os.chown(directory, -1, self._gid)
        _remove_stale(self.path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            # Nobody but us may connect before mode and group are right.
            previous = os.umask(0o177)
            try:
                sock.bind(str(self.path))
            finally:
                os.umask(previous)
            if self._gid is not None:
                os.chown(self.path, -1, self._gid)
            self.path.chmod(self._mode)
            self._server = await asyncio.start_unix_server(self._accept, sock=sock, limit=REQUEST_MAX_BYTES)
        except BaseException:
            sock.close()
            raise

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._scope.closed or len(self._scope) >= 2 * CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._scope.spawn(self._serve(reader, writer), name="connection", on_crash=_crashed)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await self._answer(reader, writer)
            if reply is not None:
                await _write_line(writer, reply)
                writer.close()
        except (ConnectionError, TimeoutError):
            _log.debug("status_socket.asker_gone")
        finally:
            if not writer.transport.is_closing():
                writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Result | None:
        """Runs the handler beside a watch on the connection; None when the asker went away first."""

        async def emit(event: Result) -> None:
            await _write_line(writer, {"event": event})

        try:
            async with asyncio.timeout(REQUEST_DEADLINE_S):
                verb, args = await _read_request_untrusted(reader)
            work = self._scope.spawn(
                _settle(self._handler(verb, args, _peer_of(writer), emit)), name=f"verb-{verb[:32]}", on_crash=_crashed
            )
            gone = self._scope.spawn(_until_eof(reader), name="watch")
            try:
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    return None
                if work.exception() is not None:
                    return _error_line(LocalError(Reason.INTERNAL))
                result = work.result()
            finally:
                work.cancel()
                gone.cancel()
        except OstiaryError as error:
            return _error_line(error)
        return _error_line(result) if isinstance(result, OstiaryError) else {"ok": True, "result": result}


async def call(
    path: Path,
    verb: str,
    args: Mapping[str, Any] | None = None,
    *,
    deadline_s: float | None = CALL_DEADLINE_S,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Asks the daemon behind ``path`` and returns the result.

    Args:
        path: the socket.
        verb: what to do.
        args: JSON values.
        deadline_s: for everything; None for verbs that go on until the user stops them.
        on_event: is given each event.

    Raises:
        LocalError: DAEMON_NOT_RUNNING, PERMISSION_DENIED.
        RefusedError: what the daemon answered; TIMEOUT.
    """
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=REPLY_MAX_BYTES)
            try:
                await _write_line(writer, {"verb": verb, "args": args or {}})
                return await _read_reply(reader, on_event)
            finally:
                writer.transport.abort()
    except TimeoutError as exc:
        raise RefusedError(Reason.TIMEOUT, f"the daemon did not answer within {deadline_s:g} s") from exc
    except PermissionError as exc:
        raise LocalError(Reason.PERMISSION_DENIED, str(path)) from exc
    except (FileNotFoundError, ConnectionError, EOFError) as exc:
        raise LocalError(Reason.DAEMON_NOT_RUNNING, str(path)) from exc


async def _read_reply(
    reader: asyncio.StreamReader, on_event: Callable[[dict[str, Any]], None] | None
) -> dict[str, Any]:
    while True:
        try:
            body = json.loads(await reader.readuntil(b"\n"))
        except (ValueError, asyncio.LimitOverrunError) as exc:
            raise RemoteProtocolError("malformed line from the daemon") from exc
        match body:
            case {"event": dict(event)}:
                if on_event is not None:
                    on_event(event)
            case {"ok": True, "result": dict(result)}:
                return result
            case {"ok": False, "error": {"reason": str(code), "detail": str(detail)}}:
                raise RefusedError(reason_from_code(code), detail)
            case _:
                raise RemoteProtocolError("malformed line from the daemon")


async def _settle(work: Awaitable[Result]) -> Result | OstiaryError:
    """A refusal is an answer, not a crash."""
    try:
        return await work
    except OstiaryError as error:
        return error


async def _read_request_untrusted(reader: asyncio.StreamReader) -> tuple[str, Mapping[str, Any]]:
    try:
        body = json.loads(await reader.readuntil(b"\n"))
    except (ValueError, RecursionError, EOFError, asyncio.LimitOverrunError) as exc:
        raise RemoteProtocolError("malformed request line") from exc
    match body:
        case {"verb": str(verb), "args": dict(args)}:
            return verb, args
        case {"verb": str(verb)}:
            return verb, {}
    raise RemoteProtocolError("malformed request line")


async def _until_eof(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(4096):
            pass


async def _write_line(writer: asyncio.StreamWriter, body: Mapping[str, Any]) -> None:
    writer.write(json.dumps(body, separators=(",", ":"), default=str).encode() + b"\n")
    await writer.drain()


def _waits_for_group(directory: Path) -> bool:
    """Tells whether it was made for us (by the service manager): it is ours, and its group enters it, but nobody else."""
    found = directory.stat()
    # A group that may also write there could put a socket of its own in the place of ours.
    return found.st_uid == os.geteuid() and found.st_mode & 0o037 == 0o010


def _remove_stale(path: Path) -> None:
    """Removes the socket of a daemon that died. Raises LocalError(ALREADY_RUNNING) when one answers."""
    if not path.exists():
        return
    if not path.is_socket():
        raise LocalError(Reason.CONFIG_INVALID, f"{path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as probe:
        outcome = probe.connect_ex(str(path))
    if outcome == errno.ECONNREFUSED:
        path.unlink(missing_ok=True)
    elif outcome != errno.ENOENT:
        # It answers, or its backlog is full: somebody lives there.
        raise LocalError(Reason.ALREADY_RUNNING, str(path))


def _peer_of(writer: asyncio.StreamWriter) -> Peer:
    sock = writer.get_extra_info("socket")
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return Peer(uid, gid, pid)


def _error_line(error: OstiaryError) -> Result:
    return {"ok": False, "error": {"reason": error.reason.code, "detail": error.detail}}


def _crashed(error: Exception) -> None:
    _log.error("status_socket.handler_crashed", exc_info=error)
