"""The real control socket asked by real other users: what the kernel says of them decides (D9, T-50, T-56)."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from client_world import World, client_world, entry, running_daemon

from client.daemon.access_control import RIGHTS, Right
from client.daemon.ownership import OWNER_FILE, Ownership
from protocol.control import Hello
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import StateDir

MEMBER, OTHER, STRANGER = 54_321, 54_322, 54_323
GROUP = "daemon"
"""A group that every Linux has, in the place of `ostiary`."""
ASK = """
import json, os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[2]))
out = {}
for verb in sys.argv[5:]:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    try:
        sock.connect(sys.argv[1])
    except PermissionError:
        out[verb] = "no_entry"
        continue
    sock.sendall(json.dumps({"verb": verb, "args": json.loads(sys.argv[4])}).encode() + b"\\n")
    reply = json.loads(sock.makefile().readline())
    out[verb] = "ok" if reply.get("ok") else reply["error"]["reason"]
print(json.dumps(out))
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")


async def ask_as(world: World, uid: int, gid: int, *verbs: str, **args: object) -> dict[str, str]:
    """Says verbs as another user, in a process of his own."""
    said = json.dumps(args or {"n": 0})
    command = (sys.executable, "-I", "-c", ASK, str(world.settings.socket), str(uid), str(gid), said, *verbs)
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True, timeout=60, cwd="/")
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """pytest's folders are for its own user alone."""
    with tempfile.TemporaryDirectory(prefix="ostiary-rights-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@asynccontextmanager
async def shared_host(folder: Path) -> AsyncIterator[World]:
    async with client_world(folder) as world:
        world.group = GROUP
        world.sign_in()
        async with running_daemon(world):
            await world.controller.wait_for(Hello)
            await world.push(entry("wiki.corp.internal"))
            yield world


def of(right: Right) -> tuple[str, ...]:
    return tuple(sorted(verb for verb, needed in RIGHTS.items() if needed is right))


@needs_root
async def test_t50_a_real_stranger_gets_no_verb_through(open_folder: Path) -> None:
    async with shared_host(open_folder) as world:
        found = await ask_as(world, STRANGER, STRANGER, *RIGHTS)
        assert set(found.values()) == {"no_entry"}
        world.settings.runtime_dir.chmod(0o755)
        world.settings.socket.chmod(0o666)
        found = await ask_as(world, STRANGER, STRANGER, *RIGHTS)
        assert set(found.values()) == {"permission_denied"}


@needs_root
async def test_t50_real_members_look_and_only_the_owner_speaks(open_folder: Path) -> None:
    gid = 1
    async with shared_host(open_folder) as world:
        Ownership(StateDir(world.settings.state_dir)).take(MEMBER)
        looks = ("status", "resources", "logs", "events", "version", "doctor")
        assert set((await ask_as(world, OTHER, gid, *looks)).values()) == {"ok"}
        assert set((await ask_as(world, OTHER, gid, *of(Right.USE))).values()) == {"permission_denied"}
        assert (await world.ask("status"))["state"] == "online"
        assert await ask_as(world, MEMBER, gid, "down", "up") == {"down": "ok", "up": "ok"}


@needs_root
async def test_t56_whoever_signed_in_still_does_not_choose_whom_this_host_trusts(open_folder: Path) -> None:
    async with shared_host(open_folder) as world:
        Ownership(StateDir(world.settings.state_dir)).take(MEMBER)
        before = await world.ask("accounts")
        for verb, args in (
            ("up", {"url": "https://other.example"}),
            ("switch", {"account": "other", "new": True}),
            ("switch", {"account": "default", "remove": True}),
            ("dns_reset", {"forget": True}),
        ):
            assert await ask_as(world, MEMBER, 1, verb, **args) == {verb: "needs_root"}
        assert await world.ask("accounts") == before


@needs_root
async def test_t50_a_sign_out_gives_the_host_free(open_folder: Path) -> None:
    async with shared_host(open_folder) as world:
        Ownership(StateDir(world.settings.state_dir)).take(MEMBER)
        assert await ask_as(world, OTHER, 1, "logout") == {"logout": "permission_denied"}
        assert await ask_as(world, MEMBER, 1, "logout") == {"logout": "ok"}
        assert await ask_as(world, OTHER, 1, "logout") == {"logout": "ok"}


def test_the_owner_survives_a_restart_and_a_damaged_file_lets_nobody_in(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    Ownership(state).take(MEMBER)
    assert Ownership(state).uid() == MEMBER
    Ownership(state).take(0)
    assert Ownership(state).uid() is None
    (tmp_path / OWNER_FILE).write_text('{"uid": "nobody"}')
    with pytest.raises(LocalError) as caught:
        Ownership(state).uid()
    assert caught.value.reason is Reason.STATE_CORRUPT
