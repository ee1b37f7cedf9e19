"""What a host's files say about it: pure parsers, on what real hosts show."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.core.device_facts import (
    DEPTH_MAX,
    HOOK_INPUT,
    Chain,
    RootMount,
    filters_input,
    is_encrypted,
    parse_os_release,
    parse_root_mount,
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('ID=debian\nVERSION_ID="12"\n', ("debian", "12")),
        ("# comment\nNAME='Arch Linux'\nID=arch\nBUILD_ID=rolling\n", ("arch", "")),
        ('ID="rhel"\nVERSION_ID=\'9.4\'\nID_LIKE="fedora"', ("rhel", "9.4")),
        ("VERSION_ID=24.04", ("", "24.04")),
        ("", ("", "")),
        ('ID="', ('"', "")),
    ],
)
def test_os_release(text: str, said: tuple[str, str]) -> None:
    assert parse_os_release(text) == said


EXT4 = "29 1 254:1 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw,errors=remount-ro"
PROC = "22 29 0:21 / /proc rw,nosuid - proc proc rw"
BTRFS = "30 1 0:26 /@ / rw,relatime - btrfs /dev/mapper/luks-1\\040a rw,space_cache=v2"


def test_the_root_mount() -> None:
    assert parse_root_mount(f"{PROC}\n{EXT4}\n") == RootMount("254:1", "/dev/mapper/vg-root")
    mount = parse_root_mount(f"{EXT4}\n{BTRFS}\n{PROC}")
    assert mount == RootMount("0:26", "/dev/mapper/luks-1 a")
    assert mount is not None
    assert mount.anonymous
    assert parse_root_mount(PROC) is None


@given(st.text())
def test_t58_any_text_is_read(text: str) -> None:
    parse_os_release(text)
    parse_root_mount(text)


def judge(device: str, uuids: Mapping[str, str], below: Mapping[str, list[str]]) -> bool:
    return is_encrypted(device, lambda number: uuids.get(number, ""), lambda number: below.get(number, []))


def test_a_volume_on_an_encrypted_device_is_encrypted() -> None:
    below = {"254:1": ["254:0"], "254:0": ["259:2"]}
    assert judge("254:1", {"254:1": "LVM-x", "254:0": "CRYPT-LUKS2-y"}, below)
    assert judge("254:0", {"254:0": "CRYPT-PLAIN-y"}, below)


def test_a_bare_partition_and_a_plain_volume_are_not() -> None:
    assert not judge("259:2", {}, {})
    assert not judge("254:1", {"254:1": "LVM-x"}, {"254:1": ["259:2"]})


def test_all_parts_have_to_be_encrypted() -> None:
    below = {"9:0": ["254:0", "254:1"]}
    assert judge("9:0", {"254:0": "CRYPT-a", "254:1": "CRYPT-b"}, below)
    assert not judge("9:0", {"254:0": "CRYPT-a"}, below)


def test_a_circle_ends() -> None:
    assert not judge("1:1", {}, {"1:1": ["1:1"]})
    chain = {f"1:{number}": [f"1:{number + 1}"] for number in range(DEPTH_MAX + 2)}
    assert judge("1:0", {f"1:{DEPTH_MAX}": "CRYPT-a"}, chain)
    assert not judge("1:0", {f"1:{DEPTH_MAX + 1}": "CRYPT-a"}, chain)


INPUT = Chain("filter", "INPUT", "filter", HOOK_INPUT, drops=False)


@pytest.mark.parametrize(
    ("chains", "counts", "guarded"),
    [
        ([], {}, False),
        ([INPUT], {}, False),
        ([INPUT], {("filter", "INPUT"): 1}, True),
        ([INPUT], {("filter", "DOCKER"): 9}, False),
        ([Chain("f", "in", "filter", HOOK_INPUT, drops=True)], {}, True),
        ([Chain("nat", "INPUT", "nat", HOOK_INPUT, drops=False)], {("nat", "INPUT"): 3}, False),
        ([Chain("f", "forward", "filter", 2, drops=True)], {("f", "forward"): 3}, False),
        ([Chain("f", "helper", "", None, drops=True)], {("f", "helper"): 3}, False),
    ],
)
def test_a_firewall_guards_what_comes_in(
    chains: list[Chain], counts: dict[tuple[str, str], int], guarded: bool
) -> None:
    assert filters_input(chains, lambda: counts) is guarded
