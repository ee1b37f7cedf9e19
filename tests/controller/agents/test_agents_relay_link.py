"""The controller's links to relays, against a relay of ours that speaks the real frames."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from policy_world import START
from publish_office import DEADLINE_S, Office
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from controller.agents import relay_link
from controller.agents.presence import Presence
from controller.agents.relay_link import RelayLinks
from controller.domain import commands as c
from protocol.errors import RemoteError
from protocol.ids import RelayId
from protocol.reasons import Reason
from protocol.rendezvous import (
    CONTROL_PATH,
    KeysPushed,
    RelayGoodbye,
    RelayReport,
    encode_relay_message,
    parse_relay_message_untrusted,
)
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import verify_keyset, verify_ticket
from runtime.backoff import Backoff


class FakeRelay:
    """Accepts the controller with a right ticket, notes the keys, sends what the test says."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.relay = RelayId("")
        self.keysets: asyncio.Queue[VerificationKeys] = asyncio.Queue()
        self.connections: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.trusted = office.keys

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Verifies the ticket as a relay does."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            ticket = verify_ticket(
                token, keys=self.trusted, issuer="ctl_test", relay=self.relay, now=self.office.clock.wall()
            )
        except RemoteError as error:
            response = connection.respond(401, "no")
            response.headers["Ostiary-Reason"] = error.reason.code
            return response
        assert request.path == CONTROL_PATH
        assert ticket.role == "controller"
        return None

    async def handle(self, connection: ServerConnection) -> None:
        """Takes keys until the connection ends."""
        self.connections.put_nowait(connection)
        with suppress(ConnectionClosed):
            async for frame in connection:
                assert isinstance(frame, str)
                message = parse_relay_message_untrusted(frame)
                assert isinstance(message, KeysPushed)
                keyset = verify_keyset(
                    message.token,
                    keys=self.trusted,
                    issuer="ctl_test",
                    relay=self.relay,
                    now=self.office.clock.wall(),
                )
                self.trusted = VerificationKeys.from_jwks_untrusted(keyset.jwks)
                self.keysets.put_nowait(self.trusted)


class Site:
    """An office with one relay that runs here."""

    def __init__(self, office: Office, fake: FakeRelay, presence: Presence) -> None:
        self.office = office
        self.fake = fake
        self.presence = presence

    @property
    def relay(self) -> RelayId:
        """The relay's id."""
        return self.fake.relay

    async def connected(self) -> ServerConnection:
        """Waits for the controller."""
        return await asyncio.wait_for(self.fake.connections.get(), DEADLINE_S)

    async def keys(self) -> VerificationKeys:
        """Waits for the next keyset."""
        return await asyncio.wait_for(self.fake.keysets.get(), DEADLINE_S)


@asynccontextmanager
async def running() -> AsyncIterator[Site]:
    office = Office()
    fake = FakeRelay(office)
    server: Server
    async with serve(fake.handle, "127.0.0.1", 0, process_request=fake.admit, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        fake.relay = office.world.relay("localhost", port)
        office.commit()
        presence = Presence()
        links = RelayLinks(office.feed, office.signer, presence, office.clock, None)
        task = asyncio.create_task(links.run())
        try:
            yield Site(office, fake, presence)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(site: Site, online: bool) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while (site.presence.relay(site.relay, site.office.clock.wall()) is not None) is not online:
            await asyncio.sleep(0.01)


async def test_keys_are_pushed_at_the_start_and_on_every_change() -> None:
    async with running() as site:
        assert set((await site.keys()).keys) == {site.office.kid}
        second = site.office.add_key()
        site.office.commit()
        assert set((await site.keys()).keys) == {site.office.kid, second}
        site.office.world.network()
        site.office.commit()
        site.office.give(c.ActivateSigningKey(second), c.DistrustSigningKey(site.office.kid))
        assert set((await site.keys()).keys) == {second}
        assert site.fake.keysets.empty()


async def test_reports_are_presence_until_the_relay_goes() -> None:
    async with running() as site:
        connection = await site.connected()
        await until(site, online=True)
        report = RelayReport("0.1.0", START * 1000, ("hash",), 1, 2, 3)
        await connection.send(encode_relay_message(report))
        async with asyncio.timeout(DEADLINE_S):
            while not (line := site.presence.relay(site.relay, site.office.clock.wall())) or not line.attachments:
                await asyncio.sleep(0.01)
        assert line.report == report
        await connection.close()
        await until(site, online=False)
        await site.connected()
        await until(site, online=True)


async def test_a_removed_relay_is_left_and_a_new_one_is_dialled() -> None:
    async with running() as site:
        connection = await site.connected()
        site.office.give(c.RemoveRelay(site.relay))
        await asyncio.wait_for(connection.wait_closed(), DEADLINE_S)
        await until(site, online=False)


@pytest.mark.parametrize("frame", ["nonsense", b"binary", encode_relay_message(RelayGoodbye(Reason.SHUTTING_DOWN))])
async def test_a_relay_that_says_something_wrong_or_goodbye_is_dialled_again(frame: str | bytes) -> None:
    async with running() as site:
        connection = await site.connected()
        await connection.send(frame)
        await asyncio.wait_for(connection.wait_closed(), DEADLINE_S)
        await site.connected()


async def test_a_silent_relay_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_link, "AGENT_STALL_S", 0.1)
    async with running() as site:
        connection = await site.connected()
        await asyncio.wait_for(connection.wait_closed(), DEADLINE_S)
        await site.connected()


async def test_a_refusing_relay_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_link, "Backoff", lambda **_: Backoff(cap_s=0.01))
    async with running() as site:
        connection = await site.connected()
        await site.keys()
        trusted, site.fake.trusted = site.fake.trusted, VerificationKeys({})
        await connection.close()
        await until(site, online=False)
        site.fake.trusted = trusted
        await site.connected()
