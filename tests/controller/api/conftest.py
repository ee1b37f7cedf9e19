"""A running controller for the tests of its API."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from controller_api import Controller, running


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[Controller]:
    async with running(tmp_path) as made:
        yield made
