"""Which streams live, which ids have been, and how many more there may be (T-39)."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import MUX_ACCEPT_BACKLOG, MUX_STREAMS_MAX, MUX_WINDOW_INITIAL
from protocol.mux.registry import Registry
from protocol.mux.stream import Stream


@pytest.mark.parametrize(("client", "ids"), [(True, [1, 3, 5]), (False, [2, 4, 6])])
def test_own_ids_rise_by_two_from_the_side_s_first(client: bool, ids: list[int]) -> None:
    registry = Registry(client=client)
    assert [registry.open(0.0).id for _ in range(3)] == ids
    assert all(registry.streams[number].own for number in ids)


@pytest.mark.parametrize(("client", "number"), [(True, 1), (True, 7), (False, 2), (False, 8), (True, 0)])
def test_peer_opening_an_id_of_our_side_or_an_old_one_is_a_violation(client: bool, number: int) -> None:
    registry = Registry(client=client)
    registry.note_peer_id(100 if client else 101)
    with pytest.raises(RemoteProtocolError):
        registry.note_peer_id(number)
    with pytest.raises(RemoteProtocolError):
        registry.note_peer_id(100 if client else 101)


def test_peer_may_leave_ids_out() -> None:
    registry = Registry(client=False)
    registry.note_peer_id(7)
    stream = registry.admit(7, 0.0)
    assert registry.find_untrusted(7) is stream
    assert not stream.own
    assert registry.find_untrusted(5) is None, "it counts as one that has ended"


def test_ids_that_never_were_are_told_from_ids_that_have_been() -> None:
    registry = Registry(client=True)
    stream = registry.open(0.0)
    registry.forget(stream, accepted=False)
    assert registry.find(stream.id) is None
    assert registry.find_untrusted(stream.id) is None
    for number in (0, 2, 3, 0xFFFFFFFF):
        with pytest.raises(LocalProtocolError, match="never open"):
            registry.find(number)
        with pytest.raises(RemoteProtocolError, match="never open"):
            registry.find_untrusted(number)


def test_t39_unaccepted_streams_of_the_peer_are_bounded() -> None:
    registry = Registry(client=False)
    offered = []
    for number in range(1, 2 * MUX_ACCEPT_BACKLOG, 2):
        assert registry.room_for_peer()
        registry.note_peer_id(number)
        offered.append(registry.admit(number, 0.0))
    assert not registry.room_for_peer()
    registry.accepted(offered[0])
    assert registry.room_for_peer()


def test_own_unaccepted_streams_stay_inside_the_peers_backlog() -> None:
    registry = Registry(client=True)
    while registry.room_for_own():
        last = registry.open(0.0)
    assert len(registry.streams) == MUX_ACCEPT_BACKLOG
    registry.forget(last, accepted=False)
    assert registry.room_for_own()


def test_live_streams_of_each_side_are_bounded_apart() -> None:
    registry = Registry(client=True)
    for index in range(MUX_STREAMS_MAX):
        registry.accepted(registry.open(0.0))
        registry.note_peer_id(2 * index + 2)
        registry.accepted(registry.admit(2 * index + 2, 0.0))
    assert not registry.room_for_own()
    assert not registry.room_for_peer()
    registry.forget(registry.streams[1], accepted=True)
    assert registry.room_for_own()
    assert not registry.room_for_peer()


def test_ids_are_never_used_again_even_when_they_run_out() -> None:
    registry = Registry(client=True)
    registry.note_peer_id(0xFFFFFFFE)
    with pytest.raises(RemoteProtocolError):
        registry.note_peer_id(2)


def test_t40_grown_windows_go_back_when_a_stream_ends() -> None:
    registry = Registry(client=True)

    def grow(stream: Stream) -> int:
        for _ in range(12):
            size = stream.window.left
            stream.window.announce(size)
            stream.window.held += size
            stream.window.consume(size, 0.0, 1.0)
        return stream.window.size

    hungry = [registry.open(0.0) for _ in range(8)]
    sizes = [grow(stream) for stream in hungry]
    assert sizes[0] > MUX_WINDOW_INITIAL
    assert sizes[-1] == MUX_WINDOW_INITIAL, "the budget of the session is spent"
    registry.forget(hungry[0], accepted=False)
    assert grow(registry.open(0.0)) == sizes[0]


class Bookkeeping(RuleBasedStateMachine):
    """A registry beside a plain model of it: sets of ids."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(client=True)
        self.live: dict[int, bool] = {}
        self.ended: set[int] = set()
        self.next_own = 1
        self.last_peer = 0

    @rule()
    def open_own(self) -> None:
        stream = self.registry.open(0.0)
        assert stream.id == self.next_own
        self.live[stream.id] = False
        self.next_own += 2

    @rule(skip=st.integers(0, 2))
    def admit(self, skip: int) -> None:
        number = self.last_peer + 2 + 2 * skip
        self.ended.update(range(self.last_peer + 2, number, 2))
        self.registry.note_peer_id(number)
        self.registry.admit(number, 0.0)
        self.live[number] = False
        self.last_peer = number

    @rule(skip=st.integers(0, 1))
    def refuse(self, skip: int) -> None:
        number = self.last_peer + 2 + 2 * skip
        self.registry.note_peer_id(number)
        self.ended.update(range(self.last_peer + 2, number + 1, 2))
        self.last_peer = number

    @precondition(lambda self: not all(self.live.values()))
    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([number for number, accepted in self.live.items() if not accepted]))
        self.registry.accepted(self.registry.streams[number])
        self.live[number] = True

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.live)))
        self.registry.forget(self.registry.streams[number], accepted=self.live.pop(number))
        self.ended.add(number)

    @invariant()
    def finds_exactly_what_has_been(self) -> None:
        assert set(self.registry.streams) == set(self.live)
        for number in range(max(self.next_own, self.last_peer) + 4):
            if number in self.live:
                assert self.registry.find_untrusted(number) is self.registry.streams[number]
            elif number in self.ended:
                assert self.registry.find_untrusted(number) is None
            else:
                with pytest.raises(RemoteProtocolError):
                    self.registry.find_untrusted(number)

    def teardown(self) -> None:
        for number, accepted in self.live.items():
            self.registry.forget(self.registry.streams[number], accepted=accepted)
        # All counters are back where they began: the whole backlog may be opened once more, and not one above it.
        for count in range(MUX_ACCEPT_BACKLOG):
            assert self.registry.room_for_own(), count
            self.registry.open(0.0)
        assert not self.registry.room_for_own()


TestBookkeeping = Bookkeeping.TestCase
TestBookkeeping.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
