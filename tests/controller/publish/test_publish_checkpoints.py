"""A new checkpoint reaches every connector in a config of its own accord; clients are left alone (T-70)."""

import asyncio

from publish_office import DEADLINE_S, Office

from controller.publish.hub import CHECKPOINT_SPREAD_S
from controller.store.chain import GENESIS
from protocol.control import PushConfig
from protocol.limits import CHECKPOINT_LIFE_S
from protocol.tokens.verify import verify_checkpoint, verify_config


async def test_t70_connectors_are_told_of_a_new_checkpoint() -> None:
    office = Office()
    issuer = office.world.state.issuer
    network = office.world.network()
    key = office.world.connector(network)
    device = office.world.device(office.world.user())
    office.commit()
    connector, client = office.connector(key), office.client(device)
    (first,) = connector.take_all()
    client.take_all()
    assert isinstance(first, PushConfig)
    now = office.clock.wall()
    made = office.signer.checkpoint(office.head, (0, GENESIS), now)
    assert made == verify_checkpoint(made.token, keys=office.keys, issuer=issuer, now=now)
    assert (made.position, made.hash) == (office.head.position, office.head.log_head)
    assert made.expires == int(now) + CHECKPOINT_LIFE_S
    office.hub.take_checkpoint(made.token)
    office.clock.advance(CHECKPOINT_SPREAD_S + 1)
    office.hub.tick()
    async with asyncio.timeout(DEADLINE_S):
        (second,) = await connector.next()
    assert isinstance(second, PushConfig)
    read = [
        verify_config(item.token, keys=office.keys, issuer=issuer, connector=key, now=now) for item in (first, second)
    ]
    assert [config.checkpoint for config in read] == ["", made.token]
    assert client.take_all() == []
