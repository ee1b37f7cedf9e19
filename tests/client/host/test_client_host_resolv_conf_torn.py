"""Killed in the middle of writing resolv.conf: whatever the moment, the original comes back byte for byte (F-14, F-15)."""

import errno
import ipaddress
import os
from pathlib import Path

import pytest

from client.host import resolv_conf
from client.host.cleanup import JOURNAL_FILE, clean_up
from client.host.journal import Journal
from client.host.resolver_settings import ResolvConf

ORIGINALS = (
    b"nameserver 192.0.2.53\n",
    b"search corp.test\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n\n\n",
    b"nameserver 192.0.2.53",
    b"# " + b"x" * 2000 + b"\nnameserver 192.0.2.53\n",
)


class Killed(BaseException):
    """SIGKILL, as far as this process can play it."""


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is a mount point, as in containers and namespaces: nothing can be renamed onto it."""

    def busy(self: Path, target: Path) -> Path:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "replace", busy)


def take_over(folder: Path, original: bytes) -> tuple[Path, ResolvConf]:
    path = folder / "resolv.conf"
    path.write_bytes(original)
    return path, ResolvConf(Journal(folder / JOURNAL_FILE), [ipaddress.ip_address("100.96.0.1")], path=path)


def cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next in-place write is killed between the write and the cut."""
    real = resolv_conf._write_in_place

    def killed(path: Path, content: bytes) -> None:
        size = path.stat().st_size
        real(path, content + b"\n" * (size - len(content)))
        monkeypatch.setattr(resolv_conf, "_write_in_place", real)
        raise Killed

    monkeypatch.setattr(resolv_conf, "_write_in_place", killed)


@pytest.mark.usefixtures("mounted")
@pytest.mark.parametrize("original", ORIGINALS)
def test_f15_killed_while_taking_it_over_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, original: bytes
) -> None:
    path, settings = take_over(tmp_path, original)
    cut_short(monkeypatch)
    with pytest.raises(Killed):
        settings.apply([])
    assert b"100.96.0.1" in path.read_bytes()
    assert clean_up(Journal(tmp_path / JOURNAL_FILE)) == ()
    assert path.read_bytes() == original


@pytest.mark.usefixtures("mounted")
@pytest.mark.parametrize("original", ORIGINALS)
def test_f15_killed_while_giving_it_back_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, original: bytes
) -> None:
    path, settings = take_over(tmp_path, original)
    settings.apply([])
    cut_short(monkeypatch)
    with pytest.raises(Killed):
        settings.restore()
    # Already now the host asks its own servers, and only those.
    assert b"100.96.0.1" not in path.read_bytes()
    assert clean_up(Journal(tmp_path / JOURNAL_FILE)) == ()
    assert path.read_bytes() == original


def test_f15_killed_before_the_rename_leaves_one_file_that_the_clean_up_takes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, settings = take_over(tmp_path, ORIGINALS[0])

    def killed(self: Path, target: Path) -> Path:
        raise Killed

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            with pytest.raises(Killed):
                settings.apply([])
    assert sorted(each.name for each in tmp_path.iterdir()) == [".resolv.conf.ostiary", "resolv.conf", "undo.journal"]
    assert clean_up(Journal(tmp_path / JOURNAL_FILE)) == ()
    assert [each.name for each in tmp_path.iterdir()] == ["resolv.conf"]
    assert path.read_bytes() == ORIGINALS[0]


@pytest.mark.usefixtures("mounted")
def test_f15_a_file_of_somebody_else_is_not_taken_for_a_torn_one(tmp_path: Path) -> None:
    path, settings = take_over(tmp_path, ORIGINALS[0])
    settings.apply([])
    newer = ORIGINALS[0] + b"# by DHCP\n"
    path.write_bytes(newer)
    assert clean_up(Journal(tmp_path / JOURNAL_FILE)) == ()
    assert path.read_bytes() == newer
