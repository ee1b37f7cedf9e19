"""The connector's settings: resolvers with and without a port."""

import pytest

from connector.settings import Settings
from protocol.errors import LocalError
from protocol.reasons import Reason


def test_resolvers_may_carry_a_port() -> None:
    settings = Settings(resolvers=("10.0.0.53", "127.20.0.53:5353", "fd00::53", "[fd00::53]:54", "[::1]"))
    assert settings.resolver_addresses == [
        ("10.0.0.53", 53),
        ("127.20.0.53", 5353),
        ("fd00::53", 53),
        ("fd00::53", 54),
        ("::1", 53),
    ]


@pytest.mark.parametrize("text", ["dns.example", "10.0.0.1:0", "10.0.0.1:dns", "[::1", "[::1]53", "10.0.0.1:70000", ""])
def test_a_malformed_resolver_is_named(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        Settings(resolvers=(text,))
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "resolvers" in caught.value.detail
