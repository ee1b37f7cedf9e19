"""Streams of an admitted client: decided, dialled, bridged, recorded (C18 to C21, C23; T-30 to T-36, F-33, F-34)."""

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from connector_lab import EVERYWHERE, RELAY, Lab, connector_lab, echo_server, port_of
from connector_world import CONNECTOR, DEVICE, GRANT, NETWORK, USER, acl, bare, entry, flow_id, res

from connector import opening
from protocol.acl.model import IPAddress, PortRange
from protocol.control import Cutoff
from protocol.ids import Revision
from protocol.reasons import Reason
from protocol.streams import StreamAnswer, StreamHeader, encode_header


def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


async def reason_of(lab: Lab, host: str, port: int | None = 443, **fields: object) -> str | None:
    stream = lab.open(host, port, **fields)  # type: ignore[arg-type]
    return (await stream.answer()).reason


# --- TCP -------------------------------------------------------------------------------------------------------------


async def test_c21_bytes_flow_and_half_close_crosses_and_one_record_is_left() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        stream = lab.open("127.0.0.1", port_of(server), data=b"first ")
        assert await stream.answer() == StreamAnswer()
        stream.stream.write(b"second")
        stream.stream.write_eof()
        await stream.until(lambda: stream.eof)
        assert stream.data == b"first second"
        (record,) = await lab.until_recorded()
        assert (record.flow, record.reporter, record.device, record.user) == (flow_id(1), "connector", DEVICE, USER)
        assert (record.resource, record.network, record.connector, record.relay) == (res(1), NETWORK, CONNECTOR, RELAY)
        assert (record.host, record.address, record.transport) == ("127.0.0.1", "127.0.0.1", "tcp")
        assert (record.bytes_up, record.bytes_down, record.outcome) == (12, 12, "normal")
        assert (record.revision, record.grants) == (7, (GRANT,))
        assert record.started_ms <= record.ended_ms
        assert len(lab.enforcer.flows) == 0


async def test_a_client_that_says_all_at_once_is_served() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        header = encode_header(StreamHeader("tcp", "127.0.0.1", port_of(server), flow_id(50), res(1)))
        stream = lab.open_raw(header + b"request")
        stream.stream.write_eof()
        await stream.until(lambda: stream.eof)
        assert stream.data == b"request"


async def test_a_large_transfer_arrives_whole() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        stream = lab.open("127.0.0.1", port_of(server))
        await stream.answer()
        blob = bytes(range(256)) * 4096
        stream.stream.write(blob)
        assert await stream.until_data(len(blob)) == blob


async def test_f33_a_refusal_is_told_at_once() -> None:
    async with connector_lab() as lab:
        port = closed_port()
        stream = lab.open("127.0.0.1", port)
        assert (await stream.answer()).reason == "connection_refused"
        assert await stream.until_reset() is Reason.CONNECTION_REFUSED
        (record,) = await lab.until_recorded()
        assert (record.outcome, record.address, record.port) == ("connection_refused", "127.0.0.1", port)


async def test_a_reset_of_the_resource_crosses() -> None:
    async def slam(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with connector_lab() as lab, await asyncio.start_server(slam, "127.0.0.1", 0) as server:
        stream = lab.open("127.0.0.1", port_of(server))
        assert await stream.until_reset() is Reason.CONNECTION_RESET
        (record,) = await lab.until_recorded()
        assert record.outcome == "connection_reset"


async def test_a_client_that_gives_up_resets_the_resource() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionError:
            ended.set()
        writer.close()

    async with connector_lab() as lab, await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        stream = lab.open("127.0.0.1", port_of(server))
        await stream.answer()
        stream.stream.reset(Reason.CANCELLED)
        async with asyncio.timeout(60):
            await ended.wait()
        (record,) = await lab.until_recorded()
        assert record.outcome == "cancelled"


# --- Decisions -------------------------------------------------------------------------------------------------------


async def test_t30_every_denial_leaves_one_record_and_no_connection() -> None:
    whitelist = acl(entry("127.0.0.1", tcp=(PortRange(1, 100),), udp=(), icmp=False))
    async with connector_lab(whitelist) as lab:
        assert await reason_of(lab, "127.0.0.2", 80) == "not_a_resource"
        assert await reason_of(lab, "127.0.0.1", 101) == "port_not_allowed"
        assert await reason_of(lab, "127.0.0.1", 80, kind="udp") == "protocol_not_allowed"
        assert await reason_of(lab, "127.0.0.1", None, kind="icmp") == "protocol_not_allowed"
        assert await reason_of(lab, "other.example", None, kind="resolve") == "not_a_resource"
        assert await reason_of(lab, "other.example", None, kind="dns") == "not_a_resource"
        assert await reason_of(lab, "127.1", 80) == "invalid_input"
        records = lab.records()
        assert [record.outcome for record in records] == [
            "not_a_resource",
            "port_not_allowed",
            "protocol_not_allowed",
            "protocol_not_allowed",
            "not_a_resource",
            "not_a_resource",
            "invalid_input",
        ]
        assert {(record.device, record.user, record.revision) for record in records} == {(DEVICE, USER, 7)}
        assert records[1].resource == res(1)
        assert records[1].grants == (GRANT,)
        assert records[0].resource is None
        assert lab.dns.asked == []


async def test_c19_the_connectors_own_config_decides_too() -> None:
    async with connector_lab() as lab:
        lab.enforce(acl(entry("10.0.0.0/8", number=4)), revision=8)
        assert await reason_of(lab, "127.0.0.1", 80) == "connector_not_allowed"


async def test_t17_a_flow_id_in_use_is_refused() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        first = lab.open("127.0.0.1", port_of(server), flow=70)
        await first.answer()
        assert await reason_of(lab, "127.0.0.1", port_of(server), flow=70) == "protocol_error"
        first.stream.write(b"alive")
        assert await first.until_data(5) == b"alive"


# --- Egress and names ------------------------------------------------------------------------------------------------


async def test_t32_metadata_is_refused_inside_an_allowed_network() -> None:
    async with connector_lab() as lab:
        assert await reason_of(lab, "169.254.169.254", 80) == "egress_forbidden"
        (record,) = lab.records()
        assert (record.outcome, record.resource, record.address) == ("egress_forbidden", res(5), "")


async def test_c18_a_name_is_resolved_here_and_connected_to() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        lab.dns.zone[("db.corp.example", "A")] = ["127.0.0.1"]
        stream = lab.open("db.corp.example", port_of(server), data=b"by name")
        assert await stream.until_data(7) == b"by name"
        stream.stream.write_eof()
        (record,) = await lab.until_recorded()
        assert (record.host, record.address) == ("db.corp.example", "127.0.0.1")


async def test_t33_a_rebinding_name_never_reaches_a_forbidden_address() -> None:
    turns = iter(range(100))
    async with connector_lab() as lab, await echo_server() as server:
        lab.dns.ttl = 0
        lab.dns.zone[("flip.corp.example", "A")] = lambda: (
            ["127.0.0.1"] if next(turns) % 2 == 0 else ["169.254.169.254"]
        )
        answers = [await reason_of(lab, "flip.corp.example", port_of(server)) for _ in range(6)]
        assert answers == [None, "egress_forbidden"] * 3
        assert {record.address for record in lab.records()} == {""}


async def test_t33_of_several_answers_only_the_good_ones_are_tried() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        lab.dns.zone[("mixed.corp.example", "A")] = ["169.254.169.254", "127.0.0.1", "0.0.0.0"]
        stream = lab.open("mixed.corp.example", port_of(server), data=b"good")
        assert await stream.until_data(4) == b"good"


async def test_t33_t36_a_rule_that_comes_while_addresses_are_tried_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connector_lab() as lab, await echo_server() as server:
        lab.dns.zone[("two.corp.example", "A")] = ["10.255.0.1", "127.0.0.1"]

        async def slow(
            addresses: Sequence[IPAddress], port: int, make: Callable[[IPAddress], asyncio.Protocol]
        ) -> asyncio.Protocol:
            lab.enforce(EVERYWHERE, revision=8, egress_allow=())
            loop, second = asyncio.get_running_loop(), addresses[1]
            return (await loop.create_connection(lambda: make(second), str(second), port))[1]

        monkeypatch.setattr(opening, "dial_tcp", slow)
        assert await reason_of(lab, "two.corp.example", port_of(server)) == "egress_forbidden"
        assert [record.outcome for record in lab.records()] == ["egress_forbidden"]


async def test_names_that_are_not_there_and_resolvers_that_fail_are_told_apart() -> None:
    async with connector_lab() as lab:
        assert await reason_of(lab, "nothing.corp.example", 80) == "name_not_found"
        lab.dns.zone[("mail.corp.example", "MX")] = ["10 mx.corp.example."]
        assert await reason_of(lab, "mail.corp.example", 80) == "name_not_found"
        lab.dns.failing = True
        assert await reason_of(lab, "broken.corp.example", 80) == "resolver_failed"
        assert [record.outcome for record in lab.records()] == ["name_not_found", "name_not_found", "resolver_failed"]


async def test_resolve_says_that_it_is_there_and_never_where() -> None:
    async with connector_lab() as lab:
        lab.dns.zone[("db.corp.example", "A")] = ["10.1.2.3"]
        lab.dns.zone[("db.corp.example", "AAAA")] = ["2001:db8::5"]
        lab.dns.zone[("four.corp.example", "A")] = ["10.1.2.4"]
        stream = lab.open("db.corp.example", kind="resolve")
        assert await stream.answer() == StreamAnswer(None, 0, 60, ("v4", "v6"))
        await stream.until(lambda: stream.eof)
        assert stream.data == b""
        assert (await lab.open("four.corp.example", kind="resolve").answer()).families == ("v4",)
        assert await lab.open("none.corp.example", kind="resolve").answer() == StreamAnswer(None, 3, 2, ())
        lab.dns.failing = True
        assert (await lab.open("broken.corp.example", kind="resolve").answer()).rcode == 2
        assert lab.records() == []


async def test_resolving_to_forbidden_addresses_is_a_denial() -> None:
    async with connector_lab() as lab:
        lab.dns.zone[("meta.corp.example", "A")] = ["169.254.169.254"]
        assert await reason_of(lab, "meta.corp.example", None, kind="resolve") == "egress_forbidden"
        assert [record.outcome for record in lab.records()] == ["egress_forbidden"]


# --- Changes ---------------------------------------------------------------------------------------------------------


async def test_t36_a_revocation_resets_open_flows_and_refuses_new_ones() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        stream = lab.open("127.0.0.1", port_of(server), data=b"open")
        await stream.until_data(4)
        lab.enforcer.revoke(Revision(8), [Cutoff(DEVICE, res(1), lab.now + 1, "access_revoked")])
        assert await stream.until_reset() is Reason.ACCESS_REVOKED
        (record,) = lab.records()
        assert (record.outcome, record.bytes_up, record.bytes_down) == ("access_revoked", 4, 4)
        assert await reason_of(lab, "127.0.0.1", port_of(server)) == "token_revoked"


async def test_t36_a_revocation_also_ends_a_dial() -> None:
    async with connector_lab() as lab:
        lab.dns.silent = True
        stream = lab.open("slow.corp.example", 80)
        async with asyncio.timeout(60):
            while not lab.dns.asked:
                await asyncio.sleep(0.01)
        lab.enforcer.revoke(Revision(8), [Cutoff(DEVICE, None, lab.now + 1, "device_revoked")])
        assert (await stream.answer()).reason == "device_revoked"
        assert [record.outcome for record in lab.records()] == ["device_revoked"]


async def test_a_changed_resource_ends_its_flows() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        stream = lab.open("127.0.0.1", port_of(server), data=b"open")
        await stream.until_data(4)
        kept = replace(EVERYWHERE, entries=EVERYWHERE.entries[1:])
        lab.enforce(bare(kept), revision=8)
        assert await stream.until_reset() is Reason.RESOURCE_CHANGED


async def test_d4_what_the_controller_forgot_ends() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        first, second = (lab.open("127.0.0.1", port_of(server), data=b"x", flow=number) for number in (81, 82))
        await first.until_data(1)
        await second.until_data(1)
        lab.enforcer.apply_verdict([flow_id(81), flow_id(82)], [flow_id(82)])
        assert await first.until_reset() is Reason.ACCESS_REVOKED
        second.stream.write(b"y")
        assert await second.until_data(2) == b"xy"


async def test_a_connector_without_standing_serves_nothing() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        stream = lab.open("127.0.0.1", port_of(server), data=b"open")
        await stream.until_data(4)
        lab.enforcer.lose_standing(Reason.ACCESS_REVOKED)
        assert await stream.until_reset() is Reason.ACCESS_REVOKED
        assert await reason_of(lab, "127.0.0.1", port_of(server)) == "unavailable"


@pytest.mark.parametrize("count", [200])
async def test_many_short_flows_leave_nothing_behind(count: int) -> None:
    async with connector_lab() as lab, await echo_server() as server:
        streams = [lab.open("127.0.0.1", port_of(server), data=b"ping") for _ in range(count)]
        for stream in streams:
            await stream.until_data(4)
            stream.stream.write_eof()
        records = await lab.until_recorded(count)
        assert {record.outcome for record in records} == {"normal"}
        assert len(lab.enforcer.flows) == 0
