"""Special addresses are known in each of their spellings (T-15, T-31)."""

import ipaddress

import pytest

from protocol.address_kinds import faces_of, forbidden_kind


def kinds(text: str) -> set[str]:
    return {kind for face in faces_of(ipaddress.ip_address(text)) if (kind := forbidden_kind(face)) is not None}


@pytest.mark.parametrize(
    "text", ["10.1.2.3", "192.168.0.1", "203.0.113.7", "fd12:3456::1", "2001:db8::1", "64:ff9b::cb00:7107"]
)
def test_ordinary_addresses_are_not_special(text: str) -> None:
    assert kinds(text) == set()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::1", "loopback"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("fe80::1", "link-local"),
        ("169.254.169.254", "link-local or cloud metadata"),
        ("fd00:ec2::254", "cloud metadata"),
        # The same IPv4 address within IPv6: v4-compatible, NAT64, 6to4, Teredo, ISATAP.
        ("::169.254.169.254", "link-local or cloud metadata"),
        ("64:ff9b::a9fe:a9fe", "link-local or cloud metadata"),
        ("2002:a9fe:a9fe::1", "link-local or cloud metadata"),
        ("2001:0:a9fe:a9fe::1", "link-local or cloud metadata"),
        ("2001:db8::5efe:a9fe:a9fe", "link-local or cloud metadata"),
    ],
)
def test_t31_special_addresses_are_named_in_every_spelling(text: str, kind: str) -> None:
    assert kind in kinds(text)
