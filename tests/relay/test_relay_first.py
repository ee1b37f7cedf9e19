"""First bytes of a client: kept until it is paired, given to its own connector only, and gone with a refusal."""

import asyncio

import pytest
from recorders import Recorder
from relay_world import connector_id, make_ticket, relay_world
from tunnel_pair import connector_identity

from protocol.errors import RefusedError
from protocol.reasons import Reason
from protocol.rendezvous import ATTACH_PATH, CONNECT_PATH, CONTROL_PATH, LEG_PATH
from protocol.tls import TunnelTls
from relay.core.registry import Registry
from runtime.clock import SystemClock
from runtime.tunnel import Tunnel

HELLO = b"client hello" * 100


async def test_first_bytes_reach_a_parked_leg_and_are_counted() -> None:
    async with relay_world() as world:
        await world.attach()
        parked = await world.dial(LEG_PATH)
        up, down = Recorder(), Recorder()
        parked.set_receiver(up)
        client = await world.dial(CONNECT_PATH, first=HELLO)
        client.set_receiver(down)
        assert await up.received(len(HELLO)) == HELLO
        parked.write(b"answer")
        client.write(b"more")
        assert await up.received(len(HELLO) + 4) == HELLO + b"more"
        assert await down.received(6) == b"answer"
        await world.until(bytes_copied=len(HELLO) + 10)


async def test_t27_first_bytes_wait_with_their_client_and_reach_nobody_else() -> None:
    async with relay_world() as world:
        attached, other = await world.attach(), await world.attach(connector_id(2))
        foreign = await world.dial(LEG_PATH, connector_id(2))
        overheard = Recorder()
        foreign.set_receiver(overheard)
        connecting = asyncio.ensure_future(world.dial(CONNECT_PATH, first=HELLO))
        await attached.asked_for_legs()
        own = await world.dial(LEG_PATH)
        up = Recorder()
        own.set_receiver(up)
        await connecting
        assert await up.received(len(HELLO)) == HELLO
        assert not overheard.data
        assert other.recorder.reason is None


async def test_t27_first_bytes_of_a_client_that_is_refused_go_nowhere() -> None:
    async with relay_world(registry=Registry(pairing_deadline_s=0.2)) as world:
        await world.attach()
        with pytest.raises(RefusedError) as caught:
            await world.dial(CONNECT_PATH, first=HELLO)
        assert caught.value.reason is Reason.PAIRING_TIMEOUT
        up = Recorder()
        parked = await world.dial(LEG_PATH)
        parked.set_receiver(up)
        with pytest.raises(RefusedError):
            await world.dial(CONNECT_PATH, ticket=make_ticket("client", life_s=-3600), first=HELLO)
        second = await world.dial(CONNECT_PATH, first=b"mine")
        assert await up.received(4) == b"mine"
        second.close()


@pytest.mark.parametrize("path", [ATTACH_PATH, LEG_PATH, CONTROL_PATH])
async def test_t27_only_a_client_has_first_bytes(path: str) -> None:
    async with relay_world() as world:
        await world.attach()
        with pytest.raises(RefusedError) as caught:
            await world.dial(path, first=HELLO)
        assert caught.value.reason is Reason.PROTOCOL_ERROR
        await world.until(parked=0, attachments=1)


async def test_first_bytes_are_no_ticket() -> None:
    async with relay_world() as world:
        await world.attach()
        await world.dial(LEG_PATH)
        with pytest.raises(RefusedError) as caught:
            await world.dial(CONNECT_PATH, ticket="no.good.ticket", first=HELLO)
        assert caught.value.reason.code.startswith("token_")
        await world.until(parked=1, pairs=0, bytes_copied=0)


async def test_an_inner_tunnel_whose_hello_went_ahead() -> None:
    """C14 as ever: the pin decides, and both ends have one exporter."""
    key_pem, certificate_pem, pin = connector_identity()
    async with relay_world() as world:
        await world.attach()
        parked = await world.dial(LEG_PATH)
        server = Tunnel.server(parked, key_pem, certificate_pem, SystemClock())
        tls = TunnelTls.client([pin])
        tls.start()
        leg = await world.dial(CONNECT_PATH, first=tls.data_to_send())
        client = Tunnel.client(leg, tls, SystemClock())
        await asyncio.gather(client.handshake(30), server.handshake(30))
        assert client.exporter() == server.exporter()
        assert client.peer_pin == pin
        client.close()
        server.close()
