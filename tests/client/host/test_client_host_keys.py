"""The device's key is private, or it is not used (C6, T-57)."""

import os
from pathlib import Path

import pytest

from client.host.keys import KEY_FILE, load_key, load_or_create_key, remove_key
from protocol.errors import LocalError
from protocol.reasons import Reason


def test_made_once_and_loaded_again(tmp_path: Path) -> None:
    assert load_key(tmp_path) is None
    key = load_or_create_key(tmp_path)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    again = load_or_create_key(tmp_path)
    assert again.private_numbers() == key.private_numbers()


def test_removed_key_is_another_device(tmp_path: Path) -> None:
    key = load_or_create_key(tmp_path)
    remove_key(tmp_path)
    remove_key(tmp_path)
    assert load_or_create_key(tmp_path).private_numbers() != key.private_numbers()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_t57_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    load_or_create_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(LocalError, match=f"{mode:o}") as caught:
        load_key(tmp_path)
    assert caught.value.reason is Reason.PERMISSION_DENIED


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_t57_key_of_somebody_else_is_refused(tmp_path: Path) -> None:
    load_or_create_key(tmp_path)
    os.chown(tmp_path / KEY_FILE, 12345, 12345)
    with pytest.raises(LocalError, match="12345"):
        load_key(tmp_path)


def test_t57_symlink_is_refused(tmp_path: Path) -> None:
    load_or_create_key(tmp_path)
    (tmp_path / KEY_FILE).rename(tmp_path / "elsewhere")
    (tmp_path / KEY_FILE).symlink_to("elsewhere")
    with pytest.raises(LocalError) as caught:
        load_key(tmp_path)
    assert caught.value.reason is Reason.STATE_CORRUPT


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_damaged_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    (tmp_path / KEY_FILE).chmod(0o600)
    with pytest.raises(LocalError) as caught:
        load_key(tmp_path)
    assert caught.value.reason is Reason.STATE_CORRUPT


def test_unreadable_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalError):
        load_key(tmp_path / "file")
    with pytest.raises(LocalError):
        remove_key(tmp_path / "file")
