"""The client when keys change: the controller's signing keys, and the certificate of a connector (F-22, F-23, T-36)."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from client_edge import Edge
from client_world import entry, online
from proxy_user import close, exchange, service, socks

from protocol.control import AccessTokenRequest, Enforced, PushSnapshot
from protocol.control_keys import KeysChanged
from protocol.ids import SpkiPin
from protocol.reasons import Reason
from protocol.tokens.keys import SigningKey, VerificationKeys, generate_key

WIKI = ("wiki.corp.internal", 80)
OTHER_PIN = SpkiPin("sha256/" + "B" * 43 + "=")
WITHIN_S = 5.0


async def reset_soon(reader: asyncio.StreamReader) -> None:
    """The application's connection is cut, within the time that is promised."""
    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)


async def test_t36_f23_a_tunnel_to_a_former_key_is_left_at_the_next_renewal(tmp_path: Path) -> None:
    """The connector was enrolled anew: whoever still holds its old key keeps no tunnel that it had."""
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        _, streams = await socks(world, *WIKI)
        assert await exchange(streams, b"before") == b"before"
        proofs = len(world.edge.proofs)
        world.token_pins = (OTHER_PIN,)
        await world.push(entry(WIKI[0]))
        await reset_soon(streams[0])
        assert len(world.edge.proofs) == proofs, "the former key is told nothing"
        code, failed = await socks(world, *WIKI)
        await close(failed)
        assert code != 0, "nor does it get a new tunnel, although it has the pin of the path"
        world.token_pins = None
        code, again = await socks(world, *WIKI)
        assert code == 0
        await close(again)


async def test_f23_a_rotation_breaks_no_flow_and_new_ones_find_the_new_certificate(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        edge = world.edge
        edge.targets[WIKI] = echo
        former, fresh = edge.pin, Edge(edge.keys, edge.issuer)
        world.paths = [replace(edge.path(), pins=(former, fresh.pin))]
        _, streams = await socks(world, *WIKI)
        edge.key_pem, edge.certificate_pem, edge.pin = fresh.key_pem, fresh.certificate_pem, fresh.pin
        edge.tunnels[0].go_away(Reason.NORMAL)
        for number in range(3):
            code, other = await socks(world, *WIKI)
            assert code == 0, number
            assert await exchange(other, b"new") == b"new"
            await close(other)
        await world.push(entry(WIKI[0]), entry("10.0.0.1", 2))
        await world.controller.wait_for(AccessTokenRequest, nth=2)
        assert await exchange(streams, b"old") == b"old"
        assert [tunnel.peer_pin for tunnel in world.edge.tunnels] == [former, fresh.pin]
        assert all(tunnel.lost is None for tunnel in world.edge.tunnels)
        await close(streams)


async def test_f23_a_token_from_before_the_announcement_is_replaced_before_it_is_used(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        world.token_pins = (OTHER_PIN,)
        code, failed = await socks(world, *WIKI)
        assert code != 0
        await close(failed)
        world.token_pins = None
        code, streams = await socks(world, *WIKI)
        assert code == 0
        await close(streams)


async def test_f22_t64_what_rests_on_a_distrusted_key_ends_and_new_flows_use_the_next(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        _, streams = await socks(world, *WIKI)
        fresh = SigningKey("key-2", generate_key())
        world.controller.key = fresh
        world.edge.keys = VerificationKeys.of(fresh)
        await world.controller.push(KeysChanged(VerificationKeys.of(fresh).to_jwks()))
        await reset_soon(streams[0])
        code, again = await socks(world, *WIKI)
        assert code == 0
        await close(again)
        await world.push(entry(WIKI[0]))
        assert world.store().identity().keys.to_jwks() == VerificationKeys.of(fresh).to_jwks()  # type: ignore[union-attr]


async def test_f21_t64_an_orderly_rotation_touches_nothing(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        _, streams = await socks(world, *WIKI)
        old, fresh = world.controller.key, SigningKey("key-2", generate_key())
        both = VerificationKeys.of(old, fresh)
        await world.controller.push(KeysChanged(both.to_jwks()))
        world.controller.key = fresh
        world.edge.keys = both
        await world.push(entry(WIKI[0]))
        assert await exchange(streams, b"on") == b"on"
        assert len(world.edge.tunnels) == 1
        await close(streams)


async def test_malformed_keys_change_nothing(tmp_path: Path) -> None:
    async with online(tmp_path, entry(WIKI[0])) as world:
        await world.controller.push(KeysChanged({"keys": [{"kty": "oct"}]}))
        await world.controller.push(PushSnapshot(world.snapshot()))
        await world.push(entry(WIKI[0]))
        assert world.controller.seen(Enforced)[-1].revision == world.revision
