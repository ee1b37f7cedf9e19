"""One connection through the TUN device at start, and the name of what blocks it if it fails.

The interceptor turns connections to the plan's probe addresses around without asking anybody, so a ``connect()`` that
succeeds has used everything that a real connection uses: rule, route, device, rewriting, the host's INPUT rules for the
turned packet, the listener, and the way back.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from client.core.addresses import AddressPlan
from client.host.netlink import Netlink
from client.host.network import read_sysctl
from protocol.acl.model import IPAddress
from protocol.errors import LocalError
from protocol.reasons import Reason

DEADLINE_S: Final = 3.0
"""One retransmit of the SYN fits in."""
_PORT: Final = 9


async def self_test(plan: AddressPlan, device: str, probes_seen: Callable[[], int]) -> None:
    """Connects through the device over each IP version in use. The device's loop and the listeners must be running.

    Args:
        plan: the addresses.
        device: name of the TUN device.
        probes_seen: reads ``TcpIntercept.probes_seen``; whether it moved tells on which side a packet got lost.

    Raises:
        LocalError: SELF_TEST_FAILED, naming what is in the way.
    """
    for address in (plan.probe_v4, plan.probe_v6):
        if address is not None:
            before = probes_seen()
            if not await _connects(address):
                entered = probes_seen() > before
                why = await asyncio.to_thread(_diagnose, address, device, entered=entered)
                raise LocalError(Reason.SELF_TEST_FAILED, why)


async def _connects(address: IPAddress) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
        try:
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.get_running_loop().sock_connect(sock, (str(address), _PORT))
        except (OSError, TimeoutError):
            return False
        return True


def _diagnose(address: IPAddress, device: str, *, entered: bool) -> str:
    family = f"IPv{address.version}"
    if not entered:
        before = _rules_before(address)
        first = f"{', '.join(before[:4])} comes before ours; most likely another VPN. " if before else ""
        return (
            f"{family}: the packet to {address} did not enter {device}; {first}Another routing rule, a VPN or an OUTPUT rule "
            "of the firewall takes it"
        )
    strict = address.version == 4 and _has_strict_rp_filter(device)
    hint = f"set net.ipv4.conf.{device}.rp_filter to 2, and " if strict else ""
    return (
        f"{family}: the packet turned around in {device} was dropped by this host; {hint}allow input on {device} in the "
        "firewall (nft, iptables or firewalld)"
    )


def _rules_before(address: IPAddress) -> tuple[str, ...]:
    try:
        with Netlink() as netlink:
            return netlink.rules_before_ours(address.version)
    except (LocalError, OSError):
        return ()


def _has_strict_rp_filter(device: str) -> bool:
    """The larger value of `all` and the device's counts; 1 is strict, 2 loose."""
    values = [read_sysctl(f"ipv4/conf/{name}/rp_filter") for name in ("all", device)]
    return max(value or "0" for value in values) == "1"
