"""Short-lived access to the store and the keys for commands that run beside, or without, the server."""

import contextlib
import time
from collections.abc import AsyncIterator

from controller.cli.options import ACTOR
from controller.settings import Settings
from controller.store import Store, Unit


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """Opens the store. Raises LocalError as ``Store.open``, and NOT_SET_UP before `init`."""
    settings.require_database()
    store = await Store.open(settings.effective_database_url)
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def writing(store: Store, command: str) -> AsyncIterator[Unit]:
    """Opens a unit in the name of the command line."""
    async with store.write(actor=ACTOR, request_id=command, now=time.time()) as unit:
        yield unit
