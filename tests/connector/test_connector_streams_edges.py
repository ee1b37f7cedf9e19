"""Streams at the edges: clients that give up, crashes that stay contained, answers that cannot be given."""

import asyncio
import socket
from collections.abc import Callable

import dns.message
import dns.rdatatype
import pytest
from connector_lab import Lab, connector_lab, echo_server, port_of

from connector import peer as peer_module
from protocol.reasons import Reason
from protocol.streams import encode_proof


async def until_asked(lab: Lab) -> None:
    async with asyncio.timeout(60):
        while not lab.dns.asked:
            await asyncio.sleep(0.005)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.005)


async def test_t39_a_client_that_gives_up_ends_its_dial() -> None:
    async with connector_lab() as lab:
        lab.dns.silent = True
        stream = lab.open("slow.corp.example", 80)
        await until_asked(lab)
        stream.stream.reset(Reason.CANCELLED)
        (record,) = await lab.until_recorded()
        assert record.outcome == "cancelled"
        assert len(lab.enforcer.flows) == 0


async def test_t39_a_reset_right_behind_the_header_dials_nothing() -> None:
    accepted = 0

    async def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        writer.close()

    async with connector_lab() as lab, await asyncio.start_server(count, "127.0.0.1", 0) as server:
        for _ in range(20):
            lab.open("127.0.0.1", port_of(server)).stream.reset(Reason.CANCELLED)
        stream = lab.open("127.0.0.1", port_of(server))
        await stream.until(lambda: stream.eof)
        assert accepted == 1


async def test_a_datagram_client_that_ends_at_once_ends_in_order() -> None:
    async with connector_lab() as lab:
        stream = lab.open("127.0.0.1", 9, kind="udp")
        stream.stream.write_eof()
        await stream.until(lambda: stream.eof or stream.reset is not None)
        assert stream.answers[0].reason is None
        assert [record.outcome for record in await lab.until_recorded()] == ["normal"]


async def test_a_crash_costs_its_own_stream_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash_now(*_args: object) -> None:
        raise ZeroDivisionError

    async def crash(*_args: object) -> None:
        raise ZeroDivisionError

    async with connector_lab() as lab, await echo_server() as server:
        with monkeypatch.context() as patch:
            patch.setattr("connector.opening.connect_at_once", crash_now)
            stream = lab.open("127.0.0.1", port_of(server))
            assert (await stream.answer()).reason == "internal"
            patch.setattr("connector.resolver.Resolver.resolve", crash)
            assert (await lab.open("db.corp.example", kind="resolve").answer()).reason == "internal"
        assert [record.outcome for record in lab.records()] == ["internal"]
        good = lab.open("127.0.0.1", port_of(server), data=b"alive")
        assert await good.until_data(5) == b"alive"


async def test_a_name_question_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.streams.RESOLVE_DEADLINE_S", 0.05)
    async with connector_lab() as lab:
        lab.dns.silent = True
        assert (await lab.open("slow.corp.example", kind="resolve").answer()).reason == "timeout"


async def test_a_dns_client_that_gives_up_is_forgotten() -> None:
    async with connector_lab() as lab:
        stream = lab.open("db.corp.example", kind="dns")
        assert (await stream.answer()).reason is None
        stream.stream.reset(Reason.CANCELLED)
        await until(lambda: lab.peer.tunnel.stream_count == 1)
        assert lab.dns.asked == []


async def test_f34_raw_dns_without_a_resolver_is_servfail() -> None:
    async with connector_lab() as lab:
        lab.dns.silent = True
        query = dns.message.make_query("db.corp.example", dns.rdatatype.TXT).to_wire()
        stream = lab.open("db.corp.example", kind="dns", data=len(query).to_bytes(2, "big") + query)
        await stream.until(lambda: stream.eof)
        assert dns.message.from_wire(stream.data[2:]).rcode() == 2


async def test_t40_streams_before_the_proof_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "MUX_ACCEPT_BACKLOG", 3)
    async with connector_lab(admit=False) as lab, await echo_server() as server:
        frame = encode_proof(lab.make_proof())
        proof = lab.open_raw(frame[:10])
        early = [lab.open("127.0.0.1", port_of(server), data=b"x") for _ in range(6)]
        late = [await stream.answer() for stream in early[3:]]
        assert {answer.reason for answer in late} == {"limit_exceeded"}
        proof.stream.write(frame[10:])
        for stream in early[:3]:
            assert await stream.until_data(1) == b"x"


async def test_two_renewals_in_one_piece() -> None:
    async with connector_lab(admit=False) as lab:
        proof = lab.open_raw(encode_proof(lab.make_proof()))
        await proof.answer()
        proof.expect_another_answer()
        proof.expect_another_answer()
        proof.stream.write(encode_proof(lab.make_proof(number=2)) + encode_proof(lab.make_proof(number=3)))
        await until(lambda: lab.peer.admitted is not None and lab.peer.admitted.peer.number == 3)


async def test_a_client_that_stops_renewing_keeps_its_tunnel() -> None:
    async with connector_lab(admit=False) as lab, await echo_server() as server:
        proof = lab.open_raw(encode_proof(lab.make_proof()))
        await proof.answer()
        proof.stream.write_eof()
        stream = lab.open("127.0.0.1", port_of(server), data=b"still")
        assert await stream.until_data(5) == b"still"


async def test_of_two_addresses_the_dead_one_costs_only_its_head_start() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        # 127.0.0.9 refuses, because nobody listens there.
        lab.dns.zone[("two.corp.example", "A")] = ["127.0.0.9", "127.0.0.1"]
        stream = lab.open("two.corp.example", port_of(server), data=b"through")
        assert await stream.until_data(7) == b"through"
        stream.stream.write_eof()
        (record,) = await lab.until_recorded()
        assert (record.address, record.outcome) == ("127.0.0.1", "normal")


async def test_an_early_banner_comes_behind_the_answer() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        await reader.read()
        writer.close()

    async with connector_lab() as lab, await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        lab.dns.zone[("two.corp.example", "A")] = ["127.0.0.1", "127.0.0.9"]
        for host in ("127.0.0.1", "two.corp.example"):
            stream = lab.open(host, port_of(server))
            assert (await stream.answer()).reason is None
            assert await stream.until_data(11) == b"220 ready\r\n"


async def test_a_datagram_that_is_too_large_for_the_network_is_dropped_alone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.settimeout(10)
        async with connector_lab() as lab:
            # 65,507 bytes is the most that IPv4 carries; loopback takes it, so both arrive, in order.
            big, small = b"b" * 65_507, b"small"
            frames = b"".join(len(item).to_bytes(2, "big") + item for item in (big, small))
            stream = lab.open("127.0.0.1", far.getsockname()[1], kind="udp", data=frames)
            assert (await stream.answer()).reason is None
            loop = asyncio.get_running_loop()
            received = [await loop.run_in_executor(None, far.recv, 70_000) for _ in range(2)]
            assert [len(item) for item in received] == [65_507, 5]


async def test_a_question_that_is_none_is_reset_without_a_second_answer() -> None:
    async with connector_lab() as lab:
        stream = lab.open("db.corp.example", kind="dns")
        assert (await stream.answer()).reason is None
        stream.stream.write(b"\x00\x05junk!")
        await stream.until(lambda: stream.reset is not None)
        assert stream.data == b""
