"""Conditions and facts in the log: what is written is read, and what is not understood is not taken for nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.condition_codec import (
    conditions_from_json,
    conditions_to_json,
    facts_from_json,
    facts_to_json,
)
from controller.domain.conditions import Conditions, SystemRule
from controller.domain.hours import Hours, Window
from protocol.device_facts import DeviceFacts

AGES = st.none() | st.integers(60, 10**6)
WINDOWS = st.builds(
    Window,
    st.lists(st.integers(1, 7), min_size=1).map(tuple),
    st.integers(0, 1439),
    st.integers(1, 1440),
)
CONDITIONS = st.builds(
    Conditions,
    AGES,
    AGES,
    st.booleans(),
    st.lists(st.builds(SystemRule, st.text(max_size=5), st.text(max_size=5)), max_size=3).map(tuple),
    st.booleans(),
    st.booleans(),
    st.text(max_size=5),
    st.integers(1800, 10**6),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
    st.none() | st.builds(Hours, st.text(max_size=5), st.lists(WINDOWS, max_size=3).map(tuple)),
)
FLAGS = st.none() | st.booleans()
TEXTS = st.text(max_size=5)


@given(CONDITIONS)
def test_t71_conditions_survive_storage(conditions: Conditions) -> None:
    assert conditions_from_json(json.loads(json.dumps(conditions_to_json(conditions)))) == conditions


@given(st.builds(DeviceFacts, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, FLAGS, FLAGS))
def test_t71_facts_survive_storage(facts: DeviceFacts) -> None:
    assert facts_from_json(json.loads(json.dumps(facts_to_json(facts)))) == facts


@pytest.mark.parametrize(
    "body",
    [
        {"quantum": True},
        {"device_trusted": 1},
        {"mfa_max_age_s": "60"},
        {"mfa_max_age_s": True},
        {"facts_max_age_s": None},
        {"systems": [["debian"]]},
        {"systems": [["debian", 12]]},
        {"sources": [10]},
        {"hours": {"zone": "UTC"}},
        {"hours": {"zone": "UTC", "windows": [[[1], 0]]}},
        {"hours": {"zone": "UTC", "windows": [], "except": "holidays"}},
        [],
    ],
)
def test_t71_what_is_not_understood_is_never_taken_for_no_condition(body: Any) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        conditions_from_json(body)


@pytest.mark.parametrize("change", [{"os": 1}, {"firewall": "yes"}, {"more": 1}])
def test_damaged_facts_are_noticed(change: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        facts_from_json({**facts_to_json(DeviceFacts()), **change})
