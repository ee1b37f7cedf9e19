"""/etc/resolv.conf is given back byte for byte, and only while it is ours (F-14, F-15)."""

import os
from ipaddress import ip_address
from pathlib import Path

import pytest

from client.host import resolv_conf
from client.host.cleanup import clean_up
from client.host.journal import Journal
from client.host.resolver_settings import ResolvConf
from protocol.errors import LocalError
from protocol.reasons import Reason

OURS = [ip_address("100.96.0.1")]
ORIGINALS = [
    b"search corp.test example.test\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions timeout:1 edns0\n",
    b"# by dhclient\n\nnameserver 192.0.2.53",
    b"nameserver\t192.0.2.53\n  nameserver 192.0.2.54\n; comment\ndomain x\n",
    b"",
    b"\xff\xfe not even text\nnameserver 192.0.2.53\n",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "resolv.conf"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    (tmp_path / "etc").mkdir()
    return Journal(tmp_path / "undo.journal")


def taken(journal: Journal, path: Path) -> ResolvConf:
    settings = ResolvConf(journal, OURS, path=path)
    settings.apply([])
    return settings


@pytest.mark.parametrize("original", ORIGINALS)
def test_everything_but_nameservers_is_kept(path: Path, journal: Journal, original: bytes) -> None:
    path.write_bytes(original)
    taken(journal, path)
    lines = path.read_bytes().splitlines()
    assert lines[0] + b"\n" == resolv_conf.MARKER
    assert [line for line in lines if b"nameserver" in line] == [b"nameserver 100.96.0.1"]
    kept = [line for line in original.splitlines() if line.split()[:1] != [b"nameserver"]]
    assert [line for line in lines[1:] if b"nameserver" not in line] == kept


@pytest.mark.parametrize("original", ORIGINALS)
def test_f14_given_back_byte_for_byte(path: Path, journal: Journal, original: bytes) -> None:
    path.write_bytes(original)
    path.chmod(0o640)
    taken(journal, path).restore()
    assert path.read_bytes() == original
    assert path.stat().st_mode & 0o777 == 0o640
    assert journal.pending == ()
    assert os.listdir(path.parent) == ["resolv.conf"]


@pytest.mark.parametrize("original", ORIGINALS)
def test_f14_given_back_after_a_crash(path: Path, journal: Journal, tmp_path: Path, original: bytes) -> None:
    path.write_bytes(original)
    taken(journal, path)
    assert clean_up(Journal(tmp_path / "undo.journal")) == ()
    assert path.read_bytes() == original
    assert clean_up(Journal(tmp_path / "undo.journal")) == ()


def test_f15_crash_between_journal_and_change_leaves_the_file_alone(path: Path, journal: Journal) -> None:
    path.write_bytes(ORIGINALS[0])
    ours = resolv_conf.rewritten(ORIGINALS[0], OURS)
    journal.record(resolv_conf.CHANGE, resolv_conf.snapshot_of(path, ours))
    assert clean_up(journal) == ()
    assert path.read_bytes() == ORIGINALS[0]


@pytest.mark.parametrize("crash", [False, True])
def test_f15_not_ours_any_more_is_never_overwritten(path: Path, journal: Journal, crash: bool) -> None:
    path.write_bytes(ORIGINALS[0])
    settings = taken(journal, path)
    path.write_bytes(b"nameserver 198.51.100.1\n")  # a DHCP client
    if crash:
        clean_up(journal)
    else:
        settings.restore()
    assert path.read_bytes() == b"nameserver 198.51.100.1\n"
    assert journal.pending == ()


@pytest.mark.parametrize("crash", [False, True])
def test_f15_what_dhcp_wrote_meanwhile_is_what_comes_back(path: Path, journal: Journal, crash: bool) -> None:
    path.write_bytes(ORIGINALS[0])
    settings = taken(journal, path)
    assert not settings.repair()
    path.write_bytes(b"nameserver 198.51.100.1\n")
    assert settings.repair()
    assert b"nameserver 100.96.0.1\n" in path.read_bytes()
    assert settings.upstreams() == ("198.51.100.1",)
    if crash:
        clean_up(journal)
    else:
        settings.restore()
    assert path.read_bytes() == b"nameserver 198.51.100.1\n"


def test_edits_of_our_version_are_kept(path: Path, journal: Journal) -> None:
    path.write_bytes(ORIGINALS[0])
    settings = taken(journal, path)
    path.write_bytes(path.read_bytes() + b"options rotate\n")
    settings.restore()
    assert path.read_bytes() == (
        b"search corp.test example.test\noptions timeout:1 edns0\noptions rotate\n"
        b"nameserver 192.0.2.53\nnameserver 2001:db8::53\n"
    )


@pytest.mark.parametrize("crash", [False, True])
def test_symlink_comes_back_as_it_was(path: Path, journal: Journal, tmp_path: Path, crash: bool) -> None:
    target = tmp_path / "run.conf"
    target.write_bytes(ORIGINALS[0])
    path.symlink_to("../run.conf")
    settings = taken(journal, path)
    assert not path.is_symlink()
    assert target.read_bytes() == ORIGINALS[0]
    target.write_bytes(b"nameserver 198.51.100.1\n")
    assert settings.upstreams() == ("198.51.100.1",)
    if crash:
        clean_up(journal)
    else:
        settings.restore()
    assert path.readlink() == Path("../run.conf")


def test_symlink_that_we_put_in_place_of_an_edited_file(path: Path, journal: Journal, tmp_path: Path) -> None:
    path.symlink_to("../nowhere")
    settings = taken(journal, path)
    path.write_bytes(path.read_bytes() + b"options rotate\n")
    settings.restore()
    assert path.is_symlink()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("crash", [False, True])
def test_file_that_was_not_there_is_removed(path: Path, journal: Journal, crash: bool) -> None:
    settings = taken(journal, path)
    assert path.read_bytes() == resolv_conf.MARKER + b"nameserver 100.96.0.1\n"
    if crash:
        clean_up(journal)
    else:
        settings.restore()
    assert not path.exists()


def test_file_that_disappeared_stays_away(path: Path, journal: Journal) -> None:
    path.write_bytes(ORIGINALS[0])
    settings = taken(journal, path)
    path.unlink()
    settings.restore()
    assert not path.exists()


def test_ours_already_is_not_taken_over_again(path: Path, journal: Journal) -> None:
    path.write_bytes(ORIGINALS[0])
    taken(journal, path)
    with pytest.raises(LocalError) as caught:
        taken(Journal(path.parent / "another"), path)
    assert caught.value.reason is Reason.DNS_SETUP_FAILED


def test_unwritable_place_is_an_error_and_changes_nothing(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(LocalError) as caught:
        taken(journal, tmp_path / "missing" / "resolv.conf")
    assert caught.value.reason is Reason.DNS_SETUP_FAILED


def test_restore_before_apply_is_harmless(path: Path, journal: Journal) -> None:
    path.write_bytes(ORIGINALS[0])
    settings = ResolvConf(journal, OURS, path=path)
    settings.restore()
    assert not settings.repair()
    assert settings.upstreams() == ("192.0.2.53", "2001:db8::53")
    assert path.read_bytes() == ORIGINALS[0]


def test_our_own_server_is_never_upstream(path: Path, journal: Journal) -> None:
    path.write_bytes(b"nameserver 100.96.0.1\nnameserver 192.0.2.53\n")
    assert ResolvConf(journal, OURS, path=path).upstreams() == ("192.0.2.53",)
