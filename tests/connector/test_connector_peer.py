"""One tunnel: what must happen before anything is served (C14 to C17; T-37, T-38, T-61)."""

import asyncio

import pytest
from connector_lab import connector_lab, echo_server, port_of
from connector_world import DEVICE, USER, World, acl, entry

from connector import peer as module
from protocol.reasons import Reason
from protocol.streams import encode_frame, encode_proof
from protocol.tokens.keys import SigningKey, VerificationKeys, generate_key


async def test_c16_a_proof_admits_and_streams_are_served() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        assert lab.peer.admitted is not None
        assert (lab.peer.admitted.peer.device, lab.peer.admitted.peer.user) == (DEVICE, USER)
        stream = lab.open("127.0.0.1", port_of(server), data=b"hello")
        assert (await stream.answer()).reason is None
        assert await stream.until_data(5) == b"hello"


async def test_t37_a_tunnel_that_begins_with_anything_else_is_closed() -> None:
    async with connector_lab(admit=False) as lab:
        stream = lab.open("127.0.0.1", 80)
        assert (await stream.answer()).reason == "proof_missing"
        assert await lab.until_lost() is Reason.PROOF_MISSING
        assert lab.records() == []


async def test_t37_the_proof_may_come_one_byte_at_a_time_and_streams_behind_it_wait() -> None:
    async with connector_lab(admit=False) as lab, await echo_server() as server:
        frame = encode_proof(lab.make_proof())
        proof = lab.open_raw(frame[:1])
        early = lab.open("127.0.0.1", port_of(server), data=b"early")
        for index in range(1, len(frame), 97):
            assert early.answers == []
            proof.stream.write(frame[index : index + 97])
            await asyncio.sleep(0)
        assert (await proof.answer()).reason is None
        assert (await early.answer()).reason is None
        assert await early.until_data(5) == b"early"


async def test_a_large_proof_passes() -> None:
    whitelist = acl(*(entry(f"10.{number >> 8}.{number & 255}.0/24", number=number) for number in range(3000)))
    async with connector_lab(whitelist) as lab:
        assert lab.peer.admitted is not None
        assert len(lab.peer.admitted.peer.acl.entries) == 3000


async def test_t38_a_proof_for_another_tunnel_is_refused_and_recorded() -> None:
    async with connector_lab(admit=False) as lab:
        token = lab.world.access(lab.whitelist, issued_at=lab.now)
        stolen = lab.world.proof(token, exporter=b"x" * 32, pin=lab.pin)
        stream = lab.open_raw(encode_proof(stolen))
        assert (await stream.answer()).reason == "proof_invalid"
        assert await lab.until_lost() is Reason.PROOF_INVALID
        (record,) = lab.records()
        assert (record.device, record.user, record.outcome, record.transport) == (
            DEVICE,
            USER,
            "proof_invalid",
            "proof",
        )


async def test_a_token_of_another_controller_is_refused() -> None:
    async with connector_lab(admit=False) as lab:
        stranger = World(client_key=lab.world.client_key)
        token = stranger.access(lab.whitelist, issued_at=lab.now)
        stream = lab.open_raw(encode_proof(lab.make_proof(token)))
        assert (await stream.answer()).reason == "token_signature"
        assert await lab.until_lost() is Reason.TOKEN_SIGNATURE
        assert lab.records() == []
        assert lab.enforcer.outcomes[Reason.TOKEN_SIGNATURE] == 1


@pytest.mark.parametrize("frame", [b"\xff\xff\xff\xff", encode_frame(b"{}"), encode_frame(b"rubbish")])
async def test_a_malformed_first_header_ends_the_tunnel(frame: bytes) -> None:
    async with connector_lab(admit=False) as lab:
        stream = lab.open_raw(frame)
        assert await stream.until_reset() in {Reason.PROTOCOL_ERROR, Reason.PROOF_MISSING}
        assert await lab.until_lost() is Reason.PROOF_MISSING


async def test_without_a_proof_in_time_the_tunnel_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROOF_DEADLINE_S", 0.3)
    async with connector_lab(admit=False) as lab:
        assert await lab.until_lost() is Reason.PROOF_MISSING


async def test_a_malformed_header_costs_its_own_stream_only() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        for frame in (b"\x00\x10\x00\x00", encode_frame(b"{}"), encode_proof(lab.make_proof(number=2))):
            stream = lab.open_raw(frame)
            assert await stream.until_reset() is Reason.PROTOCOL_ERROR
        half = lab.open_raw(encode_frame(b"x" * 100)[:20])
        half.stream.write_eof()
        assert await half.until_reset() is Reason.PROTOCOL_ERROR
        good = lab.open("127.0.0.1", port_of(server), data=b"alive")
        assert await good.until_data(5) == b"alive"


async def test_c15_renewals_on_the_proof_stream() -> None:
    async with connector_lab(admit=False) as lab, await echo_server() as server:
        proof = lab.open_raw(encode_proof(lab.make_proof()))
        assert (await proof.answer()).reason is None
        kept = lab.open("127.0.0.1", port_of(server), data=b"kept")
        await kept.until_data(4)
        proof.expect_another_answer()
        proof.stream.write(encode_proof(lab.make_proof(number=2)))
        assert (await proof.answer(2)).reason is None
        proof.expect_another_answer()
        narrower = lab.world.access(acl(entry("10.0.0.0/8", number=4)), issued_at=lab.now)
        proof.stream.write(encode_proof(lab.make_proof(narrower, number=3)))
        assert (await proof.answer(3)).reason is None
        assert await kept.until_reset() is Reason.ACCESS_REVOKED
        (record,) = lab.records()
        assert (record.outcome, record.bytes_up) == ("access_revoked", 4)


async def test_a_refused_renewal_leaves_the_tunnel_as_it_was() -> None:
    async with connector_lab(admit=False) as lab, await echo_server() as server:
        proof = lab.open_raw(encode_proof(lab.make_proof()))
        await proof.answer()
        proof.expect_another_answer()
        proof.stream.write(encode_proof(lab.make_proof(number=7)))
        assert (await proof.answer(2)).reason == "proof_invalid"
        stream = lab.open("127.0.0.1", port_of(server), data=b"still")
        assert await stream.until_data(5) == b"still"


async def test_anything_but_a_proof_on_the_proof_stream_resets_it_only() -> None:
    async with connector_lab(admit=False) as lab, await echo_server() as server:
        proof = lab.open_raw(encode_proof(lab.make_proof()))
        await proof.answer()
        header = b'{"kind":"tcp","host":"127.0.0.1","port":1,"flow":"flw_0000000000000000000009","resource":"res_0000000000000000000001"}'
        proof.stream.write(encode_frame(header))
        assert await proof.until_reset() is Reason.PROTOCOL_ERROR
        stream = lab.open("127.0.0.1", port_of(server), data=b"still")
        assert await stream.until_data(5) == b"still"


async def test_f22_a_distrusted_key_closes_its_tunnels() -> None:
    async with connector_lab() as lab:
        lab.trust.keys = VerificationKeys.of(lab.world.signing, SigningKey("key-2", generate_key()))
        lab.peer.keys_changed()
        assert lab.lost == []
        lab.trust.keys = VerificationKeys.of(SigningKey("key-2", generate_key()))
        lab.peer.keys_changed()
        assert await lab.until_lost() is Reason.TOKEN_KEY_UNKNOWN


async def test_a_lost_tunnel_ends_its_flows_with_one_record_each() -> None:
    async with connector_lab() as lab, await echo_server() as server:
        for _ in range(3):
            stream = lab.open("127.0.0.1", port_of(server), data=b"x")
            await stream.until_data(1)
        lab.tunnel.close()
        records = await lab.until_recorded(3)
        assert len(records) == 3
        assert {record.outcome for record in records} == {"tunnel_lost"}
        assert len(lab.enforcer.flows) == 0
