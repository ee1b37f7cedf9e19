"""Requests for access through the daemon: asked in the user's name over the link, told by explain (T-10)."""

from pathlib import Path
from typing import Any

import pytest
from client_world import World, client_world, entry, online, running_daemon

from client.daemon.asking import command_for
from protocol.control import ExplainRequest, Message
from protocol.control_requests import AccessRequests, AskedFor, ListRequests, RequestAccess, WithdrawRequest
from protocol.errors import RefusedError
from protocol.reasons import Reason

OPEN = AskedFor("arq_" + "Q" * 22, "db.corp", 5432, "open", 1, 2, 7200, "release")


def answering(world: World, *reasons: str) -> None:
    """The controller takes requests, or refuses with each reason in turn."""
    before, left = world.controller.on_message, list(reasons)

    def react(message: Message) -> None:
        if isinstance(message, RequestAccess | ListRequests | WithdrawRequest):
            reply = AccessRequests(message.id, reason=left.pop(0)) if left else AccessRequests(message.id, (OPEN,))
            world.edge.spawn(world.controller.push(reply))
        elif before is not None:
            before(message)

    world.controller.on_message = react


async def test_a_request_goes_to_the_controller_as_it_was_typed(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        answering(world)
        made = await world.ask("request", target="db.corp", reason="release", port=5432, duration_s=7200)
        assert made["request"]["id"] == OPEN.request
        said = world.controller.seen(RequestAccess)[0]
        assert (said.target, said.reason, said.port, said.duration_s) == ("db.corp", "release", 5432, 7200)
        assert [item["status"] for item in (await world.ask("requests"))["requests"]] == ["open"]
        await world.ask("withdraw", request=OPEN.request)
        assert world.controller.seen(WithdrawRequest)[0].request == OPEN.request


async def test_the_controllers_refusal_is_told(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        answering(world, "limit_exceeded")
        with pytest.raises(RefusedError) as caught:
            await world.ask("request", target="db.corp", reason="r")
        assert caught.value.reason is Reason.LIMIT_EXCEEDED


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"target": "db.corp"},
        {"target": "", "reason": "r"},
        {"target": "db.corp", "reason": "  "},
        {"target": "x" * 300, "reason": "r"},
        {"target": "db.corp", "reason": "r", "port": "22"},
        {"target": "db.corp", "reason": "r", "duration_s": True},
    ],
)
async def test_bad_input_stays_on_this_host(tmp_path: Path, args: dict[str, Any]) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        with pytest.raises(RefusedError) as caught:
            await world.ask("request", **args)
        assert caught.value.reason is Reason.INVALID_INPUT
        assert not world.controller.seen(RequestAccess)


async def test_who_is_not_signed_in_asks_for_nothing(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world, running_daemon(world):
        with pytest.raises(RefusedError) as caught:
            await world.ask("request", target="db.corp", reason="r")
        assert caught.value.reason is Reason.SIGN_IN_REQUIRED


async def test_t10_explain_names_the_command_for_what_is_denied_and_for_what_does_not_exist(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        nowhere = await world.ask("explain", host="no.corp", port=443, transport="tcp")
        assert nowhere["intercepted"] is False
        assert nowhere["request"] == 'ostiary request no.corp:443 --reason "…"'
        world.explained = {"allowed": False, "reason": "grant_expired"}
        denied = await world.ask("explain", host="db.corp", port=5432, transport="tcp")
        assert denied["next"] == denied["request"] == 'ostiary request db.corp:5432 --reason "…"'
        world.explained = {"allowed": False, "reason": "port_not_allowed"}
        narrow = await world.ask("explain", host="db.corp", port=5432, transport="tcp")
        assert "request" not in narrow, "it is granted: whoever asks for it is told so, and no more"
        assert narrow["next"] == Reason.PORT_NOT_ALLOWED.next_step
        allowed = await world.ask("explain", host="wiki.corp.internal", port=443, transport="tcp")
        assert "request" not in allowed
        assert world.controller.seen(ExplainRequest)


def test_an_ipv6_address_keeps_its_port_apart() -> None:
    assert command_for("fd00::1", 22) == 'ostiary request [fd00::1]:22 --reason "…"'
    assert command_for("db.corp", None) == 'ostiary request db.corp --reason "…"'
