"""The written forms of patterns and ranges, and that the values are values."""

import dataclasses

import pytest

from protocol.acl.model import ALL_PORTS, Acl, NamePattern, PortRange, Ports, Request, Transport
from protocol.acl.names import parse_pattern


@pytest.mark.parametrize(
    "text", ["db.corp", "*.corp", "10.0.0.1", "10.0.0.0/8", "2001:db8::1", "2001:db8::/32", "::/0"]
)
def test_pattern_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_pattern(text)) == text


def test_wildcard() -> None:
    assert NamePattern(("*", "corp")).wildcard
    assert not NamePattern(("corp",)).wildcard


def test_port_range_is_written_shortly() -> None:
    assert str(PortRange(80, 80)) == "80"
    assert str(ALL_PORTS) == "1-65535"


def test_nothing_is_the_default() -> None:
    assert Ports() == Ports((), (), icmp=False)
    assert Acl().entries == ()


def test_values_are_hashable_and_frozen() -> None:
    request = Request("db.corp", Transport.TCP, 80)
    assert len({request, Request("db.corp", Transport.TCP, 80)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.port = 81  # type: ignore[misc]
