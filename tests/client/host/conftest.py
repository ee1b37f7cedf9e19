"""A namespace for each test that changes a host."""

from collections.abc import Iterator

import client_netns
import pytest


@pytest.fixture
def inside() -> Iterator[client_netns.Namespace]:
    """A fresh namespace; skips where there can be none."""
    reason = client_netns.missing()
    if reason is not None:
        pytest.skip(reason)
    with client_netns.namespace() as made:
        yield made
