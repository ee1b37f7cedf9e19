"""Renewing a sign-in: when to say that it ends, and that a new one of the same person interrupts nothing (C6, C24)."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from client_world import DEVICE, SESSION, USER, entry, online
from proxy_user import exchange, service, socks

from client.daemon import session as session_module
from client.daemon.identity import Identity
from client.daemon.ownership import Asker
from client.daemon.renewal import Notice, extend, is_ending, is_same_standing
from protocol.control import Hello
from protocol.errors import LocalError
from protocol.ids import DeviceId, SessionId
from protocol.reasons import Reason
from protocol.tokens.keys import VerificationKeys

DAY = 24 * 3600
WHO = Identity("ctl", DEVICE, USER, False, SESSION, 100 * DAY, VerificationKeys({}), session_began=70 * DAY)


@pytest.mark.parametrize(
    ("identity", "first"),
    [
        (WHO, 99 * DAY),
        (replace(WHO, session_began=100 * DAY - 3600), 100 * DAY - 900),
        (replace(WHO, session_began=None), 99 * DAY),
    ],
)
def test_the_end_is_said_a_day_before_or_in_the_last_quarter(identity: Identity, first: int) -> None:
    assert not is_ending(identity, first - 1)
    assert is_ending(identity, first)
    assert is_ending(identity, first + DAY)


@pytest.mark.parametrize(
    "identity", [None, replace(WHO, signed_in=False), replace(WHO, session_expires=None, service=True)]
)
def test_what_does_not_end_by_time_is_not_announced(identity: Identity | None) -> None:
    assert not is_ending(identity, 1000 * DAY)


def test_only_the_same_person_on_the_same_device_goes_on() -> None:
    again = replace(WHO, session=SessionId("ses_" + "Z" * 22), session_expires=200 * DAY)
    assert is_same_standing(WHO, again)
    assert not is_same_standing(None, again)
    assert not is_same_standing(replace(WHO, signed_in=False), again)
    for other in (
        replace(again, user="usr_" + "Z" * 22),
        replace(again, device=DeviceId("dev_" + "Z" * 22)),
        replace(again, issuer="another"),
        replace(again, service=True),
    ):
        assert not is_same_standing(WHO, other)


class At:
    """A clock that is set."""

    def __init__(self, wall: float) -> None:
        self.now = wall

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def test_each_sign_in_is_announced_once() -> None:
    clock, said = At(98 * DAY), []
    notice = Notice(clock)
    notice.on_ending = lambda: said.append(clock.now)
    for day in (98, 99, 99.5):
        clock.now = day * DAY
        notice.tick(WHO)
    assert said == [99 * DAY]
    longer = replace(WHO, session_expires=120 * DAY, session_began=100 * DAY)
    for day in (101, 119, 119.5):
        clock.now = day * DAY
        notice.tick(longer)
    assert said == [99 * DAY, 119 * DAY]


class Person:
    """A session that notes its sign-ins."""

    def __init__(self, identity: Identity | None) -> None:
        self.identity = identity
        self.signed_in = 0

    async def login(self, asker: Asker) -> None:
        self.signed_in += 1


NOBODY = cast(Asker, None)


@pytest.mark.parametrize(
    ("args", "identity", "times"),
    [
        ({}, WHO, 1),
        ({"within_s": 3600}, WHO, 0),
        ({"within_s": 3 * DAY}, WHO, 1),
        ({"within_s": 3600}, replace(WHO, signed_in=False), 1),
        ({"within_s": 3600}, None, 1),
        ({"within_s": DAY}, replace(WHO, session_expires=None, service=True), 0),
    ],
)
async def test_auth_signs_in_only_when_it_is_due(args: dict[str, Any], identity: Identity | None, times: int) -> None:
    person = Person(identity)
    await extend(person, args, NOBODY, 98 * DAY)
    assert person.signed_in == times


@pytest.mark.parametrize("within", ["1d", -1, True, 1e12])
async def test_auth_takes_seconds(within: object) -> None:
    with pytest.raises(LocalError) as caught:
        await extend(Person(WHO), {"within_s": within}, NOBODY, 0.0)
    assert caught.value.reason is Reason.INVALID_INPUT


async def test_an_extended_sign_in_keeps_link_and_tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as echo, online(tmp_path, entry("echo.corp.internal")) as world:
        world.edge.targets[("echo.corp.internal", 7)] = echo
        signed_in = world.store().identity()
        assert signed_in is not None
        answers = [
            replace(signed_in, session_expires=4_000_000_000),
            replace(signed_in, user="usr_" + "Z" * 22, session_expires=4_100_000_000),
        ]

        class Approved:
            def __init__(self, *_: object, **__: object) -> None:
                pass

            async def by_device_code(self, _: object) -> Identity:
                return answers.pop(0)

        monkeypatch.setattr(session_module, "SignIn", Approved)
        code, streams = await socks(world, "echo.corp.internal", 7)
        assert code == 0
        status = await world.ask("auth")
        assert (status["state"], status["session_expires"], status["user"]) == ("online", 4_000_000_000, "Grace")
        assert await exchange(streams, b"still here") == b"still here"
        assert len(world.controller.seen(Hello)) == 1
        # Somebody else signs in: nothing of the former one goes on.
        await world.ask("login")
        with contextlib.suppress(ConnectionResetError):
            assert await streams[0].read() == b""
        assert len(world.controller.seen(Hello)) == 2
        streams[1].close()
