"""Typed reading of claims: exact members, exact types, errors that blame one claim (S-7)."""

import contextlib
import ipaddress
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalError, RemoteError, RemoteProtocolError
from protocol.ids import ConnectorId, make_id, relay_hash
from protocol.reasons import Reason
from protocol.tokens.reader import LIST_MAX, TEXT_MAX, TIME_MAX, ClaimReader, network_text_untrusted

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def reader(**members: object) -> ClaimReader:
    return ClaimReader(members, frozenset(members), "thing")


def refused(read: Callable[[], object]) -> str:
    """The detail of the refusal that reading must cause."""
    with pytest.raises(RemoteError) as caught:
        read()
    assert caught.value.reason is Reason.TOKEN_CLAIM
    assert caught.value.detail.startswith("thing ")
    return caught.value.detail


@pytest.mark.parametrize("value", [None, [], "text", 1, True, [("a", 1)]])
def test_only_an_object_is_read(value: object) -> None:
    assert refused(lambda: ClaimReader(value, frozenset(), "thing")) == "thing is no object"


@given(
    st.sets(st.sampled_from("abcdef")),
    st.dictionaries(st.sampled_from("abcdefgh"), json_values),
)
def test_s07_members_are_exactly_the_expected_ones(wanted: set[str], given_members: dict[str, object]) -> None:
    if wanted == set(given_members):
        assert all(
            ClaimReader(given_members, frozenset(wanted), "thing").raw(name) is given_members[name] for name in wanted
        )
        return
    detail = refused(lambda: ClaimReader(given_members, frozenset(wanted), "thing"))
    blamed = (wanted - set(given_members)) or (set(given_members) - wanted)
    assert detail.endswith(", ".join(sorted(blamed)))


def test_names_that_a_peer_invents_do_not_flood_the_message() -> None:
    value = {f"{index:04}" + "x" * 1000: 1 for index in range(1000)}
    assert len(refused(lambda: ClaimReader(value, frozenset(), "thing"))) < 200


def test_members_of_another_case_are_unknown() -> None:
    assert "lacks exp" in refused(lambda: ClaimReader({"EXP": 1}, frozenset({"exp"}), "thing"))


@given(json_values)
def test_text_is_a_bounded_string(value: object) -> None:
    claims = reader(name=value)
    if isinstance(value, str) and value:
        assert claims.text("name") == value
    elif value == "":
        assert claims.text("name", empty=True) == ""
        refused(lambda: claims.text("name"))
    else:
        assert "wrong name" in refused(lambda: claims.text("name", empty=True))


def test_text_may_be_as_long_as_its_limit() -> None:
    assert reader(name="x" * TEXT_MAX).text("name") == "x" * TEXT_MAX
    refused(lambda: reader(name="x" * (TEXT_MAX + 1)).text("name"))
    assert reader(name="x" * 300).text("name", limit=300)


@given(json_values)
def test_integer_is_nothing_that_merely_equals_one(value: object) -> None:
    claims = reader(exp=value)
    if type(value) is int and 0 <= value <= TIME_MAX:
        assert claims.integer("exp") == value
    else:
        assert "wrong exp" in refused(lambda: claims.integer("exp"))


@pytest.mark.parametrize("value", [True, False, 1.0, "1", -1, 2**53, float("inf"), None])
def test_s07_times_are_exact_integers(value: object) -> None:
    refused(lambda: reader(exp=value).integer("exp"))


@pytest.mark.parametrize(("value", "good"), [(0, False), (1, True), (65535, True), (65536, False)])
def test_integer_keeps_its_bounds(value: int, good: bool) -> None:
    claims = reader(port=value)
    if good:
        assert claims.integer("port", least=1, most=65535) == value
    else:
        refused(lambda: claims.integer("port", least=1, most=65535))


@pytest.mark.parametrize("kind", ["device", "user", "service_account", "connector"])
def test_identifier_is_one_of_the_expected_kinds(kind: str) -> None:
    claims = reader(sub=make_id(kind, bytes(16)))
    assert claims.identifier("sub", kind) == claims.raw("sub")
    assert claims.identifier("sub", "grant", kind) == claims.raw("sub")
    assert "wrong sub" in refused(lambda: claims.identifier("sub", "grant"))
    refused(lambda: claims.identifier("sub"))


@pytest.mark.parametrize(
    "value", ["", "dev_", "dev_short", "dev_" + "A" * 23, "dev_" + "A" * 21 + "=", "dev_" + "A" * 22 + "\n", None, 7]
)
def test_t41_identifier_of_another_shape_is_refused(value: object) -> None:
    refused(lambda: reader(sub=value).identifier("sub", "device"))


@pytest.mark.parametrize("value", ["relay.example", "127.0.0.1", "fd00::1", "a_b.example.", "x" * 253])
def test_host_may_be_a_name_or_an_address(value: str) -> None:
    assert reader(fqdn=value).host("fqdn") == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x" * 254,
        "a b",
        "a/b",
        "a@b",
        "a\r\nHost: evil",
        "relay.example\n",
        "[::1]",
        "a?b",
        "a#b",
        "münchen.example",
        "$(id)",
        None,
        ["a"],
    ],
)
def test_t41_host_holds_nothing_that_means_something_in_a_url(value: object) -> None:
    assert "wrong fqdn" in refused(lambda: reader(fqdn=value).host("fqdn"))


def test_connector_hash_has_the_shape_of_one() -> None:
    real = relay_hash(ConnectorId(make_id("connector", bytes(16))))
    assert reader(hash=real).connector_hash("hash") == real
    for wrong in (real[:-1], real + "A", real[:-1] + "=", real[:-1] + "+", real + "\n", None, 5):
        claims = reader(hash=wrong)
        refused(partial(claims.connector_hash, "hash"))


def test_items_is_an_array_of_bounded_length() -> None:
    assert reader(list=[1, "a"]).items("list") == [1, "a"]
    assert reader(list=[]).items("list") == []
    refused(lambda: reader(list=[]).items("list", least=1))
    refused(lambda: reader(list=[1, 2, 3]).items("list", most=2))
    refused(lambda: reader(list=[0] * (LIST_MAX + 1)).items("list"))
    not_arrays: tuple[object, ...] = ({}, "ab", None, (1, 2))
    for wrong in not_arrays:
        claims = reader(list=wrong)
        refused(partial(claims.items, "list"))


@pytest.mark.parametrize("error", [RemoteProtocolError("bad item"), LocalError(Reason.INVALID_INPUT, "bad item")])
def test_errors_of_other_parsers_become_errors_of_the_claim(error: Exception) -> None:
    def parse(value: object) -> object:
        if value == "bad":
            raise error
        return value

    claims = reader(list=["good", "bad"], one="bad", fine="good")
    for read in (lambda: claims.parsed_items("list", parse), lambda: claims.parsed("one", parse)):
        assert "bad item" in refused(read)
    assert claims.parsed("fine", parse) == "good"
    assert reader(list=["good"] * 2).parsed_items("list", parse) == ("good", "good")
    refused(lambda: reader(list=["good"] * 2).parsed_items("list", parse, most=1))


def test_bugs_of_other_parsers_are_not_blamed_on_the_peer() -> None:
    def parse(_: object) -> object:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        reader(one=1).parsed("one", parse)


@given(st.ip_addresses(), st.integers(0, 128))
def test_canonical_networks_and_addresses_are_taken_as_they_stand(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: int
) -> None:
    network = ipaddress.ip_network((address, prefix % (address.max_prefixlen + 1)), strict=False)
    assert network_text_untrusted(str(network)) == str(network)
    assert network_text_untrusted(str(address)) == str(address)


@pytest.mark.parametrize(
    "value",
    [
        "10.0.0.1/8",
        "10.0.0.0/255.0.0.0",
        "010.0.0.1",
        "10.1",
        "0x0a000001",
        "2130706433",
        "FD00::/64",
        "fd00:0::1",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
        " 10.0.0.1",
        "10.0.0.1\n",
        "",
        "localhost",
        None,
        167772161,
        True,
        b"\x7f\x00\x00\x01",
        ["10.0.0.1"],
    ],
)
def test_t31_other_spellings_of_addresses_are_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        network_text_untrusted(value)


@given(json_values)
def test_any_value_is_taken_or_refused_with_our_error(value: object) -> None:
    with contextlib.suppress(RemoteProtocolError):
        assert network_text_untrusted(value) == value
