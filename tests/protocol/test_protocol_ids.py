"""Ids, the relays' name of a connector, and pins."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import PREFIXES, ConnectorId, is_id, make_id, relay_hash, spki_pin


@given(st.sampled_from(sorted(PREFIXES)), st.binary(min_size=16, max_size=16))
def test_made_ids_are_ids_of_their_kind_only(kind: str, entropy: bytes) -> None:
    made = make_id(kind, entropy)
    assert len(made) == 26
    assert [other for other in PREFIXES if is_id(made, other)] == [kind]


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_entropy_is_kept(one: bytes, two: bytes) -> None:
    assert (make_id("user", one) == make_id("user", two)) == (one == two)


@pytest.mark.parametrize("length", [0, 15, 17])
def test_entropy_must_be_128_bits(length: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        make_id("user", bytes(length))


def test_prefixes_are_unique_and_golden() -> None:
    assert len(set(PREFIXES.values())) == len(PREFIXES)
    assert make_id("connector", bytes(16)) == "con_AAAAAAAAAAAAAAAAAAAAAA"
    assert make_id("resource", b"\xff" * 16) == "res_" + "_" * 21 + "w"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "usr_",
        "usr_" + "A" * 21,
        "usr_" + "A" * 23,
        "USR_" + "A" * 22,
        "usr_" + "A" * 21 + "=",
        "usr_" + "A" * 22 + "\n",
        "usr-" + "A" * 22,
        "usr_" + "A" * 21 + "é",
        " usr_" + "A" * 22,
        "grp_" + "A" * 22,
    ],
)
def test_t41_not_an_id(text: str) -> None:
    assert not is_id(text, "user")


def test_t22_relay_hash_is_golden_and_43_characters() -> None:
    connector = ConnectorId("con_AAAAAAAAAAAAAAAAAAAAAA")
    digest = hashlib.sha256(b"ostiary connector v1\0con_AAAAAAAAAAAAAAAAAAAAAA").digest()
    assert relay_hash(connector) == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert relay_hash(connector) == "uCZqRn5i5eVn--XWH-HLKnLRf3j8nRxiJ0t5RPTrWss"
    assert len(relay_hash(connector)) == 43


def test_spki_pin_is_golden() -> None:
    assert spki_pin(b"") == "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
