"""The status socket: who asks, what it says, what it survives (T-50)."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import LocalError, OstiaryError, RefusedError, RemoteProtocolError
from protocol.reasons import Reason
from runtime.status_socket import Emit, Peer, StatusServer, call

gone = asyncio.Event()


async def handler(verb: str, args: Mapping[str, Any], peer: Peer, emit: Emit) -> Mapping[str, Any]:
    match verb:
        case "whoami":
            return {"uid": peer.uid, "pid": peer.pid, "args": args}
        case "count":
            for number in range(args["to"]):
                await emit({"number": number})
            return {"done": True}
        case "hang":
            await emit({"hanging": True})
            try:
                await asyncio.Event().wait()
            finally:
                gone.set()
        case "crash":
            raise ZeroDivisionError
    raise LocalError(Reason.INVALID_INPUT, f"unknown verb {verb!r}")


async def test_the_kernel_says_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "run" / "x.sock"
    async with StatusServer(path, handler, mode=0o660):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
        assert await call(path, "whoami", {"a": 1}) == {"uid": os.getuid(), "pid": os.getpid(), "args": {"a": 1}}
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may give files to any group")
@pytest.mark.parametrize(("mode", "group"), [(0o750, 12345), (0o710, 12345), (0o755, 0), (0o700, 0), (0o770, 0)])
async def test_t50_a_directory_that_the_service_manager_made_is_entered_by_the_group(
    tmp_path: Path, mode: int, group: int
) -> None:
    path = tmp_path / "run" / "x.sock"
    path.parent.mkdir()
    path.parent.chmod(mode)
    async with StatusServer(path, handler, mode=0o660, gid=12345):
        assert (path.parent.stat().st_gid, stat.S_IMODE(path.parent.stat().st_mode)) == (group, mode)
        assert path.stat().st_gid == 12345


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may give files to anybody")
async def test_t50_somebody_elses_directory_keeps_its_group(tmp_path: Path) -> None:
    path = tmp_path / "run" / "x.sock"
    path.parent.mkdir()
    path.parent.chmod(0o750)
    os.chown(path.parent, 54321, 54321)
    async with StatusServer(path, handler, mode=0o660, gid=12345):
        assert path.parent.stat().st_gid == 54321


async def test_events_come_before_the_result(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    async with StatusServer(tmp_path / "x.sock", handler):
        assert await call(tmp_path / "x.sock", "count", {"to": 3}, on_event=seen.append) == {"done": True}
    assert seen == [{"number": 0}, {"number": 1}, {"number": 2}]


async def test_a_refusal_keeps_its_reason(tmp_path: Path) -> None:
    async with StatusServer(tmp_path / "x.sock", handler):
        with pytest.raises(RefusedError) as caught:
            await call(tmp_path / "x.sock", "dance")
        assert (caught.value.reason, caught.value.detail) == (Reason.INVALID_INPUT, "unknown verb 'dance'")
        with pytest.raises(RefusedError) as caught:
            await call(tmp_path / "x.sock", "crash")
        assert (caught.value.reason, caught.value.detail) == (Reason.INTERNAL, "")


async def test_when_the_asker_goes_its_work_ends(tmp_path: Path) -> None:
    gone.clear()
    async with StatusServer(tmp_path / "x.sock", handler):
        with pytest.raises(RefusedError) as caught:
            await call(tmp_path / "x.sock", "hang", deadline_s=0.05)
        assert caught.value.reason is Reason.TIMEOUT
        async with asyncio.timeout(60):
            await gone.wait()


@pytest.mark.parametrize("line", [b"{\n", b"[1]\n", b'{"verb":1}\n', b"x" * 70_000 + b"\n", b"", b"[" * 60_000 + b"\n"])
async def test_t50_malformed_requests_are_answered_not_obeyed(tmp_path: Path, line: bytes) -> None:
    async with StatusServer(tmp_path / "x.sock", handler):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "x.sock"))
        writer.write(line)
        writer.write_eof()
        try:
            answer = await reader.read()
        except ConnectionError:
            answer = b""
        writer.transport.abort()
        if answer:
            assert json.loads(answer)["error"]["reason"] == "protocol_error"
        assert (await call(tmp_path / "x.sock", "whoami"))["uid"] == os.getuid()


async def test_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(OstiaryError) as caught:
        await call(tmp_path / "x.sock", "status")
    assert caught.value.reason is Reason.DAEMON_NOT_RUNNING


async def test_the_socket_of_a_dead_daemon_is_replaced_and_of_a_live_one_respected(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(OstiaryError) as caught:
        await call(path, "status")
    assert caught.value.reason is Reason.DAEMON_NOT_RUNNING
    async with StatusServer(path, handler):
        with pytest.raises(LocalError) as refused:
            async with StatusServer(path, handler):
                pass
        assert refused.value.reason is Reason.ALREADY_RUNNING
        assert (await call(path, "whoami"))["uid"] == os.getuid()


async def test_a_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "x.sock").write_text("precious")
    with pytest.raises(LocalError):
        async with StatusServer(tmp_path / "x.sock", handler):
            pass
    assert (tmp_path / "x.sock").read_text() == "precious"


@pytest.mark.parametrize("answer", [b"rubbish\n", b"{}\n", b""])
async def test_a_confused_daemon_is_an_error_not_a_crash(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, str(tmp_path / "x.sock"))
    async with server:
        with pytest.raises((RemoteProtocolError, LocalError)):
            await call(tmp_path / "x.sock", "status")
