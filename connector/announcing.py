"""What systemd is told while the connector starts and serves."""

import asyncio
from collections.abc import Callable
from typing import Final

from runtime.lifecycle import Lifecycle

LOOK_EVERY_S: Final = 0.5


async def announce(lifecycle: Lifecycle, *, ready: Callable[[], bool], relays: Callable[[], int]) -> None:
    """Tells systemd READY when clients can come, not before; and how many relays they can come through. Until the end."""
    shown = ""
    told = False
    while not lifecycle.stop.is_set():
        serves = ready()
        text = f"{relays()} relays" if serves else "waiting for a config and a relay"
        if serves and not told:
            lifecycle.ready(text)
            told = True
        elif text != shown:
            lifecycle.status(text)
        shown = text
        await asyncio.sleep(LOOK_EVERY_S)
