"""When a signing key is distrusted, everything that it let in goes at once; an orderly rotation touches nothing (F-22)."""

import asyncio

import pytest
from recorders import Recorder
from relay_world import RelayWorld, make_keyset, make_ticket, relay_world, signing_key

from protocol.reasons import Reason
from protocol.rendezvous import CONNECT_PATH, CONTROL_PATH, LEG_PATH, KeysPushed, encode_relay_message
from protocol.tokens.keys import SigningKey
from relay import server as server_module
from runtime.leg import Leg

DEADLINE_S = 5.0


async def push(world: RelayWorld, *keys: SigningKey) -> None:
    """The controller pushes these keys; returns when the relay believes them."""
    controller = await world.dial(CONTROL_PATH)
    controller.set_receiver(Recorder())
    kept = len(world.kept)
    controller.write_text(encode_relay_message(KeysPushed(make_keyset(*keys))))
    async with asyncio.timeout(DEADLINE_S):
        while len(world.kept) == kept:
            await asyncio.sleep(0.005)


def watched(leg: Leg) -> Recorder:
    recorder = Recorder()
    leg.set_receiver(recorder)
    return recorder


async def test_f22_attachment_parked_leg_and_pair_of_a_distrusted_key_end() -> None:
    async with relay_world() as world:
        attached = await world.attach()
        client, connector = await world.paired()
        spare = await world.dial(LEG_PATH)
        ends = [watched(leg) for leg in (client, connector, spare)]
        await world.until(pairs=1, parked=1)
        started = asyncio.get_running_loop().time()
        await push(world, signing_key("kid-2"))
        for recorder in (*ends, attached.recorder):
            await recorder.ended()
        assert asyncio.get_running_loop().time() - started < DEADLINE_S
        await world.until(pairs=0, parked=0, attachments=0)
        fresh = await world.attach(ticket=make_ticket("connector", key=signing_key("kid-2")))
        assert fresh.leg.lost is None


async def test_f22_a_pair_that_the_kernel_joined_ends_as_fast() -> None:
    async with relay_world() as world:
        await world.attach()
        tunnels = await world.tunnels()
        await world.until(pairs_spliced=1)
        started = asyncio.get_running_loop().time()
        await push(world, signing_key("kid-2"))
        assert set((await tunnels.both_lost()).values()) == {Reason.TUNNEL_LOST}
        assert asyncio.get_running_loop().time() - started < DEADLINE_S
        await world.until(pairs=0)


async def test_f22_what_another_key_let_in_goes_on() -> None:
    async with relay_world(keys=(signing_key(), signing_key("kid-2"))) as world:
        key = signing_key("kid-2")
        attached = await world.attach(ticket=make_ticket("connector", key=key))
        leg = await world.dial(LEG_PATH, ticket=make_ticket("connector", key=key))
        client = await world.dial(CONNECT_PATH, ticket=make_ticket("client", key=key))
        client.set_receiver(Recorder())
        far = watched(leg)
        await push(world, key)
        client.write(b"still here")
        await far.until(lambda own: bytes(own.data) == b"still here")
        assert attached.leg.lost is None


async def test_f21_a_key_that_goes_in_order_takes_no_connection_along(monkeypatch: pytest.MonkeyPatch) -> None:
    async with relay_world() as world:
        attached = await world.attach()
        monkeypatch.setattr(server_module, "KEY_GONE_S", -1.0)
        await push(world, signing_key("kid-2"))
        assert (await world.dial(LEG_PATH, ticket=make_ticket("connector", key=signing_key("kid-2")))).lost is None
        assert attached.leg.lost is None
