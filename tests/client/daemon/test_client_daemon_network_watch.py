"""Elsewhere: a suspended host, an address that is gone, and the kernel's word for it."""

import asyncio
import contextlib
import sys

import pytest
from client_netns import ROOT, Namespace, missing, namespace

from client.daemon.network_watch import NetworkWatch, is_here, watch
from client.host.network_events import NetworkEvents


class Clocks:
    """Two clocks; one of them stands still while the host sleeps."""

    def __init__(self) -> None:
        self.boot = 1000.0
        self.awake = 500.0

    def work(self, seconds: float) -> None:
        self.boot += seconds
        self.awake += seconds

    def sleep(self, seconds: float) -> None:
        self.boot += seconds


def test_f18_a_suspended_host_is_noticed_by_its_clocks_however_short_it_slept() -> None:
    clocks = Clocks()
    network = NetworkWatch(lambda: clocks.boot, lambda: ("192.0.2.7",), lambda: clocks.awake)
    clocks.work(1)
    assert network.look() is None
    clocks.work(0.5)
    clocks.sleep(2)
    assert network.look() == "the host slept for 2 s"
    clocks.work(1)
    assert network.look() is None
    clocks.sleep(36_000)
    assert network.look() == "the host slept for 36000 s"


def test_f18_a_process_that_stood_still_is_noticed_too() -> None:
    clocks = Clocks()
    network = NetworkWatch(lambda: clocks.boot, lambda: ("192.0.2.7",), lambda: clocks.awake)
    clocks.work(60)
    assert network.look() == "60 s went by unseen"


def test_f17_an_address_of_another_host_is_not_here() -> None:
    assert is_here("127.0.0.1")
    assert not is_here("192.0.2.77")
    assert not is_here("2001:db8::77")


async def test_without_a_change_the_wait_ends_by_itself() -> None:
    with NetworkEvents() as events:
        for _ in range(50):
            if not await events.wait(0.01):
                return
    raise AssertionError("this host's network changed fifty times in a row")


async def test_f17_changes_are_told_in_turn() -> None:
    seen: list[str] = []
    address = ["192.0.2.7"]
    network = NetworkWatch(lambda: 0.0, lambda: tuple(address))
    task = asyncio.create_task(watch(network, seen.append))
    address[0] = "198.51.100.7"
    async with asyncio.timeout(60):
        while not seen:
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert seen == ["own addresses"]


IN_NAMESPACE = """
import asyncio, subprocess
from client.host.network_events import NetworkEvents

async def main():
    with NetworkEvents() as events:
        while await events.wait(0.2):
            pass
        for change in ("link add one type veth peer name two", "link set one up", "address add 192.0.2.7/24 dev one",
                       "route add 198.51.100.0/24 dev lo", "-6 address add 2001:db8::7/64 dev one"):
            subprocess.run(["/usr/sbin/ip", *change.split()], check=True)
            assert await events.wait(20), change
            while await events.wait(0.1):
                pass
    print("all noticed")

asyncio.run(main())
"""


def test_f17_the_kernel_says_when_links_addresses_and_routes_change() -> None:
    if reason := missing():
        pytest.skip(reason)
    with namespace() as inside:
        assert isinstance(inside, Namespace)
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{IN_NAMESPACE}"
        assert inside.run(sys.executable, "-c", code).strip() == "all noticed"
