"""This host's addresses as the kernel's tables have them."""

import ipaddress
from pathlib import Path

from connector.host_addresses import own_addresses

FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.20.0.0/24 2 0 2
        |-- 10.20.0.0
           /24 link UNICAST
        |-- 10.20.0.2
           /32 host LOCAL
        |-- 10.20.0.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.20.0.2
        /32 host LOCAL
     |-- 192.0.2.9
        /32 host LOCAL
"""
IF_INET6 = """\
fd000020000000000000000000000002 02 40 00 80     lan0
fd000020000000000000000000000003 02 40 00 01     lan0
fd000020000000000000000000000004 02 40 00 60     lan0
fe80000000000000000000000000000a 02 40 20 80     lan0
00000000000000000000000000000001 01 80 10 80       lo
"""


def test_local_addresses_are_found_once_without_loopback(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(FIB_TRIE)
    assert [str(each) for each in own_addresses(4, tmp_path)] == ["10.20.0.2", "192.0.2.9"]


def test_of_ipv6_those_count_that_stay_and_that_others_reach(tmp_path: Path) -> None:
    (tmp_path / "if_inet6").write_text(IF_INET6)
    assert own_addresses(6, tmp_path) == (ipaddress.ip_address("fd00:20::2"),)


def test_a_host_that_says_nothing_has_none(tmp_path: Path) -> None:
    assert own_addresses(4, tmp_path) == own_addresses(6, tmp_path) == ()
    (tmp_path / "if_inet6").write_text("nonsense")
    assert own_addresses(6, tmp_path) == ()


def test_the_kernel_of_this_host_is_understood() -> None:
    assert all(not address.is_loopback for address in (*own_addresses(4), *own_addresses(6)))
