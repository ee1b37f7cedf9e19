"""A process that is killed while eight writers append: ``crash_writer.py URL KEYS``.

KEYS is a file with one key a line: those that no earlier process got an answer for come first, and are written again under
the same key. Each answer is one line on standard output.
"""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from controller.domain import commands as c
from controller.store import Store, idempotency
from protocol.ids import NetworkId
from runtime.entropy import new_id

WRITERS = 8


async def _write(store: Store, keys: Iterator[str]) -> None:
    for key in keys:
        async with store.write(actor="cli", request_id=key, now=1.0) as unit:
            known = await idempotency.get(unit.connection, "writer", key)
            if known is None:
                network = NetworkId(new_id("network"))
                # Two names: were it done twice, both would be there.
                await unit.execute(c.CreateNetwork(network, f"{key} {network}"))
                await idempotency.put(
                    unit.connection, "writer", key, request_hash=key, status=201, body=network, now=1.0
                )
        print(key, unit.position, flush=True)


async def _main(url: str, keys: Path) -> None:
    store = await Store.open(url)
    lines = iter(keys.read_text().split())
    await asyncio.gather(*(_write(store, lines) for _ in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2])))
