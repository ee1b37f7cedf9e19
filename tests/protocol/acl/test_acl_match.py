"""The index finds what a slow reference finds, in the documented order."""

import ipaddress

from acl_support import acls, covers, hosts, make_entry, specificity
from hypothesis import given, settings

from protocol.acl.match import NAMES_KEPT, AclIndex
from protocol.acl.model import ALL_PORTS, Acl, Entry, IPAddress, Ports
from protocol.acl.names import parse_pattern
from protocol.ids import ResourceId

OPEN = Ports((ALL_PORTS,))


def _entry(letter: str, pattern: str) -> Entry:
    return make_entry(letter, parse_pattern(pattern), OPEN)


def _found(index: AclIndex, host: str | IPAddress) -> list[str]:
    return [entry.resource.id[-1] for entry in index.match(host)]


@settings(max_examples=200)
@given(acls, hosts)
def test_match_agrees_with_the_reference(acl: Acl, host: str | IPAddress) -> None:
    covering = [entry for entry in acl.entries if covers(entry.resource.address, host)]
    covering.sort(key=lambda entry: ([-part for part in specificity(entry)], entry.resource.id))
    assert list(AclIndex(acl).match(host)) == covering


def test_most_specific_first() -> None:
    index = AclIndex(
        Acl(
            (
                _entry("A", "10.0.0.0/8"),
                _entry("B", "10.1.0.0/16"),
                _entry("C", "10.1.2.3"),
                _entry("D", "0.0.0.0/0"),
                _entry("E", "*.corp"),
                _entry("F", "*.a.corp"),
                _entry("G", "db.a.corp"),
            )
        )
    )
    assert _found(index, ipaddress.ip_address("10.1.2.3")) == ["C", "B", "A", "D"]
    assert _found(index, ipaddress.ip_address("192.0.2.1")) == ["D"]
    assert _found(index, "db.a.corp") == ["G", "F", "E"]
    assert _found(index, "a.corp") == ["E"]
    assert _found(index, "corp") == []


def test_equal_ones_by_resource_id_whatever_the_order() -> None:
    one, two = _entry("A", "*.corp"), _entry("B", "*.corp")
    for entries in ((one, two), (two, one)):
        assert _found(AclIndex(Acl(entries)), "x.corp") == ["A", "B"]


def test_t31_mapped_address_is_judged_as_ipv4() -> None:
    index = AclIndex(Acl((_entry("A", "::/0"), _entry("B", "10.0.0.0/8"))))
    assert _found(index, ipaddress.ip_address("::ffff:10.0.0.1")) == ["B"]
    assert _found(index, ipaddress.ip_address("::ffff:192.0.2.1")) == []


def test_versions_do_not_mix() -> None:
    index = AclIndex(Acl((_entry("A", "0.0.0.0/0"),)))
    assert _found(index, ipaddress.ip_address("::1")) == []
    assert _found(index, ipaddress.ip_address("0.0.0.0")) == ["A"]
    assert _found(index, ipaddress.ip_address("255.255.255.255")) == ["A"]


def test_address_in_a_name_is_no_address() -> None:
    assert _found(AclIndex(Acl((_entry("A", "0.0.0.0/0"),))), "10.0.0.1") == []


def test_entry_by_resource() -> None:
    entry = _entry("A", "db.corp")
    index = AclIndex(Acl((entry,)))
    assert index.entry(entry.resource.id) is entry
    assert index.entry(ResourceId("res_" + "Z" * 22)) is None


def test_empty_list_matches_nothing() -> None:
    index = AclIndex(Acl())
    assert _found(index, "a.corp") == []
    assert _found(index, ipaddress.ip_address("10.0.0.1")) == []


def test_names_that_were_asked_for_are_kept_in_bounds_and_answered_alike() -> None:
    entry = make_entry("a", parse_pattern("*.corp.example"), ALL_PORTS)
    index = AclIndex(Acl((entry,)))
    names = [f"h{number}.corp.example" for number in range(NAMES_KEPT + 5)] + ["elsewhere.example"]
    for _ in range(2):
        assert [index.match_name(name) for name in names] == [(entry,)] * (len(names) - 1) + [()]
        assert len(index._known) <= NAMES_KEPT
