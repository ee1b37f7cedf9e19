"""UDP associations, ICMP echo and raw DNS over streams (C21; T-54, F-33)."""

import asyncio
import errno
import os
import select
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from connector_lab import ClientStream, Lab, connector_lab

from connector import datagrams as module
from protocol.limits import DATAGRAM_QUEUE
from protocol.reasons import Reason

BOTH_LOOPS = True
IPV6_MTU_DISCOVER = 23
IPV6_PMTUDISC_DO = 2
SO_NO_CHECK = 11
"""linux/in6.h and asm-generic/socket.h, which Python's ``socket`` does not name."""
TOO_LONG = 65_507
"""For the loopback over IPv6, in one packet."""


def framed(*datagrams: bytes) -> bytes:
    return b"".join(len(datagram).to_bytes(2, "big") + datagram for datagram in datagrams)


def unframed(data: bytes) -> list[bytes]:
    found = []
    while data:
        length = int.from_bytes(data[:2], "big")
        found.append(data[2 : 2 + length])
        data = data[2 + length :]
    return found


class Echo(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.append(data)
        self.transport.sendto(data, addr)


@asynccontextmanager
async def udp_echo(host: str = "127.0.0.1") -> AsyncIterator[tuple[Echo, int]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=(host, 0))
    try:
        yield protocol, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def udp(lab: Lab, port: int, *, data: bytes = b"", host: str = "127.0.0.1") -> ClientStream:
    stream = lab.open(host, port, kind="udp", data=data)
    assert (await stream.answer()).reason is None
    return stream


# --- UDP -------------------------------------------------------------------------------------------------------------


async def test_c21_datagrams_keep_their_boundaries() -> None:
    sent = [b"one", b"", b"three" * 100, b"x" * 8000]
    # The echoing side is an asyncio transport, which sends no empty datagrams.
    back = [item for item in sent if item]
    async with connector_lab() as lab, udp_echo() as (echo, port):
        stream = await udp(lab, port, data=framed(*sent))
        await stream.until_data(len(framed(*back)))
        assert echo.received == sent
        assert unframed(stream.data) == back
        stream.stream.write_eof()
        await stream.until(lambda: stream.eof)
        (record,) = await lab.until_recorded()
        size = sum(len(item) for item in sent)
        assert (record.transport, record.bytes_up, record.bytes_down, record.outcome) == ("udp", size, size, "normal")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_datagrams_of_one_size_leave_together(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    calls: list[int] = []

    class Counting(module.UdpSocket):
        def send(self, datagram: bytes) -> None:
            calls.append(1)
            super().send(datagram)

        def send_burst(self, datagrams: Sequence[bytes]) -> bool:
            calls.append(len(datagrams))
            return super().send_burst(datagrams)

    monkeypatch.setattr(module, "UdpSocket", Counting)
    sent = [b"a" * 300, b"b" * 300, b"c" * 200, b"d" * 200, b"e" * 300]
    async with connector_lab() as lab, udp_echo(host) as (echo, port):
        stream = await udp(lab, port, host=host, data=framed(*sent))
        assert unframed(await stream.until_data(len(framed(*sent)))) == sent
        assert (echo.received, calls) == (sent, [3, 1, 1])


def test_where_nothing_segments_bursts_are_not_tried_again() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
    ):
        far.bind(("127.0.0.1", 0))
        near.connect(far.getsockname())
        ours = module.UdpSocket(near)
        near.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        assert ours.send_burst([b"x" * 10, b"y" * 10]) is False, "the kernel segments only what has checksums"
        near.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 0)
        assert ours.send_burst([b"x" * 10, b"y" * 10]) is False


def test_f33_what_a_burst_is_told_of_the_far_host_is_not_swallowed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        address = far.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
        near.connect(address)
        ours = module.UdpSocket(near)
        ours.send(b"nobody is there")
        with pytest.raises(ConnectionRefusedError):
            ours.send_burst([b"x" * 10, b"y" * 10])


async def test_t37_datagrams_may_come_in_any_pieces() -> None:
    async with connector_lab() as lab, udp_echo() as (echo, port):
        stream = await udp(lab, port)
        for byte in framed(b"split", b"again"):
            stream.stream.write(bytes((byte,)))
            await asyncio.sleep(0)
        await stream.until_data(len(framed(b"split", b"again")))
        assert echo.received == [b"split", b"again"]


async def test_ipv6_works_too() -> None:
    async with connector_lab() as lab, udp_echo("::1") as (_, port):
        stream = await udp(lab, port, host="::1", data=framed(b"six"))
        assert unframed(await stream.until_data(5)) == [b"six"]


async def test_f33_a_closed_port_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with connector_lab() as lab:
        stream = lab.open("127.0.0.1", port, kind="udp", data=framed(b"anybody?"))
        assert await stream.until_reset() is Reason.CONNECTION_REFUSED
        assert [record.outcome for record in await lab.until_recorded()] == ["connection_refused"]


class Unreachable(module.UdpSocket):
    """A socket whose kernel has heard from the network, as for a host that does not answer ARP."""

    def __init__(self, sock: socket.socket, error: int) -> None:
        super().__init__(sock)
        self._error: int | None = error

    def receive(self) -> bytes | None:
        if self._error is not None:
            error, self._error = self._error, None
            raise OSError(error, os.strerror(error))
        return super().receive()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_f33_the_kernel_is_asked_for_what_the_network_says(family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        module.UdpSocket(sock)
        level, option = (socket.IPPROTO_IP, 11) if family == socket.AF_INET else (socket.IPPROTO_IPV6, 25)
        assert sock.getsockopt(level, option) == 1


async def test_f33_an_unreachable_host_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UdpSocket", lambda sock: Unreachable(sock, errno.EHOSTUNREACH))
    async with connector_lab() as lab, udp_echo() as (_, port):
        stream = lab.open("127.0.0.1", port, kind="udp", data=framed(b"anybody?"))
        assert await stream.until_reset() is Reason.HOST_UNREACHABLE


async def test_what_is_said_of_one_datagram_does_not_end_the_association(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UdpSocket", lambda sock: Unreachable(sock, errno.EMSGSIZE))
    async with connector_lab() as lab, udp_echo() as (_, port):
        stream = await udp(lab, port, data=framed(b"one"))
        assert unframed(await stream.until_data(5)) == [b"one"]


class Narrow(module.UdpSocket):
    """A socket that may not fragment, so that too long a datagram leaves an entry in the kernel's own queue of errors.

    ``first_told_by``: who meets the error first; ``nobody``: it is only in the queue.
    """

    def __init__(self, sock: socket.socket, first_told_by: str) -> None:
        super().__init__(sock)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO)
        self._teller = first_told_by
        self._told = False
        self.receives = 0

    def send(self, datagram: bytes) -> None:
        try:
            super().send(datagram)
        except OSError:
            if self._teller == "send":
                raise

    def receive(self) -> bytes | None:
        self.receives += 1
        if self._teller == "receive" and self._has_errors() and not self._told:
            self._told = True
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        return super().receive()

    def _has_errors(self) -> bool:
        poll = select.poll()
        poll.register(self.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))


@pytest.mark.parametrize("first_told_by", ["receive", "send", "nobody"])
async def test_f33_an_association_hears_on_after_the_path_became_narrow(
    monkeypatch: pytest.MonkeyPatch, first_told_by: str
) -> None:
    made: list[Narrow] = []

    def narrow(sock: socket.socket) -> Narrow:
        made.append(Narrow(sock, first_told_by))
        return made[0]

    monkeypatch.setattr(module, "UdpSocket", narrow)
    async with connector_lab() as lab, udp_echo("::1") as (_, port):
        stream = await udp(lab, port, host="::1", data=framed(b"one"))
        await stream.until_data(5)
        stream.stream.write(framed(b"x" * TOO_LONG))
        await asyncio.sleep(0.05)
        for number in range(3):
            stream.stream.write(framed(b"two"))
            await stream.until_data(5 * (number + 2))
        assert unframed(stream.data) == [b"one", b"two", b"two", b"two"]
        assert made[0].receives < 20, "it does not spin either"


async def test_an_idle_association_ends() -> None:
    async with connector_lab(udp_idle_s=0.05) as lab, udp_echo() as (_, port):
        stream = await udp(lab, port)
        assert await stream.until_reset() is Reason.NORMAL
        assert [record.outcome for record in await lab.until_recorded()] == ["normal"]


async def test_an_association_in_use_does_not_end() -> None:
    async with connector_lab(udp_idle_s=0.2) as lab, udp_echo() as (_, port):
        stream = await udp(lab, port)
        for count in range(1, 8):
            stream.stream.write(framed(b"tick"))
            await stream.until_data(6 * count)
            await asyncio.sleep(0.05)
        assert stream.reset is None


async def test_oversized_datagrams_break_the_protocol() -> None:
    async with connector_lab() as lab, udp_echo() as (_, port):
        stream = lab.open("127.0.0.1", port, kind="udp", data=(65_508).to_bytes(2, "big"))
        assert await stream.until_reset() is Reason.PROTOCOL_ERROR


async def test_without_credit_the_oldest_datagram_is_dropped() -> None:
    async with connector_lab() as lab, udp_echo() as (echo, port):
        stream = await udp(lab, port)
        stream.give_credit = False
        size, count = 8000, 40 + DATAGRAM_QUEUE
        async with asyncio.timeout(60):
            for number in range(count):
                stream.stream.write(framed(number.to_bytes(2, "big") * (size // 2)))
                # One at a time: a socket's buffer that overflows would lose datagrams that this test counts.
                while len(echo.received) <= number:
                    await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        stream.give_credit = True
        stream.stream.consumed(len(stream.data))
        last = (count - 1).to_bytes(2, "big")
        await stream.until(lambda: stream.data[-2:] == last)
        numbers = [int.from_bytes(item[:2], "big") for item in unframed(stream.data)]
        assert len(numbers) < count
        assert numbers == sorted(numbers)
        assert numbers[-DATAGRAM_QUEUE:] == list(range(count - DATAGRAM_QUEUE, count))


async def test_c23_a_revocation_ends_an_association() -> None:
    async with connector_lab() as lab, udp_echo() as (_, port):
        stream = await udp(lab, port, data=framed(b"x"))
        await stream.until_data(3)
        lab.enforcer.lose_standing(Reason.ACCESS_REVOKED)
        assert await stream.until_reset() is Reason.ACCESS_REVOKED
        assert len(await lab.until_recorded()) == 1


# --- ICMP ------------------------------------------------------------------------------------------------------------


def may_ping() -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except OSError:
            continue
        return True
    return False


@pytest.mark.skipif(not may_ping(), reason="needs CAP_NET_RAW or net.ipv4.ping_group_range")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_c21_echo_with_identifiers_that_overlap(host: str) -> None:
    async with connector_lab() as lab:
        stream = lab.open(host, kind="icmp")
        assert (await stream.answer()).reason is None
        first = b"\x00\x01" + b"\x00\x07" + b"payload"
        second = b"\x00\x02" + b"\x00\x07" + os.urandom(32)
        stream.stream.write(framed(first, second))
        await stream.until_data(len(framed(first, second)))
        assert sorted(unframed(stream.data)) == sorted([first, second])
        stream.stream.write_eof()
        (record,) = await lab.until_recorded()
        assert (record.transport, record.port, record.outcome) == ("icmp", None, "normal")


async def test_an_echo_message_has_its_head() -> None:
    async with connector_lab() as lab:
        stream = lab.open("127.0.0.1", kind="icmp")
        if (await stream.answer()).reason is None:
            stream.stream.write(framed(b"abc"))
            assert await stream.until_reset() is Reason.PROTOCOL_ERROR


# --- Raw DNS ---------------------------------------------------------------------------------------------------------


async def ask(lab: Lab, name: str, kind: str, *, opened: str | None = None) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    stream = lab.open(opened or name, kind="dns", data=framed(query.to_wire()))
    assert (await stream.answer()).reason is None
    await stream.until(lambda: stream.eof or stream.reset is not None)
    assert stream.reset is None
    reply = dns.message.from_wire(unframed(stream.data)[0])
    assert reply.id == query.id
    return reply


async def test_c18_other_types_are_forwarded_without_addresses() -> None:
    async with connector_lab() as lab:
        lab.dns.zone[("corp.corp.example", "MX")] = ["10 mx.corp.example."]
        lab.dns.extra = [
            dns.rrset.from_text("mx.corp.example.", 60, "IN", "A", "10.9.8.7"),
            dns.rrset.from_text("mx.corp.example.", 60, "IN", "AAAA", "2001:db8::1"),
        ]
        reply = await ask(lab, "corp.corp.example", "MX")
        assert [rrset.to_text() for rrset in reply.answer] == ["corp.corp.example. 300 IN MX 10 mx.corp.example."]
        assert reply.additional == []
        assert b"\x0a\x09\x08\x07" not in reply.to_wire()
        assert lab.records() == []


@pytest.mark.parametrize("kind", ["A", "AAAA", "ANY", "HTTPS", "SVCB"])
async def test_t54_address_types_are_never_forwarded(kind: str) -> None:
    async with connector_lab() as lab:
        lab.dns.zone[("db.corp.example", "A")] = ["10.1.2.3"]
        reply = await ask(lab, "db.corp.example", kind)
        assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
        assert lab.dns.asked == []


async def test_f34_a_failing_resolver_is_servfail() -> None:
    async with connector_lab() as lab:
        lab.dns.failing = True
        assert (await ask(lab, "db.corp.example", "TXT")).rcode() == dns.rcode.SERVFAIL


async def test_t30_the_query_must_be_about_the_name_that_was_decided() -> None:
    async with connector_lab() as lab:
        query = dns.message.make_query("secret.other.example", "TXT").to_wire()
        stream = lab.open("db.corp.example", kind="dns", data=framed(query))
        assert await stream.until_reset() is Reason.PROTOCOL_ERROR
        assert lab.dns.asked == []


@pytest.mark.parametrize("data", [framed(b"rubbish"), (5000).to_bytes(2, "big"), b"\x00"])
async def test_malformed_queries_are_refused(data: bytes) -> None:
    async with connector_lab() as lab:
        stream = lab.open("db.corp.example", kind="dns", data=data)
        stream.stream.write_eof()
        assert await stream.until_reset() is Reason.PROTOCOL_ERROR
