"""Saved folds: whatever the log can lead to comes back equal, and nothing else is taken for a fold."""

import json
from dataclasses import dataclass, fields
from enum import Enum
from ipaddress import IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map
from policy_commands import commands_in
from policy_world import World

from controller.domain import fold_codec
from controller.domain.decide import decide
from controller.domain.fold_codec import fold_from_lines, fold_to_lines
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from protocol.errors import LocalError
from protocol.reasons import Reason


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_fold_comes_back_equal(data: st.DataObject) -> None:
    world = World(initialised=False)
    for command in data.draw(st.lists(commands_in(world), max_size=60)):
        decided = decide(world.state, command)
        for event in () if isinstance(decided, Refusal) else decided:
            world.append(event)
    assert fold_from_lines(fold_to_lines(world.state)) == world.state


def test_a_map_is_written_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for _ in range(10):
        world.network()
    monkeypatch.setattr(fold_codec, "PART", 3)
    lines = list(fold_to_lines(world.state))
    assert sum(json.loads(line)[0] == "networks" for line in lines[1:]) == 4
    assert fold_from_lines(lines) == world.state


def test_every_field_of_the_state_has_a_form() -> None:
    assert {*fold_codec._plain(), *fold_codec._maps()} == {field.name for field in fields(PolicyState)}


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"position": 1}'])
def test_something_else_is_refused(text: str) -> None:
    with pytest.raises(LocalError) as refused:
        fold_from_lines([text])
    assert refused.value.reason is Reason.STATE_CORRUPT


@pytest.mark.parametrize(
    "line",
    [
        '["networks", 1, ["net_x"], [["net_x"]]]',
        '["networks", 1, ["net_x"], [["net_x"], ["a", "b"], [1], [[]]]]',
        '["networks", 2, ["net_x"], [["net_x"], ["a"], [1], [[]]]]',
        '["networks", 1, ["net_x"]]',
        '["nothing", 0, [], []]',
        '["users", 1, ["usr_x"], [["usr_x"], ["KING"], [1], [false]]]',
    ],
)
def test_damage_inside_is_refused(line: str) -> None:
    with pytest.raises(LocalError) as refused:
        fold_from_lines([*fold_to_lines(World().state), line])
    assert refused.value.reason is Reason.STATE_CORRUPT


class Colour(Enum):
    RED = ("a", 1)


@dataclass(frozen=True, slots=True)
class Everything:
    colour: Colour
    either: int | str
    perhaps: Colour | None
    pairs: tuple[int, Colour]
    many: tuple[Colour, ...]
    some: frozenset[str]
    inner: Map[str, Map[str, None]]
    nets: tuple[IPv4Network, ...]


def test_every_kind_of_part_has_a_form() -> None:
    value = Everything(
        Colour.RED,
        "x",
        None,
        (1, Colour.RED),
        (Colour.RED, Colour.RED),
        frozenset(("b", "a")),
        Map({"k": Map({"v": None})}),
        (IPv4Network("10.0.0.0/8"),),
    )
    write, read = fold_codec._codec(Everything)
    assert write is not None
    assert read is not None
    assert read(json.loads(json.dumps(write(value)))) == value
    write, read = fold_codec._column(tuple[Everything, str])
    assert read(json.loads(json.dumps(write([(value, "x")] * 3)))) == [(value, "x")] * 3


def test_a_type_without_a_form_is_named() -> None:
    with pytest.raises(TypeError, match="no form"):
        fold_codec._codec(set[str])
