"""A process of its own that appends events: ``log_writer.py URL COUNT``."""

import asyncio
import sys

from controller.domain import commands as c
from controller.store import Store
from protocol.ids import NetworkId
from runtime.entropy import new_id


async def _write(url: str, count: int) -> None:
    store = await Store.open(url)
    try:
        for _ in range(count):
            network = NetworkId(new_id("network"))
            async with store.write(actor="cli", request_id="req", now=1.0) as unit:
                await unit.execute(c.CreateNetwork(network, network))
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(_write(sys.argv[1], int(sys.argv[2])))
