"""Where a destination of the proxy mode is reached: through a tunnel, not at all, or in this host's own network.

The name of no resource is looked up here, and its addresses are judged as well: as in TUN mode, what is at a resource's address
goes through the tunnel, whatever name it was asked for by (T-53). The look-ups have threads of their own and a bounded number of
those who wait, so that a resolver that hangs holds up none of the daemon's own connections.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from client.core.classify import Classifier, Denial, Target
from client.core.dns_guard import NameGuard
from client.core.proxied import Elsewhere, judge, judge_addresses
from protocol.acl.model import IPAddress, Transport
from protocol.errors import RemoteError
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.sockets import ADDRESSES_MAX

AT_ONCE: Final = 8
"""Look-ups that run."""
WAITING_MAX: Final = 256
"""Look-ups that wait for one of those to end; more are refused."""
LOOK_UP_DEADLINE_S: Final = 10.0
_KINDS: Final = {Transport.TCP: socket.SOCK_STREAM, Transport.UDP: socket.SOCK_DGRAM}

SocketAddress = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Direct:
    """It is no resource: to be dialled at these addresses, best first."""

    addresses: tuple[SocketAddress, ...]


class Ways:
    """One for a proxy; ``close`` it when nobody asks any more. ``guard``: names that strict DNS keeps on this host."""

    def __init__(self, classifier: Classifier, clock: Clock, guard: NameGuard | None = None) -> None:
        self._classifier = classifier
        self._clock = clock
        self._guard = guard
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="proxy-names")
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    def close(self) -> None:
        """Looks up nothing more; waits for nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def find(self, text: str, transport: Transport, port: int) -> Target | Denial | Direct:
        """Judges a destination as it was typed.

        Raises:
            OstiaryError: what ``judge`` raises; NAME_NOT_FOUND, TIMEOUT, and LIMIT_EXCEEDED when too many look-ups wait.
        """
        found = judge(self._classifier, text, transport, port, self._clock.wall(), self._guard)
        if not isinstance(found, Elsewhere):
            return found
        if not isinstance(found.host, str):
            return Direct((_socket_address(found.host, port),))
        addresses = await self._look_up(found.host, transport, port)
        hosts = [address[0] for address in addresses]
        judged = judge_addresses(self._classifier, hosts, transport, port, self._clock.wall())
        return Direct(tuple(addresses[:ADDRESSES_MAX])) if judged is None else judged

    async def _look_up(self, name: str, transport: Transport, port: int) -> list[SocketAddress]:
        try:
            async with asyncio.timeout(LOOK_UP_DEADLINE_S):
                await self._turn(name)
                asking = partial(socket.getaddrinfo, name, port, type=_KINDS[transport])
                running = asyncio.get_running_loop().run_in_executor(self._threads, asking)
                # A thread cannot be stopped: its place is free when it ends, whoever has gone meanwhile.
                running.add_done_callback(self._ended)
                return [info[4] for info in await asyncio.shield(running)]
        except TimeoutError as exc:
            raise RemoteError(Reason.TIMEOUT, name) from exc
        except OSError as exc:
            raise RemoteError(Reason.NAME_NOT_FOUND, name) from exc

    async def _turn(self, name: str) -> None:
        if self._free.locked() and self._waiting >= WAITING_MAX:
            raise RemoteError(Reason.LIMIT_EXCEEDED, name)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    def _ended(self, running: asyncio.Future[Any]) -> None:
        self._free.release()
        if not running.cancelled():
            running.exception()


def _socket_address(address: IPAddress, port: int) -> SocketAddress:
    return (str(address), port) if address.version == 4 else (str(address), port, 0, 0)
