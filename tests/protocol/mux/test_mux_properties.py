"""Properties: chunking does not matter, garbage is harmless, and every byte arrives in order exactly once."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from mux_pair import Pair, drain, flush, frame

from protocol.errors import RemoteProtocolError
from protocol.limits import MUX_WINDOW_INITIAL
from protocol.mux import DataReceived, EofReceived, Event, Session, StreamFinished, StreamOpened, StreamReset
from protocol.mux.frames import DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE
from protocol.reasons import Reason


def merged(events: list[Event]) -> list[Event]:
    """Joins neighbouring data events of one stream, because cuts are not part of the contract."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, DataReceived) and isinstance(last, DataReceived) and last.stream == event.stream:
            result[-1] = DataReceived(event.stream, last.data + event.data)
        else:
            result.append(event)
    return result


ACTIONS = st.tuples(
    st.sampled_from(["open", "send", "send", "send", "eof", "reset", "ping"]),
    st.integers(0, 3),
    st.binary(min_size=1, max_size=40),
)


@given(st.lists(ACTIONS, max_size=30), st.data())
@settings(max_examples=60)
def test_chunks_of_any_size_give_the_same_events(actions: list[tuple[str, int, bytes]], data: st.DataObject) -> None:
    sender = Session(client=True, now=0.0)
    streams: list[int] = []
    ended: set[int] = set()
    wire = b""
    for name, index, payload in actions:
        stream = streams[index] if index < len(streams) else None
        if name == "open":
            streams.append(sender.open_stream())
        elif name == "ping":
            sender.ping(0.0)
        elif stream is not None and stream not in ended:
            if name == "send":
                sender.send(stream, payload)
            elif name == "eof":
                ended.add(stream)
                sender.send_eof(stream)
            else:
                ended.add(stream)
                sender.reset(stream, Reason.CANCELLED)
        if index == 0:
            wire += flush(sender)
    wire += flush(sender)
    whole = Session(client=False, now=0.0)
    whole.receive_data(wire, 0.0)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=20)))
    pieces = Session(client=False, now=0.0)
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        pieces.receive_data(wire[start:end], 0.0)
    assert merged(drain(pieces)) == merged(drain(whole))
    assert flush(pieces) == flush(whole)


@given(st.binary(max_size=400), st.booleans())
@settings(max_examples=100)
def test_garbage_is_refused_or_ignored(data: bytes, client: bool) -> None:
    session = Session(client=client, now=0.0)
    session.open_stream()
    try:
        session.receive_data(data, 0.0)
    except RemoteProtocolError:
        assert flush(session) == frame(GO_AWAY, 0, 0, Reason.PROTOCOL_ERROR.number)


PLAUSIBLE = st.builds(
    frame,
    st.sampled_from([DATA, DATA, WINDOW_UPDATE, WINDOW_UPDATE, PING, GO_AWAY]),
    st.sampled_from([0, 0, SYN, SYN, 2, FIN, RST, SYN | FIN, 2 | FIN]),
    st.integers(0, 7),
    st.sampled_from([None, None, None, 0, 5, MUX_WINDOW_INITIAL, 0xFFFFFFFF]),
    st.binary(max_size=6),
)


@given(st.lists(PLAUSIBLE, max_size=12), st.booleans())
@settings(max_examples=200)
def test_plausible_frames_in_any_order_are_refused_or_obeyed(frames: list[bytes], client: bool) -> None:
    session = Session(client=client, now=0.0)
    own = session.open_stream()
    session.send(own, b"data")
    seen: dict[int, str] = {own: "open"}
    try:
        for data in frames:
            session.receive_data(data, 0.0)
    except RemoteProtocolError:
        return
    for event in drain(session):
        match event:
            case StreamOpened(stream):
                assert stream not in seen
                seen[stream] = "open"
            case DataReceived(stream, _):
                assert seen[stream] == "open"
            case EofReceived(stream):
                assert seen[stream] == "open"
                seen[stream] = "eof"
            case StreamReset(stream, _) | StreamFinished(stream):
                assert seen.pop(stream) in ("open", "eof")
            case _:
                pass


@dataclass
class Half:
    """One direction of a stream as the test knows it."""

    sent: bytearray = field(default_factory=bytearray)
    got: bytearray = field(default_factory=bytearray)
    ended: bool = False
    eof_seen: bool = False


class World:
    """Two sessions, what was sent and what arrived, and how far each stream's end has been heard of."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.sides = {"a": self.pair.a, "b": self.pair.b}
        self.halves: dict[tuple[str, int], Half] = {}
        self.alive: dict[str, list[int]] = {"a": [], "b": []}
        self.unconsumed: dict[tuple[str, int], int] = {}
        self.reset: set[int] = set()
        self.finished: dict[str, set[int]] = {"a": set(), "b": set()}
        self.counter = 0

    def add(self, side: str, stream: int) -> None:
        self.alive[side].append(stream)
        self.halves[side, stream] = Half()
        self.unconsumed[side, stream] = 0

    def act(self, name: str, side: str, index: int, size: int) -> None:
        session, alive = self.sides[side], self.alive[side]
        if name == "open":
            self.add(side, session.open_stream())
        elif name == "carry":
            self.carry(side, size)
        elif alive:
            stream = alive[index % len(alive)]
            half = self.halves[side, stream]
            if name == "send" and not half.ended:
                count = min(size, session.send_budget(stream))
                self.counter += 1
                data = (self.counter.to_bytes(4, "big") * (count // 4 + 1))[:count]
                session.send(stream, data)
                half.sent += data
            elif name == "eof" and not half.ended:
                half.ended = True
                session.send_eof(stream)
            elif name == "reset":
                session.reset(stream, Reason.CANCELLED)
                self.reset.add(stream)
                alive.remove(stream)
            elif name == "consume":
                self.consume(side, stream, min(size, self.unconsumed[side, stream]))

    def consume(self, side: str, stream: int, count: int) -> None:
        self.sides[side].consume(stream, count, 0.0)
        self.unconsumed[side, stream] -= count

    def carry(self, side: str, limit: int) -> bool:
        other = "b" if side == "a" else "a"
        data = self.sides[side].data_to_send(max(limit, 13))
        self.hear(side)
        self.sides[other].receive_data(data, 0.0)
        self.hear(other)
        return bool(data)

    def hear(self, side: str) -> None:
        other = "b" if side == "a" else "a"
        for event in drain(self.sides[side]):
            match event:
                case StreamOpened(stream):
                    self.add(side, stream)
                case DataReceived(stream, data):
                    self.halves[other, stream].got += data
                    self.unconsumed[side, stream] += len(data)
                case EofReceived(stream):
                    self.halves[other, stream].eof_seen = True
                case StreamReset(stream, reason):
                    assert reason is Reason.CANCELLED
                    assert stream in self.reset
                    self.alive[side].remove(stream)
                case StreamFinished(stream):
                    self.finished[side].add(stream)
                    self.alive[side].remove(stream)
                case _:
                    pass

    def run_out(self) -> None:
        """Ends every half, and reads and carries until nothing moves."""
        moved = True
        while moved:
            moved = False
            for side in ("a", "b"):
                for stream in list(self.alive[side]):
                    if not self.halves[side, stream].ended:
                        self.halves[side, stream].ended = True
                        self.sides[side].send_eof(stream)
                    self.consume(side, stream, self.unconsumed[side, stream])
                moved |= self.carry(side, 1 << 20)


STEPS = st.tuples(
    st.sampled_from(["open", "send", "send", "eof", "reset", "consume", "carry", "carry", "carry"]),
    st.sampled_from(["a", "b"]),
    st.integers(0, 5),
    st.sampled_from([1, 100, 13_000, 70_000, 300_000]),
)


@given(st.lists(STEPS, max_size=60))
@settings(max_examples=120, deadline=None)
def test_every_byte_arrives_in_order_exactly_once_or_the_stream_was_reset(
    steps: list[tuple[str, str, int, int]],
) -> None:
    world = World()
    for step in steps:
        world.act(*step)
    world.run_out()
    for (_, stream), half in world.halves.items():
        if stream in world.reset:
            assert half.sent.startswith(half.got)
        else:
            assert half.got == half.sent
            assert half.eof_seen
            assert stream in world.finished["a"]
            assert stream in world.finished["b"]
    assert world.pair.a.stream_count == world.pair.b.stream_count == 0
    assert not world.pair.a.has_data_to_send
    assert not world.pair.b.has_data_to_send
