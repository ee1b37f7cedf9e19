"""What rests encrypted in the database."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.identity.sealing import MASTER_SECRET_FILE, Seal, create_master_secret, load_seal
from protocol.errors import LocalError
from protocol.reasons import Reason


@given(st.binary(max_size=512), st.text(max_size=40))
def test_opens_what_it_sealed(plaintext: bytes, name: str) -> None:
    seal = Seal(b"m" * 32)
    sealed = seal.seal(name, plaintext)
    assert seal.open(name, sealed) == plaintext
    assert len(plaintext) < 8 or plaintext not in sealed


def test_refuses_another_name_another_secret_and_damage() -> None:
    seal = Seal(b"m" * 32)
    sealed = seal.seal("ca", b"private")
    assert seal.seal("ca", b"private") != sealed
    for wrong, name, value in (
        (seal, "signing_key", sealed),
        (Seal(b"n" * 32), "ca", sealed),
        (seal, "ca", sealed[:-1]),
        (seal, "ca", b""),
        (seal, "ca", sealed[:5]),
        (seal, "ca", b"\x02" + sealed[1:]),
    ):
        with pytest.raises(LocalError) as refused:
            wrong.open(name, value)
        assert refused.value.reason is Reason.STATE_CORRUPT


def test_the_master_secret_is_made_once_and_private(tmp_path: Path) -> None:
    assert create_master_secret(tmp_path)
    first = (tmp_path / MASTER_SECRET_FILE).read_bytes()
    assert len(first) == 32
    assert (tmp_path / MASTER_SECRET_FILE).stat().st_mode & 0o777 == 0o600
    assert not create_master_secret(tmp_path)
    assert (tmp_path / MASTER_SECRET_FILE).read_bytes() == first
    assert load_seal(tmp_path).open("x", Seal(first).seal("x", b"y")) == b"y"


def test_names_the_place_where_no_secret_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=MASTER_SECRET_FILE) as refused:
        create_master_secret(tmp_path / "missing")
    assert refused.value.reason is Reason.NOT_FOUND


def test_says_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(LocalError) as missing:
        load_seal(tmp_path)
    assert missing.value.reason is Reason.NOT_SET_UP
    path = tmp_path / MASTER_SECRET_FILE
    path.write_bytes(b"m" * 32)
    path.chmod(0o644)
    with pytest.raises(LocalError, match="chmod"):
        load_seal(tmp_path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(LocalError) as refused:
        load_seal(tmp_path)
    assert refused.value.reason is Reason.STATE_CORRUPT
