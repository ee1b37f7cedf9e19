"""Tunnels: handshake and pins, streams and their reasons, ends, bounds, keepalive (T-24, T-39, T-40)."""

import asyncio
from collections.abc import Callable

import pytest
from recorders import Recorder
from tunnel_pair import TunnelPair, connector_identity, memory_legs, tunnel_pair

from protocol.errors import LocalProtocolError, RefusedError, RemoteError, RemoteProtocolError
from protocol.ids import SpkiPin
from protocol.limits import MUX_WINDOW_INITIAL, TUNNEL_WRITE_HIGH_WATER
from protocol.reasons import Reason
from runtime.clock import ManualClock, SystemClock
from runtime.tunnel import Tunnel, TunnelStream
from runtime.tunnel_stream import VIEW_MIN_BYTES

OTHER_PIN = SpkiPin("sha256/" + "A" * 43 + "=")


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# Handshake


async def test_both_ends_share_exporter_and_pin() -> None:
    async with tunnel_pair() as pair:
        assert pair.client.exporter() == pair.server.exporter()
        assert len(pair.client.exporter()) == 32
        assert pair.client.peer_pin == pair.server.peer_pin == connector_identity()[2]


async def test_a_wrong_pin_ends_the_handshake_and_nothing_is_sent() -> None:
    pair = TunnelPair(pin=OTHER_PIN)
    with pytest.raises(RemoteError) as caught:
        await pair.handshake()
    assert caught.value.reason is Reason.PIN_MISMATCH
    assert OTHER_PIN in caught.value.detail
    assert pair.client_leg.closed is Reason.PIN_MISMATCH
    with pytest.raises(RemoteError):
        pair.client.open_stream()
    await turns()
    assert pair.server.lost is not None


async def test_a_handshake_has_a_deadline() -> None:
    leg, _ = memory_legs()
    tunnel = Tunnel.client(leg, [OTHER_PIN], SystemClock())
    with pytest.raises(RemoteError) as caught:
        await tunnel.handshake(0.05)
    assert caught.value.reason is Reason.TIMEOUT
    assert leg.closed is Reason.TIMEOUT


async def test_a_cancelled_handshake_closes_the_leg() -> None:
    leg, _ = memory_legs()
    tunnel = Tunnel.client(leg, [OTHER_PIN], SystemClock())
    waiting = asyncio.ensure_future(tunnel.handshake(5))
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert leg.closed is Reason.CANCELLED


async def test_garbage_in_place_of_tls() -> None:
    leg, other = memory_legs()
    tunnel = Tunnel.client(leg, [OTHER_PIN], SystemClock())
    other.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(RemoteError) as caught:
        await tunnel.handshake(5)
    assert caught.value.reason is Reason.TLS_FAILED


async def test_a_parked_leg_waits_for_its_peer_and_hears_its_end() -> None:
    key_pem, certificate_pem, _ = connector_identity()
    leg, other = memory_legs()
    tunnel = Tunnel.server(leg, key_pem, certificate_pem, SystemClock())
    parked = asyncio.ensure_future(tunnel.wait_for_peer())
    await turns()
    assert not parked.done()
    other.close(Reason.SHUTTING_DOWN)
    with pytest.raises(RemoteError) as caught:
        await parked
    assert caught.value.reason is Reason.SHUTTING_DOWN


async def test_a_parked_leg_is_woken_by_the_first_byte() -> None:
    pair = TunnelPair()
    parked = asyncio.ensure_future(pair.server.wait_for_peer())
    client = asyncio.ensure_future(pair.client.handshake(5))
    await parked
    await pair.server.handshake(5)
    await client
    pair.close()


async def test_nothing_is_known_before_the_handshake() -> None:
    tunnel = Tunnel.client(memory_legs()[0], [OTHER_PIN], SystemClock())
    with pytest.raises(LocalProtocolError):
        tunnel.exporter()
    with pytest.raises(LocalProtocolError):
        _ = tunnel.peer_pin
    assert not tunnel.can_open
    tunnel.close()


# Streams


async def test_a_stream_carries_bytes_both_ways_and_half_closes() -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        one, two = Recorder(mine.consumed), Recorder(theirs.consumed)
        mine.set_receiver(one)
        theirs.set_receiver(two)
        mine.write(b"question")
        mine.write_eof()
        await two.until(lambda own: own.eof)
        assert two.data == b"question"
        theirs.write(b"answer")
        theirs.write_eof()
        await one.until(lambda own: own.eof)
        assert one.data == b"answer"
        await turns()
        assert (mine.ended, theirs.ended, pair.client.stream_count, pair.server.stream_count) == (True, True, 0, 0)
        assert (one.reason, two.reason) == (None, None)


async def test_data_may_follow_the_open_at_once() -> None:
    async with tunnel_pair() as pair:
        stream = pair.client.open_stream()
        stream.write(b"header and more")
        theirs = await pair.opened.get()
        receiver = Recorder()
        theirs.set_receiver(receiver)
        assert await receiver.received(15) == b"header and more"


async def test_streams_opened_before_anybody_cares_are_kept() -> None:
    pair = TunnelPair()
    key_pem, certificate_pem, pin = connector_identity()
    client_leg, server_leg = memory_legs()
    client = Tunnel.client(client_leg, [pin], SystemClock())
    server = Tunnel.server(server_leg, key_pem, certificate_pem, SystemClock())
    accepting = asyncio.ensure_future(server.handshake(5))
    await client.handshake(5)
    client.open_stream().write(b"early")
    await accepting
    await turns()
    found: list[TunnelStream] = []
    server.set_on_stream(found.append)
    receiver = Recorder()
    found[0].set_receiver(receiver)
    assert receiver.data == b"early"
    client.close()
    pair.close()
    await turns()


async def test_writes_of_one_turn_leave_together() -> None:
    async with tunnel_pair() as pair:
        streams = [pair.client.open_stream() for _ in range(20)]
        await turns()
        before = len(pair.client_leg.writes)
        for stream in streams:
            for _ in range(5):
                stream.write(b"x" * 100)
        await turns()
        assert len(pair.client_leg.writes) == before + 1


async def test_reset_reasons_travel_both_ways() -> None:
    async with tunnel_pair() as pair:
        for reason in (Reason.CONNECTION_REFUSED, Reason.ACCESS_REVOKED, Reason.CANCELLED):
            for sender_is_client in (True, False):
                mine, theirs = await pair.stream()
                sender, other = (mine, theirs) if sender_is_client else (theirs, mine)
                receiver, own = Recorder(), Recorder()
                other.set_receiver(receiver)
                sender.set_receiver(own)
                sender.reset(reason)
                assert await receiver.ended() is reason
                assert own.reason is None
                assert sender.ended
                assert other.ended


async def test_calls_on_a_stream_that_has_ended_do_nothing() -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        receiver = Recorder()
        theirs.set_receiver(receiver)
        mine.reset(Reason.CANCELLED)
        await receiver.ended()
        for stream in (mine, theirs):
            stream.write(b"late")
            stream.write_eof()
            stream.consumed(5)
            stream.reset(Reason.INTERNAL)
        await turns()
        assert pair.lost == {}


async def test_a_receiver_that_comes_later_gets_everything_in_order() -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        mine.write(b"header|body")
        await turns()
        mine.write(b"|tail")
        mine.write_eof()
        await turns()
        head = Recorder()
        theirs.set_receiver(head)
        assert head.data == b"header|body|tail"
        theirs.set_receiver(None)
        theirs.unread(b"|tail")
        theirs.unread(b"body")
        rest = Recorder()
        theirs.set_receiver(rest)
        assert rest.data == b"body|tail"
        assert head.eof, "the end came to whoever was there"


async def test_only_who_asks_for_views_gets_them_and_only_large_ones() -> None:
    class Viewer(Recorder):
        takes_views = True

        def __init__(self) -> None:
            super().__init__()
            self.kinds: set[tuple[str, bool]] = set()

        def data_received(self, data: bytes | memoryview) -> None:
            self.kinds.add((type(data).__name__, len(data) >= VIEW_MIN_BYTES))
            super().data_received(data)

    async with tunnel_pair() as pair:
        payload = bytes(range(256)) * 800
        for receiver in (Viewer(), Recorder()):
            mine, theirs = await pair.stream()
            theirs.set_receiver(receiver)
            mine.write(b"small")
            await receiver.received(5)
            mine.write(payload)
            assert await receiver.received(5 + len(payload)) == b"small" + payload
            if isinstance(receiver, Viewer):
                assert ("memoryview", True) in receiver.kinds
                assert ("memoryview", False) not in receiver.kinds


async def test_a_reset_of_a_stream_without_a_receiver_is_told_later() -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        mine.write(b"never delivered")
        await turns()
        mine.reset(Reason.CANCELLED)
        await turns()
        receiver = Recorder()
        theirs.set_receiver(receiver)
        assert (receiver.reason, bytes(receiver.data)) == (Reason.CANCELLED, b"")


@pytest.mark.parametrize("method", ["data_received", "eof_received"])
async def test_an_error_in_a_receiver_costs_its_own_stream_only(method: str) -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        other, other_theirs = await pair.stream()
        mine_receiver, theirs_receiver, fine = Recorder(), Recorder(), Recorder()

        def fail(*_: object) -> None:
            raise RemoteProtocolError("what a client sent makes no sense")

        setattr(theirs_receiver, method, fail)
        theirs.set_receiver(theirs_receiver)
        mine.set_receiver(mine_receiver)
        other_theirs.set_receiver(fine)
        mine.write(b"nonsense")
        mine.write_eof()
        other.write(b"sense")
        assert await mine_receiver.ended() is Reason.PROTOCOL_ERROR
        assert theirs_receiver.reason is Reason.PROTOCOL_ERROR
        assert await fine.received(5) == b"sense"


async def test_a_connector_that_opens_streams_is_refused() -> None:
    async with tunnel_pair() as pair:
        stream = pair.server.open_stream()
        receiver = Recorder()
        stream.set_receiver(receiver)
        assert await receiver.ended() is Reason.PROTOCOL_ERROR
        assert pair.client.stream_count == 0


# Ends


async def test_a_lost_leg_resets_every_stream() -> None:
    async with tunnel_pair() as pair:
        receivers = []
        for _ in range(10):
            mine, theirs = await pair.stream()
            for stream in (mine, theirs):
                receivers.append(Recorder())
                stream.set_receiver(receivers[-1])
        pair.client_leg.lose(Reason.PEER_SILENT)
        pair.server_leg.lose(Reason.TUNNEL_LOST)
        assert {receiver.reason for receiver in receivers} == {Reason.TUNNEL_LOST}
        assert pair.lost == {"client": Reason.PEER_SILENT, "server": Reason.TUNNEL_LOST}
        with pytest.raises(RemoteError):
            pair.client.open_stream()


async def test_the_reason_of_a_close_reaches_the_peer_and_its_streams() -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        one, two = Recorder(), Recorder()
        mine.set_receiver(one)
        theirs.set_receiver(two)
        pair.server.close(Reason.PROOF_INVALID)
        assert two.reason is Reason.PROOF_INVALID
        assert await one.ended() is Reason.PROOF_INVALID
        assert pair.lost == {"client": Reason.PROOF_INVALID}, "who closes is not told"


async def test_a_normal_close_is_a_lost_tunnel_for_open_streams() -> None:
    async with tunnel_pair() as pair:
        mine, _ = await pair.stream()
        receiver = Recorder()
        mine.set_receiver(receiver)
        pair.server.close()
        assert await receiver.ended() is Reason.TUNNEL_LOST
        assert pair.lost == {"client": Reason.NORMAL}


async def test_a_peer_that_goes_away_lets_open_streams_go_on() -> None:
    gone: list[Reason] = []
    async with tunnel_pair(on_gone_away=gone.append) as pair:
        mine, theirs = await pair.stream()
        receiver = Recorder()
        theirs.set_receiver(receiver)
        pair.server.go_away(Reason.SHUTTING_DOWN)
        await turns()
        assert (gone, pair.client.gone_away, pair.client.can_open) == (
            [Reason.SHUTTING_DOWN],
            Reason.SHUTTING_DOWN,
            False,
        )
        with pytest.raises(RefusedError) as caught:
            pair.client.open_stream()
        assert caught.value.reason is Reason.SHUTTING_DOWN
        mine.write(b"still here")
        assert await receiver.received(10) == b"still here"


async def test_closing_from_inside_a_receiver() -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        other, _ = await pair.stream()
        one, two = Recorder(), Recorder(lambda _: pair.server.close(Reason.ACCESS_REVOKED))
        mine.set_receiver(one)
        theirs.set_receiver(two)
        mine.write(b"trigger")
        other.write(b"behind it")
        assert await one.ended() is Reason.ACCESS_REVOKED


# What an evil or broken relay may do (T-24)


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    "change",
    [flip, lambda data: data[:-7], lambda data: data + data, lambda data: b"\x17\x03\x03\x00\x20" + bytes(32)],
    ids=["flip", "drop", "duplicate", "inject"],
)
async def test_t24_no_changed_byte_is_delivered(change: Callable[[bytes], bytes]) -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        receiver = Recorder()
        theirs.set_receiver(receiver)
        mine.write(b"a" * 1000)
        await receiver.received(1000)
        pair.client_leg.change = change
        mine.write(b"b" * 1000)
        await turns()
        pair.client_leg.change = lambda data: data
        mine.write(b"c" * 1000)
        assert await receiver.ended() is Reason.TUNNEL_LOST
        assert pair.lost["server"] is Reason.TLS_FAILED
        assert set(receiver.data) <= {ord("a"), ord("b")}
        assert bytes(receiver.data) in (b"a" * 1000, b"a" * 1000 + b"b" * 1000)


async def test_t24_reordered_bytes_are_not_delivered() -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        receiver = Recorder()
        theirs.set_receiver(receiver)
        pair.client_leg.held = []
        for letter in (b"1", b"2", b"3"):
            mine.write(letter * 100)
            await turns()
        assert pair.client_leg.held is not None
        pair.client_leg.held.reverse()
        pair.client_leg.release()
        assert await receiver.ended() is Reason.TUNNEL_LOST
        assert receiver.data == b""


async def test_text_on_a_data_leg_ends_the_tunnel() -> None:
    async with tunnel_pair() as pair:
        pair.client.text_received("psst")
        assert pair.lost["client"] is Reason.PROTOCOL_ERROR


# Bounds (T-40)


async def test_t40_a_reader_that_stalls_does_not_stop_the_others() -> None:
    async with tunnel_pair() as pair:
        stalled, stalled_theirs = await pair.stream()
        stuck = Recorder()
        stalled_theirs.set_receiver(stuck)  # it never gives credit back
        writer = Recorder()
        stalled.set_receiver(writer)
        stalled.write(b"s" * 65_536)
        while not writer.paused:
            stalled.write(b"s" * 65_536)
            await turns(3)
        for _ in range(5):
            mine, theirs = await pair.stream()
            receiver = Recorder(theirs.consumed)
            theirs.set_receiver(receiver)
            for _ in range(20):
                mine.write(b"d" * 50_000)
                while mine.paused:
                    await asyncio.sleep(0)
            await receiver.received(1_000_000)
        assert len(stuck.data) <= MUX_WINDOW_INITIAL
        stalled_theirs.consumed(len(stuck.data))
        await writer.until(lambda own: not own.paused)


async def test_nothing_leaves_while_the_leg_is_full() -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        receiver = Recorder(theirs.consumed)
        theirs.set_receiver(receiver)
        writer = Recorder()
        mine.set_receiver(writer)
        pair.client_leg.pause(True)
        before = pair.client_leg.sent
        mine.write(b"x" * 200_000)
        await turns()
        assert pair.client_leg.sent == before
        while not writer.paused:
            mine.write(b"x" * 50_000)
            await turns(3)
        pair.client_leg.pause(False)
        await receiver.received(200_000)
        await writer.until(lambda own: not own.paused)


async def test_one_flush_stops_at_the_legs_high_water_mark() -> None:
    async with tunnel_pair() as pair:
        leg = pair.client_leg
        streams = [pair.client.open_stream() for _ in range(40)]
        await turns()
        leg.held = []
        start = leg.sent
        write = leg.write

        def bounded(data: bytes) -> None:
            write(data)
            if leg.sent - start > TUNNEL_WRITE_HIGH_WATER:
                leg.paused = True

        leg.write = bounded  # type: ignore[method-assign, assignment]
        for stream in streams:
            stream.write(b"y" * 100_000)
        await turns()
        assert leg.sent - start < 2 * TUNNEL_WRITE_HIGH_WATER
        leg.paused = False
        leg.release()


# Keepalive


async def test_a_silent_peer_is_lost_and_a_quiet_one_is_not() -> None:
    clock = ManualClock()
    async with tunnel_pair(clock, keepalive_s=0.02, dead_after_s=40.0) as pair:
        for _ in range(5):
            clock.advance(30)
            sent = len(pair.client_leg.writes)
            async with asyncio.timeout(60):
                while len(pair.client_leg.writes) == sent:
                    await asyncio.sleep(0.005)
            await asyncio.sleep(0.02)
        assert pair.lost == {}, "pings keep it alive however quiet it is"
        pair.client_leg.held = []
        pair.server_leg.held = []
        await turns()
        clock.advance(41)
        async with asyncio.timeout(60):
            while len(pair.lost) < 2:
                await asyncio.sleep(0.005)
        assert set(pair.lost.values()) == {Reason.PEER_SILENT}


async def test_a_probe_finds_out_whether_the_peer_is_there() -> None:
    async with tunnel_pair() as pair:
        assert await pair.client.probe(5.0) >= 0
        await turns()
        assert pair.client.rtt is not None
        pair.server_leg.held = []
        with pytest.raises(RemoteError) as caught:
            await pair.client.probe(0.05)
        assert caught.value.reason is Reason.PEER_SILENT
        assert pair.lost == {}, "the caller decides"
        probing = asyncio.ensure_future(pair.client.probe(5.0))
        await turns()
        pair.client_leg.lose(Reason.TUNNEL_LOST)
        with pytest.raises(RemoteError):
            await probing
