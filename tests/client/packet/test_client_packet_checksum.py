"""Fast checksums equal the word-by-word ones (RFC 1071, RFC 1624)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_reference import pseudo, word_sum

from client.packet.checksum import checksum, delta, fold, ones_sum, pseudo_header_sum

words = st.binary(max_size=64).map(lambda data: data + b"\0" * (len(data) % 2))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_sum_equals_the_slow_one(data: bytes) -> None:
    assert ones_sum(data) == word_sum(data)
    assert ones_sum(memoryview(data)) == word_sum(data)


@pytest.mark.parametrize(
    ("data", "total"),
    [(b"", 0), (b"\0\0", 0), (b"\xff\xff", 0xFFFF), (b"\xff\xff\xff\xff", 0xFFFF), (b"\x01", 0x0100), (b"\0\1\0\2", 3)],
)
def test_sum_of_special_values(data: bytes, total: int) -> None:
    assert ones_sum(data) == total


def test_rfc_1071_example() -> None:
    assert ones_sum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2 ^ 0xFFFF


@settings(deadline=None)
@given(st.integers(0, 1 << 40))
def test_fold_keeps_the_value_modulo_65535(total: int) -> None:
    assert fold(total) <= 0xFFFF
    assert fold(total) % 0xFFFF == total % 0xFFFF


@settings(deadline=None)
@given(st.sampled_from([4, 16]), st.data(), st.sampled_from([6, 17, 58]), st.integers(0, 70_000))
def test_pseudo_header_equals_the_slow_one(size: int, data: st.DataObject, protocol: int, length: int) -> None:
    source = data.draw(st.binary(min_size=size, max_size=size))
    destination = data.draw(st.binary(min_size=size, max_size=size))
    if size == 4:
        length %= 65536
    assert pseudo_header_sum(source, destination, protocol, length) == word_sum(
        pseudo(source, destination, protocol, length)
    )


@settings(deadline=None)
@given(words, words, words)
def test_delta_updates_a_checksum_as_recomputing_does(before: bytes, old: bytes, new: bytes) -> None:
    new = new[: len(old)].ljust(len(old), b"\x17")
    stored = word_sum(before + b"\x01\x02" + old) ^ 0xFFFF
    updated = fold((stored ^ 0xFFFF) + delta(old, new)) ^ 0xFFFF
    assert updated == word_sum(before + b"\x01\x02" + new) ^ 0xFFFF
