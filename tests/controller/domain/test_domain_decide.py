"""The decision function as a whole: versions, completeness, and that it raises nothing (property)."""

from importlib import import_module
from pkgutil import iter_modules

from hypothesis import given, settings
from hypothesis import strategies as st
from policy_commands import commands_in
from policy_world import World

from controller import domain
from controller.domain import commands as c
from controller.domain.decide import _HANDLERS, decide
from controller.domain.events import EVENT_TYPES
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from protocol.ids import NetworkId
from protocol.reasons import Reason

MODULES = [item.name for item in iter_modules(domain.__path__) if item.name.startswith("commands")]
COMMANDS = {
    value
    for name in MODULES
    for value in vars(import_module(f"controller.domain.{name}")).values()
    if isinstance(value, type) and issubclass(value, c.Command) and value is not c.Command
}


def test_t16_a_stale_version_is_a_conflict() -> None:
    world = World()
    network = world.network("a")
    world.do(c.RenameNetwork(network, "b", expected_version=1))
    reason, detail = world.refused(c.RenameNetwork(network, "c", expected_version=1))
    assert reason is Reason.CONFLICT
    assert "version 2" in detail
    world.do(c.RenameNetwork(network, "c", expected_version=world.state.version_of(network)))


def test_t16_a_stale_version_is_a_conflict_even_when_nothing_would_change() -> None:
    world = World()
    network = world.network("a")
    assert world.refused(c.RenameNetwork(network, "a", expected_version=7))[0] is Reason.CONFLICT


def test_the_version_counts_the_events_of_one_stream_only() -> None:
    world = World()
    one, two = world.network(), world.network()
    world.do(c.RenameNetwork(one, "x"))
    assert (world.state.version_of(one), world.state.version_of(two)) == (2, 1)
    assert world.state.version_of("net_never") == 0


def test_an_empty_state_knows_nothing() -> None:
    refusal = decide(PolicyState(), c.RemoveNetwork(NetworkId("net_AAAAAAAAAAAAAAAAAAAAAA")))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NOT_FOUND


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_random_commands_raise_nothing_and_every_kind_is_decided(data: st.DataObject) -> None:
    world = World()
    for command in data.draw(st.lists(commands_in(world), min_size=1, max_size=40)):
        before = world.state
        decided = decide(before, command)
        assert before == world.state
        if isinstance(decided, Refusal):
            assert decided.detail.isprintable()
            continue
        for event in decided:
            assert type(event) in EVENT_TYPES
            world.append(event)


def test_every_command_is_decided() -> None:
    assert set(_HANDLERS) == COMMANDS
