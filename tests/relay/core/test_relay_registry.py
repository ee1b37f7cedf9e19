"""Pairing as dialogues, and as a random walk beside the rules that must always hold (T-20, T-21, T-25)."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol.ids import ConnectorHash
from protocol.limits import PAIRING_DEADLINE_S
from protocol.reasons import Reason
from relay.core.registry import (
    Accept,
    AskLegs,
    Close,
    Command,
    ConnectionNumber,
    Pair,
    Refuse,
    Registry,
    SayGoodbye,
)

OFFICE, LAB = ConnectorHash("o" * 43), ConnectorHash("l" * 43)


def number(value: int) -> ConnectionNumber:
    return ConnectionNumber(value)


C1, C2, L1, L2, U1, U2, U3 = (number(value) for value in (1, 2, 11, 12, 21, 22, 23))


def commands(registry: Registry) -> list[Command]:
    found = []
    while (command := registry.next_command()) is not None:
        found.append(command)
    return found


def attached(**limits: int) -> Registry:
    registry = Registry(**limits)
    registry.attach(C1, OFFICE)
    assert commands(registry) == [Accept(C1)]
    return registry


def test_client_takes_a_parked_leg_at_once() -> None:
    registry = attached()
    registry.park(L1, OFFICE)
    registry.connect(U1, OFFICE, "t", 0.0)
    assert commands(registry) == [Accept(L1), Pair(U1, L1)]
    assert (registry.parked, registry.waiting, registry.pairs, registry.deadline()) == (0, 0, 1, None)


def test_newest_parked_leg_is_taken_first() -> None:
    registry = attached()
    registry.park(L1, OFFICE)
    registry.park(L2, OFFICE)
    registry.connect(U1, OFFICE, "t", 0.0)
    assert commands(registry)[-1] == Pair(U1, L2)


def test_client_without_a_parked_leg_waits_for_one() -> None:
    registry = attached()
    registry.connect(U1, OFFICE, "t", 10.0)
    assert commands(registry) == [AskLegs(C1, 1)]
    assert registry.deadline() == (10.0 + PAIRING_DEADLINE_S, "pairing")
    registry.connect(U2, OFFICE, "t", 11.0)
    registry.park(L1, OFFICE)
    assert commands(registry) == [AskLegs(C1, 1), Accept(L1), Pair(U1, L1)]
    assert registry.deadline() == (11.0 + PAIRING_DEADLINE_S, "pairing")


def test_t25_pairing_has_a_deadline() -> None:
    registry = attached()
    registry.connect(U1, OFFICE, "t", 0.0)
    registry.connect(U2, OFFICE, "t", 1.0)
    commands(registry)
    registry.tick(PAIRING_DEADLINE_S - 0.01)
    assert commands(registry) == []
    registry.tick(PAIRING_DEADLINE_S)
    assert commands(registry) == [Refuse(U1, Reason.PAIRING_TIMEOUT)]
    registry.tick(PAIRING_DEADLINE_S + 1.0)
    assert commands(registry) == [Refuse(U2, Reason.PAIRING_TIMEOUT)]
    assert registry.deadline() is None


def test_t21_nobody_is_paired_across_connectors() -> None:
    registry = attached()
    registry.attach(C2, LAB)
    registry.park(L1, OFFICE)
    commands(registry)
    registry.connect(U1, LAB, "t", 0.0)
    assert commands(registry) == [AskLegs(C2, 1)]
    registry.park(L2, LAB)
    assert commands(registry) == [Accept(L2), Pair(U1, L2)]
    assert registry.parked == 1


def test_t21_unknown_hash_and_detached_connector_are_refused_alike() -> None:
    registry = attached()
    registry.connect(U1, LAB, "t", 0.0)
    registry.park(L1, LAB)
    registry.closed(C1)
    registry.connect(U2, OFFICE, "t", 0.0)
    registry.park(L2, OFFICE)
    assert commands(registry) == [Refuse(each, Reason.CONNECTOR_NOT_ATTACHED) for each in (U1, L1, U2, L2)]


def test_t20_newest_proven_attachment_wins_and_pairs_go_on() -> None:
    registry = attached()
    registry.park(L1, OFFICE)
    registry.connect(U1, OFFICE, "t", 0.0)
    registry.park(L2, OFFICE)
    commands(registry)
    registry.attach(C2, OFFICE)
    duplicate = Reason.DUPLICATE_AGENT
    assert commands(registry) == [SayGoodbye(C1, duplicate), Close(C1, duplicate), Close(L2, duplicate), Accept(C2)]
    assert (registry.pairs, registry.parked) == (1, 0)
    registry.closed(C1)
    registry.closed(L2)
    registry.connect(U2, OFFICE, "t", 0.0)
    assert commands(registry) == [AskLegs(C2, 1)], "the end of the old one takes nothing from the new one"


def test_t20_new_attachment_is_asked_for_the_legs_that_the_old_one_owed() -> None:
    registry = attached()
    registry.connect(U1, OFFICE, "t", 0.0)
    registry.connect(U2, OFFICE, "t", 0.0)
    commands(registry)
    registry.attach(C2, OFFICE)
    assert commands(registry)[-2:] == [Accept(C2), AskLegs(C2, 2)]


def test_t20_other_connectors_are_not_touched() -> None:
    registry = attached()
    registry.park(L1, OFFICE)
    commands(registry)
    registry.attach(C2, LAB)
    registry.closed(C2)
    assert commands(registry) == [Accept(C2)]
    assert registry.attachments == (OFFICE,)
    assert registry.parked == 1


def test_lost_connector_lets_waiting_clients_and_parked_legs_go() -> None:
    registry = attached()
    registry.connect(U1, OFFICE, "t", 0.0)
    registry.closed(C1)
    assert commands(registry) == [AskLegs(C1, 1), Refuse(U1, Reason.CONNECTOR_NOT_ATTACHED)]
    registry.attach(C2, OFFICE)
    registry.park(L1, OFFICE)
    registry.closed(C2)
    assert commands(registry) == [Accept(C2), Accept(L1), Close(L1, Reason.CONNECTOR_NOT_ATTACHED)]
    assert registry.attachments == ()
    assert registry.deadline() is None


def test_end_of_one_half_ends_the_other() -> None:
    for first, second in ((U1, L1), (L1, U1)):
        registry = attached()
        registry.park(L1, OFFICE)
        registry.connect(U1, OFFICE, "t", 0.0)
        commands(registry)
        registry.closed(first)
        assert commands(registry) == [Close(second, Reason.NORMAL)]
        registry.closed(second)
        assert commands(registry) == []
        assert registry.pairs == 0


def test_client_that_leaves_while_waiting_gets_no_leg() -> None:
    registry = attached()
    registry.connect(U1, OFFICE, "t", 0.0)
    registry.closed(U1)
    commands(registry)
    registry.park(L1, OFFICE)
    assert commands(registry) == [Accept(L1)]
    assert registry.parked == 1


def test_closing_somebody_unknown_is_harmless() -> None:
    registry = attached()
    registry.closed(number(999))
    assert commands(registry) == []


def test_t25_parked_legs_are_bounded() -> None:
    registry = attached(parked_max=2)
    for value in range(3):
        registry.park(number(100 + value), OFFICE)
    assert commands(registry)[-1] == Refuse(number(102), Reason.LIMIT_EXCEEDED)
    assert registry.parked == 2


def test_t25_clients_waiting_for_one_connector_are_bounded() -> None:
    registry = attached(waiting_per_connector=2)
    for index, user in enumerate((U1, U2, U3)):
        registry.connect(user, OFFICE, f"t{index}", 0.0)
    assert commands(registry) == [AskLegs(C1, 1), AskLegs(C1, 1), Refuse(U3, Reason.LIMIT_EXCEEDED)]


def test_t25_one_ticket_makes_no_flood_and_is_given_back() -> None:
    registry = attached(per_ticket=2)
    registry.park(L1, OFFICE)
    registry.connect(U1, OFFICE, "same", 0.0)
    registry.connect(U2, OFFICE, "same", 0.0)
    registry.connect(U3, OFFICE, "same", 0.0)
    assert commands(registry)[-1] == Refuse(U3, Reason.LIMIT_EXCEEDED)
    registry.connect(number(24), OFFICE, "other", 0.0)
    assert commands(registry) == [AskLegs(C1, 1)]
    registry.closed(L1)
    registry.connect(number(25), OFFICE, "same", 0.0)
    assert commands(registry)[-1] == AskLegs(C1, 1), "the connector's half gives the client's place back, too"


def test_t25_flood_towards_one_connector_costs_only_that_one() -> None:
    registry = attached(waiting_total=3, waiting_per_connector=10)
    registry.attach(C2, LAB)
    for value in range(3):
        registry.connect(number(30 + value), OFFICE, "t", 0.0)
    commands(registry)
    registry.connect(U1, LAB, "good", 0.0)
    assert commands(registry) == [AskLegs(C2, 1), Refuse(number(32), Reason.LIMIT_EXCEEDED)]
    assert registry.waiting == 3


def test_shutting_down_takes_nothing_new_and_keeps_pairs() -> None:
    registry = attached()
    registry.park(L1, OFFICE)
    registry.connect(U1, OFFICE, "t", 0.0)
    registry.park(L2, OFFICE)
    registry.attach(C2, LAB)
    registry.connect(U2, LAB, "t", 0.0)
    commands(registry)
    why = Reason.SHUTTING_DOWN
    registry.shut_down(why)
    assert commands(registry) == [
        SayGoodbye(C1, why),
        Close(C1, why),
        Close(L2, why),
        Refuse(U2, why),
        SayGoodbye(C2, why),
        Close(C2, why),
    ]
    registry.attach(number(3), OFFICE)
    registry.park(number(4), OFFICE)
    registry.connect(number(5), OFFICE, "t", 0.0)
    assert commands(registry) == [Refuse(number(value), why) for value in (3, 4, 5)]
    registry.shut_down(why)
    assert commands(registry) == []
    assert registry.pairs == 1
    registry.closed(U1)
    assert commands(registry) == [Close(L1, Reason.NORMAL)]


class Walk(RuleBasedStateMachine):
    """Any order of inputs. The shell's part is played faithfully: what is refused or closed is soon gone."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(parked_max=2, waiting_per_connector=3, waiting_total=5, per_ticket=3)
        self.now = 0.0
        self.last = 0
        self.hash_of: dict[ConnectionNumber, ConnectorHash] = {}
        self.clients: dict[ConnectionNumber, float] = {}
        """Clients that wait, with their time of arrival."""
        self.attachments: dict[ConnectorHash, ConnectionNumber] = {}
        self.parked: set[ConnectionNumber] = set()
        self.pairs: dict[ConnectionNumber, ConnectionNumber] = {}
        self.tickets: dict[ConnectionNumber, str] = {}
        self.open: set[ConnectionNumber] = set()

    def new(self, connector: ConnectorHash) -> ConnectionNumber:
        self.last += 1
        fresh = number(self.last)
        self.hash_of[fresh] = connector
        self.open.add(fresh)
        return fresh

    def obey(self, *, answers: ConnectionNumber | None = None) -> None:
        """Carries the commands out and checks each of them."""
        answered = answers is None
        for command in commands(self.registry):
            match command:
                case Accept(connection):
                    assert connection == answers
                    answered = True
                case Refuse(connection, _):
                    assert connection == answers or connection in self.clients
                    answered = answered or connection == answers
                    self.clients.pop(connection, None)
                    self.gone(connection)
                case Pair(client, leg):
                    assert self.hash_of[client] == self.hash_of[leg]
                    assert {client, leg} <= self.open
                    del self.clients[client]
                    self.parked.discard(leg)
                    self.pairs[client], self.pairs[leg] = leg, client
                    answered = answered or client == answers
                case AskLegs(attachment, count):
                    assert self.attachments[self.hash_of[attachment]] == attachment
                    assert count > 0
                case SayGoodbye(attachment, _):
                    assert attachment in self.open
                case Close(connection, _):
                    assert connection in self.open
                    self.gone(connection)
        assert answered or answers in self.clients

    def gone(self, connection: ConnectionNumber) -> None:
        self.open.discard(connection)
        self.parked.discard(connection)
        self.clients.pop(connection, None)
        other = self.pairs.pop(connection, None)
        if other is not None:
            self.pairs.pop(other, None)
        for connector, attachment in tuple(self.attachments.items()):
            if attachment == connection:
                del self.attachments[connector]

    @rule(connector=st.sampled_from([OFFICE, LAB]))
    def attach(self, connector: ConnectorHash) -> None:
        fresh = self.new(connector)
        old = self.attachments.get(connector)
        self.registry.attach(fresh, connector)
        self.attachments[connector] = fresh
        self.obey(answers=fresh)
        assert old not in self.open

    @rule(connector=st.sampled_from([OFFICE, LAB]))
    def park(self, connector: ConnectorHash) -> None:
        fresh = self.new(connector)
        self.parked.add(fresh)
        self.registry.park(fresh, connector)
        self.obey(answers=fresh)

    @rule(connector=st.sampled_from([OFFICE, LAB]), ticket=st.sampled_from(["a", "b", "c", "d"]))
    def connect(self, connector: ConnectorHash, ticket: str) -> None:
        fresh = self.new(connector)
        self.clients[fresh] = self.now
        self.tickets[fresh] = ticket
        self.registry.connect(fresh, connector, ticket, self.now)
        self.obey(answers=fresh)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.open)))
        other = self.pairs.get(connection)
        self.gone(connection)
        self.registry.closed(connection)
        self.obey()
        assert other is None or other not in self.open

    @rule(seconds=st.floats(0.0, 6.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.registry.tick(self.now)
        self.obey()

    @invariant()
    def counts_agree(self) -> None:
        registry = self.registry
        assert set(registry.attachments) == set(self.attachments)
        assert registry.parked == len(self.parked)
        assert registry.waiting == len(self.clients)
        assert registry.pairs * 2 == len(self.pairs)

    @invariant()
    def limits_hold(self) -> None:
        assert len(self.clients) <= 5
        busy = [self.tickets[each] for each in (*self.clients, *self.pairs) if each in self.tickets]
        assert all(busy.count(ticket) <= 3 for ticket in busy)
        for connector in (OFFICE, LAB):
            legs = [leg for leg in self.parked if self.hash_of[leg] == connector]
            waiting = [client for client in self.clients if self.hash_of[client] == connector]
            assert len(legs) <= 2
            assert len(waiting) <= 3
            assert not (legs and waiting), "nobody waits beside a free leg"
            assert connector in self.attachments or not (legs or waiting)

    @invariant()
    def nobody_waits_too_long(self) -> None:
        due = self.registry.deadline()
        first = min(self.clients.values(), default=None)
        assert due == (None if first is None else (first + PAIRING_DEADLINE_S, "pairing"))

    def teardown(self) -> None:
        for connection in sorted(self.open):
            self.registry.closed(connection)
        commands(self.registry)
        assert (self.registry.attachments, self.registry.parked, self.registry.waiting) == ((), 0, 0)
        assert (self.registry.pairs, self.registry.deadline()) == (0, None)


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
