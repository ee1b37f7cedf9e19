"""These tests run on the event loop that the daemons use; a module that says BOTH_LOOPS = True, on asyncio's own too."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if isinstance(item, pytest.Function) and getattr(item.module, "BOTH_LOOPS", False):
        factories["asyncio"] = asyncio.new_event_loop
    return factories
