"""Makes the doubles in ``tests/support`` importable by their own names, and keeps the browser's tests to themselves."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent / "support"))
BROWSER = Path(__file__).parent / "console"

# How long an example takes says something about the machine and what else runs on it, nothing about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A browser's driver keeps an event loop running in its thread, in which no other test could start one of its own.

    So beside others these tests are left out: ``pytest tests/console`` is a run of its own, and ``make test`` makes it.
    """
    inside = [item for item in items if BROWSER in item.path.parents]
    if inside and len(inside) < len(items):
        config.hook.pytest_deselected(items=inside)
        items[:] = [item for item in items if BROWSER not in item.path.parents]
