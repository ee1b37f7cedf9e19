"""The registry: pairing, the newest attachment wins, deadlines, bounds, fair shedding (T-20, T-21, T-25)."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol.ids import ConnectorHash
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

A, B = ConnectorHash("hash-a"), ConnectorHash("hash-b")


def number(value: int) -> ConnectionNumber:
    return ConnectionNumber(value)


def commands(registry: Registry) -> list[Command]:
    found = []
    while (command := registry.next_command()) is not None:
        found.append(command)
    return found


def attached(registry: Registry, connection: int = 1, connector: ConnectorHash = A) -> Registry:
    registry.attach(number(connection), connector)
    assert commands(registry) == [Accept(number(connection))]
    return registry


# Pairing


def test_a_client_is_paired_with_the_newest_parked_leg() -> None:
    registry = attached(Registry())
    registry.park(number(2), A)
    registry.park(number(3), A)
    assert commands(registry) == [Accept(number(2)), Accept(number(3))]
    registry.connect(number(4), A, "t", 0.0)
    assert commands(registry) == [Pair(number(4), number(3))]
    assert (registry.parked, registry.pairs, registry.waiting) == (1, 1, 0)


def test_a_client_waits_for_a_leg_that_is_asked_for() -> None:
    registry = attached(Registry())
    registry.connect(number(2), A, "t", 0.0)
    assert commands(registry) == [AskLegs(number(1), 1)]
    registry.park(number(3), A)
    assert commands(registry) == [Accept(number(3)), Pair(number(2), number(3))]
    assert registry.deadline() is None


def test_the_client_that_waits_longest_is_served_first() -> None:
    registry = attached(Registry())
    registry.connect(number(2), A, "t", 0.0)
    registry.connect(number(3), A, "u", 1.0)
    commands(registry)
    registry.park(number(4), A)
    assert Pair(number(2), number(4)) in commands(registry)


def test_t21_a_leg_serves_only_clients_of_its_own_hash() -> None:
    registry = attached(attached(Registry()), 2, B)
    registry.park(number(3), A)
    commands(registry)
    registry.connect(number(4), B, "t", 0.0)
    assert commands(registry) == [AskLegs(number(2), 1)]
    assert registry.parked == 1


def test_t21_without_an_attachment_the_answer_is_the_same_for_every_hash() -> None:
    registry = Registry()
    registry.connect(number(1), A, "t", 0.0)
    registry.connect(number(2), ConnectorHash("never existed"), "t", 0.0)
    registry.park(number(3), A)
    refusal = Reason.CONNECTOR_NOT_ATTACHED
    assert commands(registry) == [Refuse(number(index), refusal) for index in (1, 2, 3)]


def test_the_end_of_one_half_ends_the_other() -> None:
    for first, second in ((2, 3), (3, 2)):
        registry = attached(Registry())
        registry.park(number(2), A)
        registry.connect(number(3), A, "t", 0.0)
        commands(registry)
        registry.closed(number(first))
        assert commands(registry) == [Close(number(second), Reason.NORMAL)]
        registry.closed(number(second))
        assert commands(registry) == []
        assert registry.pairs == 0


def test_pairs_outlive_their_attachment() -> None:
    registry = attached(Registry())
    registry.park(number(2), A)
    registry.connect(number(3), A, "t", 0.0)
    commands(registry)
    registry.closed(number(1))
    assert commands(registry) == []
    assert registry.pairs == 1


# The newest attachment wins (T-20)


def test_t20_the_newest_attachment_replaces_the_older_and_its_parked_legs() -> None:
    registry = attached(Registry())
    registry.park(number(2), A)
    registry.park(number(3), A)
    registry.connect(number(4), A, "t", 0.0)
    commands(registry)
    registry.attach(number(5), A)
    duplicate = Reason.DUPLICATE_AGENT
    assert commands(registry) == [
        SayGoodbye(number(1), duplicate),
        Close(number(1), duplicate),
        Close(number(2), duplicate),
        Accept(number(5)),
    ]
    assert (registry.pairs, registry.parked, registry.attachments) == (1, 0, (A,))
    # The end of the old one means nothing any more.
    registry.closed(number(1))
    registry.closed(number(2))
    assert commands(registry) == []
    assert registry.attachments == (A,)


def test_t20_clients_that_wait_are_served_by_the_newest() -> None:
    registry = attached(Registry())
    registry.connect(number(2), A, "t", 0.0)
    registry.connect(number(3), A, "u", 0.0)
    commands(registry)
    registry.attach(number(4), A)
    assert commands(registry)[-1] == AskLegs(number(4), 2)


def test_a_connector_that_leaves_takes_its_waiting_clients_and_parked_legs_along() -> None:
    registry = attached(Registry())
    registry.connect(number(2), A, "t", 0.0)
    commands(registry)
    registry.closed(number(1))
    assert commands(registry) == [Refuse(number(2), Reason.CONNECTOR_NOT_ATTACHED)]
    registry = attached(registry, 3)
    registry.park(number(4), A)
    commands(registry)
    registry.closed(number(3))
    assert commands(registry) == [Close(number(4), Reason.CONNECTOR_NOT_ATTACHED)]
    assert (registry.parked, registry.attachments) == (0, ())


# Deadlines and bounds (T-25)


def test_t25_a_client_waits_no_longer_than_its_deadline() -> None:
    registry = attached(Registry(pairing_deadline_s=5.0))
    registry.connect(number(2), A, "t", 10.0)
    registry.connect(number(3), A, "u", 12.0)
    commands(registry)
    assert registry.deadline() == (15.0, "pairing")
    registry.tick(14.9)
    assert commands(registry) == []
    registry.tick(15.0)
    assert commands(registry) == [Refuse(number(2), Reason.PAIRING_TIMEOUT)]
    assert registry.deadline() == (17.0, "pairing")
    registry.closed(number(3))
    assert registry.deadline() is None


def test_t25_parked_legs_are_bounded() -> None:
    registry = attached(Registry(parked_max=2))
    for index in (2, 3, 4):
        registry.park(number(index), A)
    assert commands(registry)[-1] == Refuse(number(4), Reason.LIMIT_EXCEEDED)
    registry.closed(number(2))
    registry.park(number(5), A)
    assert commands(registry) == [Accept(number(5))]


def test_t25_clients_per_connector_are_bounded() -> None:
    registry = attached(Registry(waiting_per_connector=2))
    for index in (2, 3, 4):
        registry.connect(number(index), A, f"t{index}", 0.0)
    assert commands(registry)[-1] == Refuse(number(4), Reason.LIMIT_EXCEEDED)


def test_t25_one_ticket_does_not_open_any_number_of_connections() -> None:
    registry = attached(Registry(per_ticket=2))
    registry.park(number(2), A)
    for index in (3, 4, 5):
        registry.connect(number(index), A, "same", 0.0)
    assert Refuse(number(5), Reason.LIMIT_EXCEEDED) in commands(registry)
    registry.connect(number(6), A, "other", 0.0)
    assert commands(registry) == [AskLegs(number(1), 1)]
    registry.closed(number(3))
    registry.connect(number(7), A, "same", 0.0)
    assert AskLegs(number(1), 1) in commands(registry)


def test_t25_a_flood_to_one_connector_sheds_its_own_clients() -> None:
    registry = attached(attached(Registry(waiting_total=10)), 2, B)
    registry.connect(number(3), B, "victim", 0.0)
    commands(registry)
    for index in range(100, 120):
        registry.connect(number(index), A, f"t{index}", 0.0)
    refused = {command.connection for command in commands(registry) if isinstance(command, Refuse)}
    assert len(refused) == 11
    assert number(3) not in refused
    assert registry.waiting == 10
    registry.park(number(4), B)
    assert Pair(number(3), number(4)) in commands(registry)


# Shutting down


def test_a_shutdown_lets_pairs_go_on_and_everybody_else_go() -> None:
    registry = attached(attached(Registry()), 2, B)
    registry.park(number(3), A)
    registry.connect(number(4), A, "t", 0.0)
    registry.park(number(5), A)
    registry.connect(number(6), B, "u", 0.0)
    commands(registry)
    registry.shut_down(Reason.SHUTTING_DOWN)
    down = Reason.SHUTTING_DOWN
    assert set(commands(registry)) == {
        SayGoodbye(number(1), down),
        Close(number(1), down),
        Close(number(5), down),
        Refuse(number(6), down),
        SayGoodbye(number(2), down),
        Close(number(2), down),
    }
    assert (registry.pairs, registry.parked, registry.waiting, registry.attachments) == (1, 0, 0, ())
    registry.attach(number(7), A)
    registry.park(number(8), A)
    registry.connect(number(9), A, "t", 0.0)
    assert commands(registry) == [Refuse(number(index), down) for index in (7, 8, 9)]
    for index in (1, 2, 5, 6, 7):
        registry.closed(number(index))
    assert commands(registry) == []
    registry.shut_down(down)
    registry.closed(number(4))
    assert commands(registry) == [Close(number(3), Reason.NORMAL)]


# Any order of events


class RegistryMachine(RuleBasedStateMachine):
    """A shell that carries out every command, against what must hold at any time."""

    PARKED, PER_CONNECTOR, TOTAL, PER_TICKET = 3, 4, 6, 5

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(
            parked_max=self.PARKED,
            waiting_per_connector=self.PER_CONNECTOR,
            waiting_total=self.TOTAL,
            per_ticket=self.PER_TICKET,
        )
        self.now = 0.0
        self.next = 0
        self.down = False
        self.kind: dict[ConnectionNumber, tuple[str, ConnectorHash, str]] = {}
        """Open connections: what they asked for, for which hash, with which ticket."""
        self.pending: set[ConnectionNumber] = set()
        """Neither accepted nor refused."""
        self.pairs: dict[ConnectionNumber, ConnectionNumber] = {}
        self.since: dict[ConnectionNumber, float] = {}

    def request(self, kind: str, connector: ConnectorHash, ticket: str) -> ConnectionNumber:
        self.next += 1
        connection = number(self.next)
        self.kind[connection] = (kind, connector, ticket)
        self.pending.add(connection)
        self.since[connection] = self.now
        return connection

    @rule(connector=st.sampled_from([A, B]))
    def attach(self, connector: ConnectorHash) -> None:
        self.registry.attach(self.request("attach", connector, ""), connector)
        self.carry_out()

    @rule(connector=st.sampled_from([A, B]))
    def park(self, connector: ConnectorHash) -> None:
        self.registry.park(self.request("park", connector, ""), connector)
        self.carry_out()

    @rule(connector=st.sampled_from([A, B]), ticket=st.sampled_from(["s", "t", "u"]))
    def connect(self, connector: ConnectorHash, ticket: str) -> None:
        self.registry.connect(self.request("connect", connector, ticket), connector, ticket, self.now)
        self.carry_out()

    @precondition(lambda self: self.kind)
    @rule(choice=st.integers(0, 1000))
    def lose(self, choice: int) -> None:
        self.drop(sorted(self.kind)[choice % len(self.kind)])
        self.carry_out()

    @rule(seconds=st.floats(0, 4))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.registry.tick(self.now)
        self.carry_out()

    @precondition(lambda self: self.next > 30)
    @rule()
    def shut_down(self) -> None:
        self.down = True
        self.registry.shut_down(Reason.SHUTTING_DOWN)
        self.carry_out()

    def drop(self, connection: ConnectionNumber) -> None:
        del self.kind[connection]
        self.pending.discard(connection)
        self.pairs.pop(connection, None)
        self.registry.closed(connection)

    def carry_out(self) -> None:
        for command in commands(self.registry):
            match command:
                case Accept(connection):
                    self.pending.remove(connection)
                    assert self.kind[connection][0] in ("attach", "park")
                case Refuse(connection, _):
                    self.pending.remove(connection)
                    self.drop(connection)
                case Pair(client, leg):
                    self.pending.remove(client)
                    assert self.kind[client][0] == "connect"
                    assert self.kind[leg][0] == "park"
                    assert self.kind[client][1] == self.kind[leg][1], "T-21"
                    assert leg not in self.pairs
                    assert client not in self.pairs
                    self.pairs[client], self.pairs[leg] = leg, client
                case Close(connection, _):
                    if connection in self.kind:
                        assert connection not in self.pending
                        self.drop(connection)
                case SayGoodbye(connection, _) | AskLegs(connection, _):
                    assert self.kind.get(connection, ("attach",))[0] == "attach"
        leftover = commands(self.registry)
        for command in leftover:
            assert isinstance(command, Close)
            if command.connection in self.kind:
                self.drop(command.connection)

    @invariant()
    def agrees(self) -> None:
        waiting = [item for item in self.pending if self.kind[item][0] == "connect"]
        assert set(waiting) == self.pending, "attachments and legs are answered at once"
        assert self.registry.waiting == len(waiting) <= self.TOTAL
        assert all(self.now < self.since[item] + 5.0 for item in waiting), "T-25"
        per_connector = Counter(self.kind[item][1] for item in waiting)
        assert all(count <= self.PER_CONNECTOR for count in per_connector.values())
        tickets = Counter(ticket for kind, _, ticket in self.kind.values() if kind == "connect")
        assert all(count <= self.PER_TICKET for count in tickets.values())
        open_attachments = Counter(hash_ for kind, hash_, _ in self.kind.values() if kind == "attach")
        assert all(count == 1 for count in open_attachments.values()), "T-20"
        assert set(self.registry.attachments) == set(open_attachments)
        parked = Counter(
            hash_ for item, (kind, hash_, _) in self.kind.items() if kind == "park" and item not in self.pairs
        )
        assert all(count <= self.PARKED for count in parked.values())
        assert self.registry.parked == sum(parked.values())
        assert set(parked) <= set(open_attachments)
        assert not any(parked[connector] for connector in per_connector), "nobody waits beside a parked leg"
        assert self.registry.pairs * 2 == len(self.pairs)
        if self.down:
            assert not open_attachments
            assert not waiting


RegistryMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestRegistryMachine = RegistryMachine.TestCase
