"""A relay that misbehaves: it pairs anybody, and changes, loses, reorders or repeats what it carries (T-24)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from leg_server import settle
from tls_material import tls_material

from protocol.reasons import Reason
from protocol.rendezvous import CONNECT_PATH, LEG_PATH
from runtime.leg_accept import LegAcceptor, UpgradeRequest
from runtime.leg_frames import Piece
from runtime.leg_protocol import Leg
from runtime.trust import server_context

Tamper = Callable[[bytes], list[bytes]]
"""Gets the bytes of one read and returns what is passed on, in order."""


def honest(data: bytes) -> list[bytes]:
    return [data]


class EvilRelay:
    """Accepts every ticket. ``tamper_up`` and ``tamper_down`` may be set at any time; ``seen`` is all that passed."""

    def __init__(self) -> None:
        self.port = 0
        self.tamper_up: Tamper = honest
        self.tamper_down: Tamper = honest
        self.seen = bytearray()
        self.legs: list[Leg] = []
        self._parked: list[Leg] = []
        self._waiting: list[LegAcceptor] = []

    def make_protocol(self) -> LegAcceptor:
        return LegAcceptor(on_request=self._requested, on_closed=lambda: None)

    def _requested(self, acceptor: LegAcceptor, request: UpgradeRequest) -> None:
        if request.path == LEG_PATH:
            leg = acceptor.accept()
            assert leg is not None
            self.legs.append(leg)
            self._parked.append(leg)
        elif request.path == CONNECT_PATH:
            self._waiting.append(acceptor)
        else:
            acceptor.refuse(404, Reason.NOT_FOUND)
        while self._parked and self._waiting:
            client = self._waiting.pop(0).accept()
            assert client is not None
            self.legs.append(client)
            connector = self._parked.pop(0)
            client.set_receiver(_Side(self, connector, lambda data: self.tamper_up(data)))
            connector.set_receiver(_Side(self, client, lambda data: self.tamper_down(data)))


class _Side:
    def __init__(self, owner: EvilRelay, to: Leg, tamper: Tamper) -> None:
        self._owner = owner
        self._to = to
        self._tamper = tamper

    def data_received(self, data: Piece) -> None:
        self._owner.seen += data
        for piece in self._tamper(bytes(data)):
            self._to.write(piece)

    def pieces_received(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            self.data_received(piece)

    def text_received(self, text: str) -> None:
        self._to.write_text(text)

    def leg_lost(self, reason: Reason) -> None:
        self._to.close(reason)

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


@contextlib.asynccontextmanager
async def evil_relay() -> AsyncIterator[EvilRelay]:
    """Runs an EvilRelay with a certificate that everybody trusts."""
    material = tls_material()
    relay = EvilRelay()
    listener = await asyncio.get_running_loop().create_server(
        relay.make_protocol,
        "127.0.0.1",
        0,
        ssl=server_context(material.cert_pem, material.key_pem),
        ssl_shutdown_timeout=1.0,
    )
    relay.port = listener.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        listener.close()
        for leg in relay.legs:
            leg.abort()
        await settle(10)


def flip_one_bit(data: bytes) -> list[bytes]:
    middle = len(data) // 2
    return [data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]]


def drop(data: bytes) -> list[bytes]:
    return []


def drop_the_end(data: bytes) -> list[bytes]:
    return [data[:-3]]


def repeat(data: bytes) -> list[bytes]:
    return [data, data]


def swap_halves(data: bytes) -> list[bytes]:
    middle = len(data) // 2
    return [data[middle:], data[:middle]]


def inject(data: bytes) -> list[bytes]:
    return [b"\x17\x03\x03\x00\x30" + bytes(48), data]
