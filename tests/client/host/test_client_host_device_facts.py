"""Reading how a host is set up: a made-up tree of files, and real packet filters in a namespace."""

import os
from pathlib import Path

import pytest
from client_netns import Namespace

from client.host.device_facts import disk_encrypted, read_device_facts
from protocol.version import SOFTWARE

FIREWALL = "from client.host.device_facts import firewall; print(firewall())"


def a_host(root: Path, mountinfo: str, devices: dict[str, tuple[str, list[str]]]) -> Path:
    """A tree with these block devices: number -> device-mapper UUID and the devices below."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(mountinfo)
    for number, (uuid, below) in devices.items():
        block = root / "sys/dev/block" / number
        (block / "slaves").mkdir(parents=True)
        if uuid:
            (block / "dm").mkdir()
            (block / "dm/uuid").write_text(uuid + "\n")
        for name in below:
            (block / "slaves" / name.replace(":", "_")).mkdir()
            (block / "slaves" / name.replace(":", "_") / "dev").write_text(name + "\n")
    return root


@pytest.mark.parametrize(
    ("number", "devices", "encrypted"),
    [
        ("254:1", {"254:1": ("LVM-a", ["254:0"]), "254:0": ("CRYPT-LUKS2-b", ["8:2"]), "8:2": ("", [])}, True),
        ("254:1", {"254:1": ("LVM-a", ["8:2"]), "8:2": ("", [])}, False),
        ("8:2", {"8:2": ("", [])}, False),
        ("8:3", {"8:2": ("", [])}, None),
    ],
)
def test_the_disk(
    tmp_path: Path, number: str, devices: dict[str, tuple[str, list[str]]], encrypted: bool | None
) -> None:
    host = a_host(tmp_path, f"29 1 {number} / / rw - ext4 /dev/sda2 rw\n", devices)
    assert disk_encrypted(host) is encrypted


def test_a_root_that_lies_on_no_device_is_not_known(tmp_path: Path) -> None:
    assert disk_encrypted(a_host(tmp_path, "29 1 0:31 / / rw - overlay overlay rw\n", {})) is None
    assert disk_encrypted(tmp_path / "nothing") is None


def test_what_cannot_be_read_is_left_open(tmp_path: Path) -> None:
    facts = read_device_facts(tmp_path)
    assert (facts.distribution, facts.version, facts.disk_encrypted) == ("", "", None)
    assert (facts.os, facts.kernel, facts.client) == ("linux", os.uname().release, SOFTWARE)


def test_the_distribution_is_found_at_its_second_place(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("ID=Fedora\nVERSION_ID=43\n")
    facts = read_device_facts(tmp_path)
    assert (facts.distribution, facts.version) == ("fedora", "43")


def test_packet_filters(inside: Namespace) -> None:
    def firewall() -> str:
        return inside.python(FIREWALL).strip()

    assert firewall() == "False"
    inside.run("nft", "add table inet guard { chain in { type filter hook input priority 0; }; }")
    assert firewall() == "False"
    inside.run("nft", "add rule inet guard in tcp dport 1 drop")
    assert firewall() == "True"
    inside.run("nft", "flush ruleset")
    assert firewall() == "False"
    inside.run("nft", "add table ip6 guard { chain in { type filter hook input priority 0; policy drop; }; }")
    assert firewall() == "True"
