"""The agents' link: reconnects, correlates, measures, and never trusts a first word that is no Welcome."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from canned_http import canned_http
from fake_controller import FakeController, fake_controller
from tls_material import tls_material

from protocol.control import (
    AuthoriseReply,
    AuthoriseRequest,
    Enforced,
    Goodbye,
    Heartbeat,
    Hello,
    Message,
    Revoke,
    Revoked,
    Welcome,
)
from protocol.errors import OstiaryError, RefusedError, RemoteError
from protocol.ids import ResourceId, Revision
from protocol.reasons import Reason
from runtime import agent_link
from runtime.agent_link import AgentLink
from runtime.backoff import Backoff
from runtime.clock import SystemClock
from runtime.tasks import TaskScope
from runtime.trust import client_context, server_context

RESOURCE = ResourceId("res_AAAAAAAAAAAAAAAAAAAAAA")


@dataclass
class Agent:
    """A link and what it told its owner."""

    link: AgentLink
    messages: list[Message] = field(default_factory=list)
    welcomes: list[Welcome] = field(default_factory=list)
    losses: list[Reason] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, what: str, count: int = 1) -> None:
        async with asyncio.timeout(60):
            while len(getattr(self, what)) < count:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def running_agent(url: str, *, context: ssl.SSLContext | None = None) -> AsyncIterator[Agent]:
    assertions = iter(range(1000))

    def tell(sink: list[object], item: object) -> None:
        sink.append(item)
        agent.news.set()

    link = AgentLink(
        url=url,
        context=context,
        assertion=lambda: f"assertion-{next(assertions)}",
        hello=lambda: Hello(1, "test", 1_000_000),
        on_message=lambda message: tell(agent.messages, message),  # type: ignore[arg-type]
        clock=SystemClock(),
        on_connected=lambda welcome: tell(agent.welcomes, welcome),  # type: ignore[arg-type]
        on_lost=lambda error: tell(agent.losses, error.reason),  # type: ignore[arg-type]
        backoff=Backoff(initial_s=0.001, cap_s=0.01),
    )
    agent = Agent(link)
    async with TaskScope("test") as scope:
        scope.spawn(link.run(), name="link")
        yield agent


@asynccontextmanager
async def both() -> AsyncIterator[tuple[FakeController, Agent]]:
    async with fake_controller() as controller, running_agent(controller.url) as agent:
        await agent.link.wait_connected(deadline_s=10)
        yield controller, agent


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_link, "REFUSED_PAUSE_S", 0.01)
    monkeypatch.setattr(agent_link, "HEARTBEAT_INTERVAL_S", 0.05)
    monkeypatch.setattr(agent_link, "AGENT_STALL_S", 0.3)


async def test_hello_comes_first_with_a_fresh_assertion_each_time() -> None:
    async with both() as (controller, agent):
        assert isinstance(controller.received[0], Hello)
        controller.drop()
        await agent.until("welcomes", 2)
        assert controller.authorizations == ["Bearer assertion-0", "Bearer assertion-1"]
        assert agent.losses == [Reason.CONTROLLER_UNREACHABLE]
        assert agent.link.state.connected


async def test_messages_arrive_in_order_and_go_out() -> None:
    async with both() as (controller, agent):
        await controller.push(Revoke(Revision(1), ()))
        await controller.push(Revoke(Revision(2), ()))
        await agent.until("messages", 2)
        assert [message.revision for message in agent.messages if isinstance(message, Revoke)] == [1, 2]
        assert agent.link.send(Enforced(1, Revision(2), "digest"))
        assert (await controller.wait_for(Enforced)).revision == 2
        await agent.link.flush()


async def test_unknown_messages_are_ignored() -> None:
    async with both() as (controller, agent):
        await controller.push_raw('{"type":"from_the_future"}')
        await controller.push(Revoke(Revision(1), ()))
        await agent.until("messages")
        assert len(agent.messages) == 1


async def test_replies_find_their_requests() -> None:
    async with both() as (controller, agent):
        first, second = agent.link.next_id(), agent.link.next_id()

        async def answer() -> None:
            await controller.wait_for(AuthoriseRequest, nth=2)
            await controller.push(AuthoriseReply(second, token="two"))
            await controller.push(AuthoriseReply(99, token="nobody asked"))
            await controller.push(AuthoriseReply(first, token="one"))

        async with TaskScope("answer") as scope:
            scope.spawn(answer(), name="answer")
            replies = await asyncio.gather(
                agent.link.request(AuthoriseRequest(first, RESOURCE)),
                agent.link.request(AuthoriseRequest(second, RESOURCE)),
            )
        assert [reply.token for reply in replies if isinstance(reply, AuthoriseReply)] == ["one", "two"]
        await agent.until("messages")
        assert agent.messages == [AuthoriseReply(99, token="nobody asked")]


async def test_a_request_ends_at_its_deadline_and_with_the_connection() -> None:
    async with both() as (controller, agent):
        with pytest.raises(RemoteError) as caught:
            await agent.link.request(AuthoriseRequest(agent.link.next_id(), RESOURCE), deadline_s=0.02)
        assert caught.value.reason is Reason.TIMEOUT

        async def cut() -> None:
            await controller.wait_for(AuthoriseRequest, nth=2)
            controller.drop()

        async with TaskScope("cut") as scope:
            scope.spawn(cut(), name="cut")
            with pytest.raises(RemoteError) as caught:
                await agent.link.request(AuthoriseRequest(agent.link.next_id(), RESOURCE))
        assert caught.value.reason is Reason.CONTROLLER_UNREACHABLE


async def test_without_a_connection_nothing_is_queued() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with running_agent(f"http://127.0.0.1:{unused.getsockname()[1]}") as agent:
            await agent.until("losses", 3)
            assert not agent.link.send(Enforced(1, Revision(1), ""))
            with pytest.raises(RemoteError) as caught:
                await agent.link.request(AuthoriseRequest(1, RESOURCE))
            assert caught.value.reason is Reason.CONTROLLER_UNREACHABLE
            with pytest.raises(OstiaryError) as caught_too:
                await agent.link.wait_connected(deadline_s=0.01)
            assert caught_too.value.reason is Reason.CONTROLLER_UNREACHABLE
            assert agent.link.state.attempts >= 3


async def test_f3_a_silent_controller_is_left() -> None:
    async with both() as (controller, agent):
        controller.silent = True
        await agent.until("losses")
        assert agent.losses[0] is Reason.PEER_SILENT


async def test_f3_a_slowed_agent_still_leaves_a_controller_that_answers_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It beats as seldom as it was asked to, until a request stays without answer."""
    monkeypatch.setattr(agent_link, "HEARTBEAT_SLOWEST_S", 3600.0)
    async with both() as (controller, agent):
        controller.silent = True
        await controller.push(Heartbeat(1, interval_s=1e9))
        await controller.push(Revoke(Revision(1), ()))
        await agent.until("messages")
        with pytest.raises(RemoteError) as caught:
            await agent.link.request(AuthoriseRequest(1, RESOURCE), deadline_s=0.4)
        assert caught.value.reason is Reason.TIMEOUT
        await agent.until("losses")
        assert agent.losses[0] is Reason.PEER_SILENT


async def test_f3_no_controller_slows_an_agent_down_for_longer_than_agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_link, "HEARTBEAT_SLOWEST_S", 0.1)
    async with both() as (controller, agent):
        controller.silent = True
        await controller.push(Heartbeat(1, interval_s=1e9))
        await controller.push(Revoke(Revision(1), ()))
        await agent.until("messages")
        await agent.until("losses")
        assert agent.losses[0] is Reason.PEER_SILENT


async def test_the_clock_offset_is_measured() -> None:
    async with fake_controller() as controller:
        controller.clock_offset_ms = 5_000
        async with running_agent(controller.url) as agent:
            await controller.wait_for(Heartbeat, nth=3)
            await controller.push(Revoke(Revision(1), ()))
            await agent.until("messages")
            offset = agent.link.state.clock_offset_ms
            assert offset is not None
            assert 4_500 < offset < 5_500
            assert agent.link.state.rtt_ms is not None


async def test_t18_goodbye_is_obeyed_with_its_hint() -> None:
    async with both() as (controller, agent):
        await controller.push(Goodbye("shutting_down", retry_after_s=0.2))
        await agent.until("losses")
        started = asyncio.get_running_loop().time()
        assert agent.losses == [Reason.SHUTTING_DOWN]
        await agent.until("welcomes", 2)
        assert asyncio.get_running_loop().time() - started > 0.15


async def test_the_pause_can_be_cut_short() -> None:
    async with both() as (controller, agent):
        await controller.push(Goodbye("shutting_down", retry_after_s=50))
        await agent.until("losses")
        await asyncio.sleep(0)
        agent.link.network_changed()
        await agent.until("welcomes", 2)


async def test_revoked_reaches_the_owner_before_the_connection_ends() -> None:
    async with both() as (controller, agent):
        await controller.push(Revoked("device_revoked"))
        await agent.until("losses")
        assert agent.messages == [Revoked("device_revoked")]
        assert agent.losses == [Reason.DEVICE_REVOKED]


@pytest.mark.parametrize(
    ("refusal", "reason", "kind"),
    [
        ((403, {"Ostiary-Reason": "device_revoked"}), Reason.DEVICE_REVOKED, RefusedError),
        ((401, {}), Reason.INTERNAL, RefusedError),
        ((503, {"Retry-After": "0"}), Reason.CONTROLLER_UNREACHABLE, RemoteError),
    ],
)
async def test_a_refused_upgrade_says_why_and_is_tried_again(
    refusal: tuple[int, dict[str, str]], reason: Reason, kind: type[OstiaryError]
) -> None:
    async with fake_controller() as controller:
        controller.refuse = refusal
        async with running_agent(controller.url) as agent:
            await agent.until("losses", 2)
            assert agent.losses[0] is reason
            assert type(agent.link.state.error) is kind
            controller.refuse = None
            await agent.until("welcomes")


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (Revoke(Revision(1), ()), Reason.PROTOCOL_ERROR),
        ("{", Reason.PROTOCOL_ERROR),
        (b"binary", Reason.PROTOCOL_ERROR),
        (Welcome(0, "ancient", 0, 1, Revision(0), {}), Reason.VERSION_UNSUPPORTED),
        (Goodbye("duplicate_agent"), Reason.DUPLICATE_AGENT),
        (Revoked("session_ended"), Reason.SESSION_ENDED),
    ],
)
async def test_the_first_word_must_be_welcome(first: Message | str | bytes, reason: Reason) -> None:
    async with fake_controller() as controller:
        controller.first = first
        async with running_agent(controller.url) as agent:
            await agent.until("losses")
            assert agent.losses[0] is reason
            assert agent.welcomes == []
            assert not agent.link.state.connected


async def test_over_tls_with_the_pinned_ca_and_never_without() -> None:
    pki = tls_material()
    async with fake_controller(tls=server_context(pki.cert_pem, pki.key_pem)) as controller:
        url = controller.url.replace("127.0.0.1", "localhost")
        async with running_agent(url, context=client_context(pki.ca_pem)) as agent:
            await agent.link.wait_connected(deadline_s=10)
        async with running_agent(url, context=client_context(None)) as stranger:
            await stranger.until("losses")
            assert stranger.losses[0] is Reason.CERTIFICATE_UNTRUSTED
        assert len(controller.authorizations) == 1


async def test_something_that_is_no_controller_is_told() -> None:
    async with (
        canned_http(b"SSH-2.0-OpenSSH\r\n\r\n") as server,
        running_agent(f"http://127.0.0.1:{server.port}") as agent,
    ):
        await agent.until("losses")
        assert agent.losses[0] is Reason.CONTROLLER_UNREACHABLE


async def test_t40_a_full_queue_takes_no_more() -> None:
    async with both() as (_, agent):
        sent = 0
        while agent.link.send(Enforced(1, Revision(1), "x")):
            sent += 1
        assert sent == agent_link.OUTGOING_MAX
