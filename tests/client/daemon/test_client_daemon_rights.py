"""The real control socket asked by real other users: what the kernel says of them decides (D9, T-50, T-56)."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from client_world import World, client_world, entry, running_daemon

from client.daemon import app
from client.daemon import session as session_module
from client.daemon.access_control import RIGHTS, Right
from client.daemon.identity import OWNER_FILE, Identity
from client.daemon.ownership import Ownership
from client.daemon.verbs import Desk, Verbs
from protocol.control import Hello
from protocol.errors import LocalError
from protocol.ids import SessionId
from protocol.reasons import Reason
from runtime.files import StateDir
from runtime.status_socket import Peer

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


class Approval:
    """A sign-in that waits until the test approves it."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.asked, self.given = asyncio.Event(), asyncio.Event()

    def __call__(self, *_: object, **__: object) -> "Approval":
        return self

    async def by_device_code(self, _: object) -> Identity:
        self.asked.set()
        await self.given.wait()
        return self.identity


@asynccontextmanager
async def approving(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, Approval, Verbs]]:
    """A signed-in daemon that nobody owns, its next sign-in, and its verbs for askers of group 777."""
    made: list[Verbs] = []

    def keep(desk: Desk, *, gid: int | None) -> Verbs:
        made.append(Verbs(desk, gid=777))
        return Verbs(desk, gid=gid)

    monkeypatch.setattr(app, "Verbs", keep)
    async with client_world(folder) as world:
        world.sign_in()
        signed_in = world.store().identity()
        assert signed_in is not None
        approval = Approval(replace(signed_in, session=SessionId("ses_" + "Z" * 22), user="usr_" + "Z" * 22))
        monkeypatch.setattr(session_module, "SignIn", approval)
        async with running_daemon(world):
            await world.controller.wait_for(Hello)
            yield world, approval, made[0]


def saying(verbs: Verbs, uid: int, verb: str, **args: object) -> asyncio.Task[object]:
    """Says a verb as a member of the group."""

    async def emit(_event: object) -> None: ...

    async def say() -> object:
        return await verbs.handle(verb, args, Peer(uid, 777, 1), emit)

    return asyncio.get_running_loop().create_task(say())


async def given_up(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize("verb", ["up", "login", "auth", "down", "logout", "switch"])
async def test_t50_a_verb_that_waited_for_anothers_sign_in_is_refused_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    async with approving(tmp_path, monkeypatch) as (world, approval, verbs):
        login = saying(verbs, MEMBER, "login")
        await approval.asked.wait()
        waiting = saying(verbs, OTHER, verb, account="default")
        await asyncio.sleep(0.05)
        assert not waiting.done()
        approval.given.set()
        with pytest.raises(LocalError) as caught:
            async with asyncio.timeout(60):
                await waiting
        assert caught.value.reason is Reason.PERMISSION_DENIED
        assert Ownership(StateDir(world.settings.state_dir)).uid() == MEMBER
        identity = world.store().identity()
        assert identity is not None
        assert (identity.signed_in, identity.session) == (True, approval.identity.session)
        assert (await world.ask("status"))["state"] == "connecting"
        await given_up(login)


async def test_t50_who_only_waited_does_not_own_what_another_signed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with approving(tmp_path, monkeypatch) as (world, approval, verbs):
        waiting = saying(verbs, OTHER, "up")
        await asyncio.sleep(0.05)
        approval.given.set()
        login = saying(verbs, MEMBER, "login")
        await world.controller.wait_for(Hello, nth=2)
        owner = Ownership(StateDir(world.settings.state_dir))
        assert owner.uid() == MEMBER
        await given_up(waiting, login)
        assert owner.uid() == MEMBER
