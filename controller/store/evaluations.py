"""Since when one and the same code has evaluated what agents acknowledge (C7, D8).

After a restart a client that missed nothing keeps its snapshot; but what other code evaluated may be wrong by the rules of
this one. So whoever stores acknowledgements says by which code, and what was stored while there was any other counts for
nothing. While replicas are upgraded one after the other the moment moves on with each word of either.
"""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables_connections import COUNTERS
from controller.store.upsert import put

SKEW_MS: Final = 2_000
"""By how much the clocks of replicas may differ (docs/replicas.md)."""
_CODE: Final = "evaluation_code"
_SINCE: Final = "evaluation_since_ms"
_DIGITS: Final = 15
"""Of a hexadecimal digest, as many as the column holds."""


async def same_since(connection: AsyncConnection, code: str, now_ms: int) -> int:
    """Says that this process evaluates by ``code``, a hexadecimal digest; returns since when all do (Unix ms)."""
    number = int(code[:_DIGITS], 16)
    query = sa.select(COUNTERS.c.name, COUNTERS.c.value).where(COUNTERS.c.name.in_((_CODE, _SINCE)))
    known = {row.name: int(row.value) for row in await connection.execute(query)}
    if known.get(_CODE) == number and _SINCE in known:
        return known[_SINCE]
    since = now_ms + SKEW_MS
    await put(connection, COUNTERS, {"name": _CODE, "value": number})
    await put(connection, COUNTERS, {"name": _SINCE, "value": since})
    return since
