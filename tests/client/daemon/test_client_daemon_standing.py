"""A standing that is lost while somebody signs in: what was lost is cut at once, and what was won stays."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from client_world import DEVICE, USER, World, entry, online

from client.daemon.identity import Identity
from client.daemon.session import Session
from client.daemon.sign_in import SignIn, SignInPrompt
from protocol.control import Hello, PushSnapshot, Revoked
from protocol.ids import SessionId
from protocol.reasons import Reason

NEW = SessionId("ses_" + "N" * 22)


class Person:
    """Somebody who approves the sign-in on the controller's page; ``approves``: when."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.approves = asyncio.Event(), asyncio.Event()
        person = self

        async def by_device_code(_: SignIn, prompt: Callable[[SignInPrompt], Awaitable[None]]) -> Identity:
            person.asked.set()
            await person.approves.wait()
            return Identity(
                world.controller.issuer, DEVICE, USER, False, NEW, None, world.controller.keys, user_name="Grace"
            )

        monkeypatch.setattr(SignIn, "by_device_code", by_device_code)


async def comes_back(world: World, login: "asyncio.Task[dict[str, object]]") -> None:
    """The sign-in ends with a link that works, and with the new session on disk."""
    await world.controller.wait_for(Hello, nth=2)
    world.revision += 1
    await world.controller.push(PushSnapshot(world.snapshot()))
    async with asyncio.timeout(60):
        assert (await login)["state"] == "online"
    stored = world.store().identity()
    assert stored is not None
    assert (stored.session, stored.signed_in) == (NEW, True)


async def test_a_loss_told_just_before_the_sign_in_ends_does_not_undo_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controller ends the former session for the new one: its word and the approval arrive in one turn of the loop."""
    people: list[Person] = []
    told = Session._standing_lost

    def approve_and_tell(session: Session, reason: Reason) -> None:
        people[0].approves.set()
        told(session, reason)

    monkeypatch.setattr(Session, "_standing_lost", approve_and_tell)
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        person = Person(world, monkeypatch)
        people.append(person)
        login = asyncio.create_task(world.ask("login"))
        await person.asked.wait()
        await world.controller.push(Revoked(Reason.SESSION_ENDED.code))
        await comes_back(world, login)


async def test_t36_what_is_lost_is_cut_although_somebody_takes_his_time_to_sign_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        person = Person(world, monkeypatch)
        login = asyncio.create_task(world.ask("login"))
        await person.asked.wait()
        await world.controller.push(Revoked(Reason.DEVICE_REVOKED.code))
        await world.until("sign_in_required")
        assert world.store().snapshot() is None
        person.approves.set()
        await comes_back(world, login)
