"""The load and its other end: connections, questions and answers, and transfers whose bytes are hashed at both ends.

    python -m bench.load serve                                      the servers' side
    python -m bench.load connects HOST COUNT                        connect, 64-byte echo, close, one after the other
    python -m bench.load storm HOST COUNT WIDTH                     the same, so many at once
    python -m bench.load first HOST                                 one connection: until connected, until the first byte
    python -m bench.load until HOST                                 tries until a first byte comes; when, by the monotonic clock
    python -m bench.load answers HOST SECONDS                       200 bytes there and back on one connection
    python -m bench.load transfer HOST up|down BYTES                one transfer; both hashes

Every client prints one line of JSON; times are seconds. What is measured must not be the load's own work: sockets block, the
server is a uvloop protocol.
"""

import asyncio
import contextlib
import hashlib
import json
import random
import resource
import socket
import socketserver
import struct
import sys
import threading
import time
from typing import Any, Final

ECHO_PORT: Final = 7007
TRANSFER_PORT: Final = 7008
DEADLINE_S: Final = 20.0
_ATTEMPTS_EACH_S: Final = 0.02
_QUESTION: Final = bytes(200)
_HELLO: Final = bytes(64)
_BLOCK: Final = random.Random(7).randbytes(1 << 20)
_HEADER: Final = struct.Struct("!cQ")
_BACKLOG: Final = 4096


def connects(address: tuple[str, int], count: int) -> dict[str, list[float]]:
    """Connects, echoes and closes; until connected, and until closed."""
    connected, closed = [], []
    for _ in range(count):
        began = time.perf_counter()
        with _open(address) as sock:
            connected.append(time.perf_counter() - began)
            _ask(sock, _HELLO)
        closed.append(time.perf_counter() - began)
    return {"connected": connected, "closed": closed}


def storm(address: tuple[str, int], count: int, width: int) -> dict[str, Any]:
    """The same from ``width`` threads; the times of each, and how long all took. What failed is counted."""
    left = iter(range(count))
    closed: list[float] = []
    failed: list[str] = []
    lock = threading.Lock()

    def worker() -> None:
        while True:
            with lock:
                if next(left, None) is None:
                    return
            began = time.perf_counter()
            try:
                with _open(address) as sock:
                    _ask(sock, _HELLO)
            except OSError as error:
                failed.append(str(error))
                continue
            closed.append(time.perf_counter() - began)

    threads = [threading.Thread(target=worker) for _ in range(width)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"closed": closed, "failed": len(failed), "took": time.perf_counter() - began}


def first(address: tuple[str, int]) -> dict[str, float]:
    """One connection."""
    began = time.perf_counter()
    with _open(address) as sock:
        connected = time.perf_counter() - began
        _ask(sock, _HELLO)
        return {"connected": connected, "first_byte": time.perf_counter() - began}


def until(address: tuple[str, int]) -> dict[str, float]:
    """Begins an attempt each 20 ms until one has its echo: none waits for the retransmission of another's lost SYN.

    Raises:
        TimeoutError: none had it within DEADLINE_S.
    """
    came: list[float] = []
    there = threading.Event()

    def attempt() -> None:
        with contextlib.suppress(OSError), socket.create_connection(address, 1.0) as sock:
            _ask(sock, _HELLO)
            came.append(time.monotonic())
            there.set()

    ends = time.monotonic() + DEADLINE_S
    while not there.wait(_ATTEMPTS_EACH_S):
        if time.monotonic() > ends:
            raise TimeoutError(f"no echo within {DEADLINE_S:g} s")
        threading.Thread(target=attempt, daemon=True).start()
    return {"at": min(came)}


def answers(address: tuple[str, int], seconds: float) -> dict[str, list[float]]:
    """Asks on one connection, the next question after each answer."""
    took = []
    with _open(address) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _ask(sock, _QUESTION)
        ends = time.perf_counter() + seconds
        while (began := time.perf_counter()) < ends:
            _ask(sock, _QUESTION)
            took.append(time.perf_counter() - began)
    return {"took": took}


def transfer(address: tuple[str, int], direction: str, size: int) -> dict[str, str]:
    """Sends or gets so many bytes; the hash that each side has of them."""
    digest = hashlib.sha256()
    with _open(address) as sock:
        sock.sendall(_HEADER.pack(b"U" if direction == "up" else b"D", size))
        if direction == "up":
            _send(sock, size, digest)
        else:
            _receive(sock, size, digest)
        theirs = b""
        while len(theirs) < digest.digest_size:
            data = sock.recv(digest.digest_size)
            if not data:
                break
            theirs += data
    return {"ours": digest.hexdigest(), "theirs": theirs.hex()}


def _open(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, DEADLINE_S)


def _ask(sock: socket.socket, question: bytes) -> None:
    sock.sendall(question)
    left = len(question)
    while left:
        data = sock.recv(left)
        if not data:
            raise ConnectionResetError("closed before the answer")
        left -= len(data)


def _send(sock: socket.socket, size: int, digest: "hashlib._Hash") -> None:
    # Every block differs from the one before, so that a lost, doubled or swapped one changes the hash.
    number = 0
    while size:
        block = (number.to_bytes(8, "big") + _BLOCK[8:])[:size]
        digest.update(block)
        sock.sendall(block)
        size -= len(block)
        number += 1


def _receive(sock: socket.socket, size: int, digest: "hashlib._Hash") -> None:
    buffer = memoryview(bytearray(1 << 18))
    while size:
        got = sock.recv_into(buffer[: min(size, len(buffer))])
        if not got:
            return
        digest.update(buffer[:got])
        size -= got


# --- the servers' side ----------------------------------------------------------------------------------------------------


class Transfer(socketserver.BaseRequestHandler):
    """Takes or gives what the header says, and then tells its hash."""

    def handle(self) -> None:
        sock: socket.socket = self.request
        sock.settimeout(DEADLINE_S)
        digest = hashlib.sha256()
        with contextlib.suppress(OSError):
            kind, size = _HEADER.unpack(sock.recv(_HEADER.size, socket.MSG_WAITALL))
            if kind == b"U":
                _receive(sock, size, digest)
            else:
                _send(sock, size, digest)
            sock.sendall(digest.digest())


class Transfers(socketserver.ThreadingTCPServer):
    """One thread for each transfer."""

    allow_reuse_address = True
    daemon_threads = True


async def _serve() -> None:
    from lab.services import TcpEcho  # and a name server's library, which clients need not wait for

    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    threading.Thread(target=Transfers(("", TRANSFER_PORT), Transfer).serve_forever, daemon=True).start()
    server = await asyncio.get_running_loop().create_server(TcpEcho, "0.0.0.0", ECHO_PORT, backlog=_BACKLOG)
    print("listening", flush=True)
    await server.serve_forever()


def main(arguments: list[str]) -> None:
    """The command."""
    match arguments:
        case ["serve"]:
            import uvloop

            uvloop.run(_serve())
            return
        case ["connects", host, count]:
            said: object = connects(_resolve(host, ECHO_PORT), int(count))
        case ["storm", host, count, width]:
            said = storm(_resolve(host, ECHO_PORT), int(count), int(width))
        case ["first", host]:
            said = first(_resolve(host, ECHO_PORT))
        case ["until", host]:
            print("begun", flush=True)
            said = until(_resolve(host, ECHO_PORT))
        case ["answers", host, seconds]:
            said = answers(_resolve(host, ECHO_PORT), float(seconds))
        case ["transfer", host, ("up" | "down") as direction, size]:
            said = transfer(_resolve(host, TRANSFER_PORT), direction, int(size))
        case _:
            sys.exit(__doc__)
    print(json.dumps(said))


def _resolve(host: str, port: int) -> tuple[str, int]:
    """Before any clock starts: a question about the name is not in the figures."""
    found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
    return str(found[0]), int(found[1])


if __name__ == "__main__":
    main(sys.argv[1:])
