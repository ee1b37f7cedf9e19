"""Connections that are open and quiet, through the real device and tunnel: what they cost the client and the connector.

Part of ``make bench-idle``. ``python -m bench.client_flows HOST PORT`` is the program on the laptop: it reads from standard
input how many connections to have, opens what is missing, many at a time, and says the number once each has echoed a byte.
When its input ends it says how many of them still echo.
"""

import asyncio
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from bench.figures import Figures
from bench.usage import cpu_seconds, rss
from lab import flow_services as at
from lab.processes import LabError, wait_for
from lab.product import Product

HOST = "bench.corp.internal"
AT_ONCE = 64
"""Under way together: far fewer than the 1,024 that the client lets wait."""
ANSWER_DEADLINE_S = 30.0
ALL_DEADLINE_S = 120.0
SETTLE_S = 3.0

T = TypeVar("T")


def measure(product: Product, figures: Figures, counts: Iterable[int], seconds: float) -> None:
    """Opens as many as each count says, the next ones beside the last, and watches them; then ends all. Raises LabError."""
    lab = product.lab
    lab.daemon("servers", "flow-services", sys.executable, "-m", "lab.flow_services", str(lab.folder))
    wait_for("the echo server", lambda: "listening" in lab.log("flow-services"), 30)
    pids: dict[str, int] = {}
    for name, daemon in (("ostiaryd", "client"), ("connector", "connector")):
        [pids[name]] = lab.pids(daemon)
    alone = {name: rss(pid) for name, pid in pids.items()}
    open_before = _flows(product)
    process = lab["laptop"].start(
        *(sys.executable, "-m", "bench.client_flows", HOST, str(at.ECHO_PORT)),
        log=lab.folder / "bench-flows.log",
        pipe=True,
    )
    lab.adopt("bench-flows", process)
    assert process.stdin is not None
    there = 0
    for count in counts:
        began = time.monotonic()
        process.stdin.write(b"%d\n" % count)
        process.stdin.flush()
        if heard(process) != count:
            raise LabError(f"{count:,} flows were not opened:\n{lab.log('bench-flows')[-3000:]}")
        rate = (count - there) / (time.monotonic() - began)
        figures.add(f"{count:,} idle flows: opened, {AT_ONCE} at a time", rate, "1/s")
        if (seen := _flows(product) - open_before) < count:
            raise LabError(f"the client carries {seen:,} of {count:,} flows")
        _watch(figures, pids, alone, count, seconds)
        there = count
    process.stdin.close()
    if (alive := heard(process)) != there:
        raise LabError(f"of {there:,} flows {alive:,} were alive at the end")
    process.wait(ANSWER_DEADLINE_S)
    wait_for("the flows to end", lambda: _flows(product) <= open_before, 60)
    time.sleep(SETTLE_S)
    for name, pid in pids.items():
        figures.add(f"RSS after {there:,} flows have ended: {name}", rss(pid), "MB")


def _watch(figures: Figures, pids: dict[str, int], alone: dict[str, float], count: int, seconds: float) -> None:
    """Memory and CPU of the roles while nothing moves."""
    time.sleep(SETTLE_S)  # what opening has begun ends within this
    used = {name: cpu_seconds(pid) for name, pid in pids.items()}
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    for name, pid in pids.items():
        now = rss(pid)
        kind = f"{count:,} idle flows"
        figures.add(f"RSS with {kind}: {name}", now, "MB")
        figures.add(f"RSS for each of {kind}: {name}", (now - alone[name]) * 1000 / count, "kB")
        figures.add(f"CPU with {kind}: {name}", 100 * (cpu_seconds(pid) - used[name]) / passed, "% of a core")


def _flows(product: Product) -> int:
    """How many flows the client says that it carries."""
    return int(product.client("status")["flows"])


def heard(process: "subprocess.Popen[bytes]") -> int:
    """The next number that the program says; 0 when it ended without."""
    line = process.stdout.readline() if process.stdout else b""
    return int(line or b"0")


# --- on the laptop ---------------------------------------------------------------------------------------------------


async def hold(host: str, port: int) -> None:
    """Opens connections, keeps them, and counts at the end those that still answer. Raises OSError, TimeoutError."""
    loop = asyncio.get_running_loop()
    address = (socket.gethostbyname(host), port)
    socks: list[socket.socket] = []

    async def echo(sock: socket.socket) -> bool:
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            await loop.sock_sendall(sock, b"x")
            return await loop.sock_recv(sock, 1) == b"x"

    async def one_more(_: int) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            await loop.sock_connect(sock, address)
        if await echo(sock):
            socks.append(sock)

    while line := await asyncio.to_thread(sys.stdin.readline):
        await _each(one_more, range(int(line) - len(socks)))
        print(len(socks), flush=True)
    alive: list[socket.socket] = []

    async def look(sock: socket.socket) -> None:
        if await echo(sock):
            alive.append(sock)

    await _each(look, socks)
    print(len(alive), flush=True)


async def _each(work: Callable[[T], Awaitable[None]], of: Iterable[T]) -> None:
    """Does it for each, so many at once."""
    left = iter(of)

    async def worker() -> None:
        for each in left:
            await work(each)

    async with asyncio.timeout(ALL_DEADLINE_S), asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(hold(sys.argv[1], int(sys.argv[2])))
